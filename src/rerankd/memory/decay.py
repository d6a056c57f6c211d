"""How memories fade: one counts half as much after each half-life, as in radioactive decay."""

import math
from datetime import datetime, timedelta

__all__ = ["oldest", "weight"]


def weight(age_seconds: float, half_life_seconds: float) -> float:
    """0.5^(age / half-life), from 1 down to 0; what lies in the future counts as new."""
    return float(0.5 ** (max(0.0, age_seconds) / half_life_seconds))


def oldest(now: datetime, half_life_seconds: float, floor: float) -> datetime | None:
    """When a memory was made that counts exactly `floor` now; None where that is no moment of the calendar."""
    if floor <= 0:
        return None
    try:
        return now - timedelta(seconds=half_life_seconds * math.log2(1 / floor))
    except OverflowError:
        return None
