"""How much of the machine other programs took while a turn was timed.

Libraries that split one run over several threads wait for the slowest at every operator; a busy neighbour
costs them far more than it costs separate single-threaded runs. Such a turn says nothing about a library, so
it is timed again.
"""

import time

__all__ = ["OtherLoad"]

_TICK_SECONDS = 0.01
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
