"""What this process holds: memory, threads, descriptors."""

import os
import threading
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Held", "held", "resident_mb"]


@dataclass(frozen=True, slots=True)
class Held:
    resident_mb: float
    threads: int
    descriptors: int


def held() -> Held:
    return Held(resident_mb(), threading.active_count(), len(os.listdir("/proc/self/fd")))


def resident_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6
