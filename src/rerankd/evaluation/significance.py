"""Whether two orders differ by more than the luck of the queries.

Both tests are paired: they look at the difference on each query. The interval is the percentile bootstrap's
(Efron 1979; Sakai, SIGIR 2006, for retrieval measures), the p-value that of the two-sided randomisation test
(Fisher; Smucker, Allan and Carterette, CIKM 2007), which asks how often a difference at least as large comes
about when the two systems' names are swapped at random, query by query.
"""

from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["Difference", "difference"]

_DRAWS = 10_000
_CELLS = 1_000_000
"""How many random numbers are held at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """What the second of two systems gains over the first, in the mean over queries."""

    mean: float
    low: float
    """Lower end of the 95 % interval."""
    high: float
    p: float
    """Probability of at least such a difference, either way, if the systems were equal; at least 1/10,001."""
    queries: int

    @property
    def significant(self) -> bool:
        """At the usual level of 5 %."""
        return self.p < 0.05


def difference(first: Sequence[float], second: Sequence[float], *, seed: int = 0) -> Difference:
    """Compare the values of two systems on the same queries, in the same order.

    The same values give the same figures every time. Raises `ValueError` for lists of different lengths, or
    empty ones.
    """
    import numpy as np

    if len(first) != len(second) or not first:
        raise ValueError(f"as many values of both systems are needed, got {len(first)} and {len(second)}")
    gained = np.asarray(second, dtype=np.float64) - np.asarray(first, dtype=np.float64)
    count = len(gained)
    draw = np.random.default_rng(seed)
    mean = float(gained.mean())
    means, extreme = [], 0
    for some in _portions(max(1, _CELLS // count)):
        means.append(gained[draw.integers(0, count, (some, count))].mean(axis=1))
        swapped = np.abs((gained * draw.choice((-1.0, 1.0), (some, count))).mean(axis=1))
        # differences that are equal but for rounding count as equal
        extreme += int((swapped >= abs(mean) - 1e-12).sum())
    low, high = np.quantile(np.concatenate(means), (0.025, 0.975))
    return Difference(
        mean=mean, low=float(low), high=float(high), p=(extreme + 1) / (_DRAWS + 1), queries=count
    )


def _portions(most: int) -> list[int]:
    whole, rest = divmod(_DRAWS, min(most, _DRAWS))
    return [min(most, _DRAWS)] * whole + ([rest] if rest else [])
