"""How much of the machine other programs took meanwhile: a missed timing may be theirs."""

import os
import time
from pathlib import Path

__all__ = ["Others"]

_IDLE = (3, 4)
"""Idle, and waiting for a disk, among the fields of /proc/stat."""


class Others:
    """Made at the beginning; `share` at the end. Linux only: elsewhere nobody counts."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._busy = _busy()
        self._own = _own()

    def share(self) -> float:
        """Their part of all cores since the beginning, from 0 to 1; what ran for us is not theirs."""
        elapsed = (time.monotonic() - self._began) * (os.cpu_count() or 1)
        theirs = _busy() - self._busy - (_own() - self._own)
        return min(1.0, max(0.0, theirs / elapsed)) if elapsed else 0.0

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._began


def _busy() -> float:
    try:
        fields = Path("/proc/stat").read_text(encoding="ascii").split("\n", 1)[0].split()[1:9]
    except OSError:
        return 0.0
    ticks = sum(int(field) for place, field in enumerate(fields) if place not in _IDLE)
    return ticks / os.sysconf("SC_CLK_TCK")


def _own() -> float:
    # children are counted when they have ended; those of a row have by then
    return sum(os.times()[:4])
