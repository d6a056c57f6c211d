"""The errors that rerankd raises: one small tree, so that a host can catch `RerankdError`.

A slow, broken or missing model is *not* an error: the caller gets the retrieval order and a reason.
"""

__all__ = [
    "BackendError",
    "ConfigError",
    "DeviceLost",
    "InvalidRequest",
    "OutOfMemory",
    "RerankdError",
    "SealError",
    "StoreError",
]


class RerankdError(Exception):
    """The root of everything that rerankd raises on purpose."""


class InvalidRequest(RerankdError, ValueError):  # noqa: N818 - the field's name for it
    """The caller's arguments are wrong; the message names the argument and what was seen, never the text."""

    def __init__(self, argument: str, problem: str) -> None:
        # both are the exception's arguments, so that it survives being pickled between processes
        super().__init__(argument, problem)
        self.argument = argument
        self.problem = problem

    def __str__(self) -> str:
        return f"{self.argument}: {self.problem}"


class ConfigError(RerankdError):
    """A setting is wrong; the message names the setting, the value seen and what is allowed."""


class BackendError(RerankdError):
    """A model cannot be resolved, loaded or run; the message names the file or the step."""


class OutOfMemory(BackendError):  # noqa: N818 - reads as the state it is
    """A run did not fit into memory. The engine halves its batches and tries again."""


class DeviceLost(BackendError):  # noqa: N818 - so does this
    """The device failed under a run, and what is loaded there is of no more use. The engine loads it anew."""


class StoreError(RerankdError):
    """The memory's database cannot be reached, does not answer in time, or is not as it must be."""


class SealError(RerankdError):
    """A key is missing or wrong, or what it should open was changed. Never to be read as "nothing there"."""
