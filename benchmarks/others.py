"""How much of the machine other programs took while something was measured: a missed figure may be theirs."""

import os
import time
from pathlib import Path

__all__ = ["TICK_SECONDS", "Others", "busy_seconds", "cores"]

TICK_SECONDS = 0.01
"""What the kernel counts in."""
_IDLE_FIELDS = (3, 4)
"""Idle, and waiting for a disk."""


class Others:
    """Made at the beginning; `share` at the end. Linux only: elsewhere nobody counts as busy."""

    def __init__(self) -> None:
        self._begun = time.monotonic()
        self._busy = busy_seconds()
        self._own = _own_seconds()

    @property
    def seconds(self) -> float:
        """Since the beginning."""
        return time.monotonic() - self._begun

    def share(self, own_seconds: float | None = None) -> float:
        """The others' part of all cores since the beginning, from 0 to 1.

        `own_seconds`: what is not theirs; left out, what this process and its children that have ended have used.
        """
        own = _own_seconds() - self._own if own_seconds is None else own_seconds
        # less than a tick a core cannot be told from nothing
        theirs = busy_seconds() - self._busy - own - TICK_SECONDS * cores()
        return min(1.0, max(0.0, theirs) / (self.seconds * cores()))


def cores() -> int:
    """Those that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def busy_seconds() -> float:
    """What all programs on the machine have used so far, time stolen by the hypervisor included."""
    try:
        fields = Path("/proc/stat").read_text(encoding="ascii").split("\n", 1)[0].split()[1:9]
    except OSError:
        return 0.0
    return sum(int(field) for place, field in enumerate(fields) if place not in _IDLE_FIELDS) * TICK_SECONDS


def _own_seconds() -> float:
    return sum(os.times()[:4])
