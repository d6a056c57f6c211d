"""The caller's limit as one absolute moment, made once at the edge."""

import math
from dataclasses import dataclass
from typing import Self

__all__ = ["Deadline"]


@dataclass(frozen=True, slots=True, order=True)
class Deadline:
    """A moment on the engine's monotonic clock, in seconds; infinity means that there is no limit.

    Made once, where the request arrives. Every later stage asks what is left, so no stage can restart the
    budget.
    """

    at: float

    @classmethod
    def after(cls, now: float, budget_ms: float | None) -> Self:
        """The moment `budget_ms` milliseconds from `now`; None: no limit."""
        return cls(math.inf if budget_ms is None else now + budget_ms / 1000)

    def remaining(self, now: float) -> float:
        """Seconds left; negative when it has passed."""
        return self.at - now

    def passed(self, now: float) -> bool:
        return now >= self.at
