"""How much of the machine other programs took while something was timed.

Libraries that split one run over several threads wait for the slowest at every operator; a busy neighbour
costs them far more than it costs separate single-threaded runs. Such a turn says nothing about a library, so
it is timed again.
"""

import time

__all__ = ["OtherLoad", "Patience"]

_TICK_SECONDS = 0.01
_LOOK_SECONDS = 0.3
_IDLE_FIELDS = (3, 4)  # idle, iowait


class OtherLoad:
    """Made at the start of a turn; `share` at its end. Linux only: elsewhere nobody counts as busy."""

    def __init__(self, cores: int) -> None:
        self._cores = cores
        self._begun = time.perf_counter()
        self._busy = _busy_seconds()

    def share(self, own_seconds: float) -> float:
        """The others' part of all cores since the start, from 0 to 1, less what the contender used itself."""
        elapsed = time.perf_counter() - self._begun
        others = _busy_seconds() - self._busy - own_seconds
        # The kernel counts in ticks: less than one a core cannot be told from nothing.
        return max(0.0, others - _TICK_SECONDS * self._cores) / (elapsed * self._cores)


def _busy_seconds() -> float:
    """What all programs on the machine have used so far, time stolen by the hypervisor included."""
    try:
        with open("/proc/stat", encoding="ascii") as lines:
            ticks = [int(field) for field in next(lines).split()[1:9]]
    except OSError:
        return 0.0
    return sum(value for place, value in enumerate(ticks) if place not in _IDLE_FIELDS) * _TICK_SECONDS


class Patience:
    """Waits for a moment in which nobody else uses the machine, for so many seconds in all."""

    def __init__(self, seconds: float, cores: int) -> None:
        self._left = seconds
        self._cores = cores

    def wait(self, busy: float) -> None:
        """Return as soon as the others took less than `busy` of the machine for a moment."""
        while self._left > 0:
            begun = _busy_seconds()
            time.sleep(_LOOK_SECONDS)
            self._left -= _LOOK_SECONDS
            if _busy_seconds() - begun <= max(_TICK_SECONDS, busy * self._cores * _LOOK_SECONDS):
                return
