"""Percentiles of what was measured."""

import math
from collections.abc import Iterable, Sequence

__all__ = ["percentile", "percentiles"]


def percentile(values: Iterable[float], q: float) -> float:
    """The smallest value that at least `q` percent of the values do not exceed (nearest rank).

    It is always a value that was seen: interpolation between the two worst of a hundred would make up a p99.
    `q` is from 0 to 100; of no values it is NaN.
    """
    return _at(sorted(values), q)


def percentiles(values: Iterable[float], qs: Sequence[float] = (50, 95, 99)) -> dict[str, float]:
    """Several at once, by name: `{"p50": ..., "p95": ..., "p99": ...}`."""
    ordered = sorted(values)
    return {f"p{q:g}": _at(ordered, q) for q in qs}


def _at(ordered: Sequence[float], q: float) -> float:
    if not 0 <= q <= 100:
        raise ValueError(f"q: must be from 0 to 100, got {q!r}")
    if not ordered:
        return math.nan
    # rounding first: 99.9 % of 1,000 is 999.0000000000001 in floating point
    return ordered[max(0, math.ceil(round(len(ordered) * q / 100, 9)) - 1)]
