"""The only clock. Everything else is handed one, or a time."""

import time
from datetime import UTC, datetime

__all__ = ["SystemClock", "utc_now", "wall_nanoseconds"]


class SystemClock:
    """Monotonic seconds: never the wall clock, which jumps."""

    def now(self) -> float:
        return time.monotonic()


def utc_now() -> datetime:
    """The date and time, for what people and databases are told of. Nothing is measured with it: it jumps."""
    return datetime.now(UTC)


def wall_nanoseconds() -> int:
    """Nanoseconds since 1970, as traces count them. Nothing is measured with it either."""
    return time.time_ns()
