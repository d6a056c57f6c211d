"""How a scorer's process is watched and replaced."""

from dataclasses import dataclass

from rerankd.core.policy import check_at_least, check_range

__all__ = ["IsolationPolicy"]


@dataclass(frozen=True, slots=True, kw_only=True)
class IsolationPolicy:
    """How the process that scores is watched and replaced, where the model is isolated."""

    nice: int = 5
    """How far the process steps back behind the one that answers callers, as `nice` does; 0: not at all."""
    tick_ms: float = 100.0
    """How often the process is looked at. Its end is noticed at once; this finds one that is stopped or hangs."""
    stop_grace_ms: float = 400.0
    """A run that goes on for so long after it was told to stop hangs: the process is killed and replaced."""
    encode_ms: float = 2_000.0
    """The same for turning texts into tokens, which nothing can stop: counted from its beginning."""
    run_ms: float = 10_000.0
    """The same for a run that nobody has told to stop."""
    load_ms: float = 600_000.0
    """The longest that loading may take, downloads included."""
    restart_ms: float = 250.0
    """The pause after two in a row that were not ready for `steady_ms`; doubles with each further one, up to
    `restart_max_ms`."""
    restart_max_ms: float = 10_000.0
    """The longest pause."""
    steady_ms: float = 1_000.0
    """A process that was ready for so long is replaced without a pause, however often that happens."""

    def __post_init__(self) -> None:
        check_range(self, "nice", 0, 19)
        check_range(self, "tick_ms", 1)
        check_range(self, "stop_grace_ms", 1)
        check_range(self, "encode_ms", 1)
        check_range(self, "run_ms", 1)
        check_range(self, "load_ms", 1)
        check_range(self, "restart_ms", 1)
        check_at_least(self, "restart_max_ms", "restart_ms")
        check_range(self, "steady_ms", 0)
