"""How much one key may ask: a rate in the long run, and a number at once. Time is an argument."""

from dataclasses import dataclass

__all__ = ["Meter"]

BURST_SECONDS = 10.0
"""So many seconds' worth of requests may come at once after a pause."""


@dataclass(slots=True)
class Meter:
    """A token bucket, and a count of what is under way."""

    per_minute: int
    """0: any number."""
    at_once: int
    """0: any number."""
    _tokens: float = -1.0
    """Below zero: nothing was asked yet, and the bucket is full."""
    _filled: float = 0.0
    _inside: int = 0

    def enter(self, now: float) -> bool:
        """Count a request in; whether it is within what is allowed. `leave` follows in either case."""
        self._inside += 1
        within = self.at_once == 0 or self._inside <= self.at_once
        # what is refused for its number takes nothing from the rate
        return within and self._take(now)

    def leave(self) -> None:
        self._inside -= 1

    def _take(self, now: float) -> bool:
        if self.per_minute == 0:
            return True
        per_second = self.per_minute / 60
        most = max(1.0, per_second * BURST_SECONDS)
        if self._tokens < 0:
            self._tokens = most
        else:
            self._tokens = min(most, self._tokens + (now - self._filled) * per_second)
        self._filled = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True
