"""What a runtime's error means: no room, a device that is gone, or a run that failed.

The libraries tell these apart in their words only. Those name nodes, layers and shapes, never values.
"""

import re

from rerankd.errors import BackendError, DeviceLost, OutOfMemory

__all__ = ["translated", "words"]

_MEMORY = re.compile(
    r"out of memory|failed to allocate|can't allocate|bad_alloc|bad allocation|alloc_failed|memoryallocation"
    r"|smaller than requested bytes",
    re.IGNORECASE,
)
_DEVICE = re.compile(
    r"cuda error|cuda failure|cudaerror|cuda driver error|cublas|cudnn|device-side assert", re.IGNORECASE
)
"""After most of these the CUDA context is of no more use, until the process ends: every later call fails, too."""


def translated(error: Exception, pairs: int) -> BackendError:
    """The error of a run of so many pairs, as one of ours."""
    said = str(error)
    kind = BackendError
    if isinstance(error, MemoryError) or _MEMORY.search(said):
        kind = OutOfMemory
    elif _DEVICE.search(said):
        kind = DeviceLost
    return kind(f"a run of {pairs} pair(s) failed: {words(error)}")


def words(error: Exception) -> str:
    """The library's own, on one line."""
    return " ".join(str(error).split())[:300] or type(error).__name__
