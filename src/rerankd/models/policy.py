"""Which model is wanted, and where it may run."""

import re
from dataclasses import dataclass

from rerankd.core.policy import check_at_least, check_range
from rerankd.errors import ConfigError

__all__ = ["ModelPolicy"]

_DEVICE = re.compile(r"(cpu|cuda(:\d{1,3})?)?")
_REVISION = re.compile(r"[\w./-]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelPolicy:
    """Which model scores, on what, and how often a failed load is tried again."""

    model: str = "large"
    """A folder, a hub id or an alias; `large` is the embedded MiniLM-L-12. `ID+ID` is a cascade, `auto` what suits
    this machine."""
    device: str = ""
    """`cpu`, `cuda` or `cuda:N`; empty: CUDA when there is one, else the CPU."""
    revision: str = ""
    """The hub's branch, tag or commit; empty: the commit first trusted here, at first use `main`."""
    file: str = ""
    """One ONNX file of the folder or hub repository; empty: the best one there for the device."""
    max_tokens: int = 0
    """A window shorter than the model's own, in tokens; 0: the model's own."""
    download: bool = True
    """Whether a model that is not on this machine may be fetched from the hub."""
    lean: bool = True
    """On the CPU, run a BERT-like graph in a form that gives the same function sooner; off: as in the file."""
    isolated: bool = False
    """Run the model in a supervised process of its own, which is replaced when it dies or hangs."""
    retry_ms: float = 1_000.0
    """How long after a failed load it is tried again; doubles with each failure, up to `retry_max_ms`."""
    retry_max_ms: float = 60_000.0
    """The longest pause between two attempts to load."""

    def __post_init__(self) -> None:
        if not isinstance(self.model, str) or not self.model.strip():
            raise ConfigError(
                f"ModelPolicy.model: must be a folder, a hub id or an alias, got {self.model!r}"
            )
        if not isinstance(self.device, str) or not _DEVICE.fullmatch(self.device):
            raise ConfigError(f"ModelPolicy.device: must be cpu, cuda, cuda:N or empty, got {self.device!r}")
        if not isinstance(self.revision, str) or not _REVISION.fullmatch(self.revision):
            raise ConfigError(f"ModelPolicy.revision: must be a branch, tag or commit, got {self.revision!r}")
        if not isinstance(self.file, str) or not _is_inside(self.file):
            raise ConfigError(
                f"ModelPolicy.file: must be an .onnx file's path inside the model, got {self.file!r}"
            )
        check_range(self, "max_tokens", 0)
        if 0 < self.max_tokens < 16:
            raise ConfigError(f"ModelPolicy.max_tokens: must be 0 or at least 16, got {self.max_tokens!r}")
        check_range(self, "retry_ms", 1)
        check_at_least(self, "retry_max_ms", "retry_ms")


def _is_inside(file: str) -> bool:
    parts = file.split("/")
    return file == "" or (
        file.endswith(".onnx") and ".." not in parts and "" not in parts and "\\" not in file
    )
