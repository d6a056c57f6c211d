"""Waits until nobody else uses the machine.

Libraries that split one run over several threads wait for the slowest at every operator; a busy neighbour
costs them far more than it costs separate single-threaded runs. A turn beside one says nothing about a library, so
it is timed again.
"""

import time

from benchmarks.others import TICK_SECONDS, busy_seconds

__all__ = ["Patience"]

_LOOK_SECONDS = 0.3


class Patience:
    """Waits for a moment in which nobody else uses the machine, for so many seconds in all."""

    def __init__(self, seconds: float, cores: int) -> None:
        self._left = seconds
        self._cores = cores

    def wait(self, busy: float) -> None:
        """Return as soon as the others took less than `busy` of the machine for a moment."""
        while self._left > 0:
            begun = busy_seconds()
            time.sleep(_LOOK_SECONDS)
            self._left -= _LOOK_SECONDS
            if busy_seconds() - begun <= max(TICK_SECONDS, busy * self._cores * _LOOK_SECONDS):
                return
