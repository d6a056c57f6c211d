"""The only clock. Everything else is handed one, or a time."""

import time

__all__ = ["SystemClock"]


class SystemClock:
    """Monotonic seconds: never the wall clock, which jumps."""

    def now(self) -> float:
        return time.monotonic()
