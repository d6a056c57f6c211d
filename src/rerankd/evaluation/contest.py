"""A cascade against the better of the single models, budget by budget and query by query."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rerankd.evaluation.curve import Curve
from rerankd.evaluation.significance import Difference, difference

__all__ = ["Contest", "contest", "contests"]

_Values = Mapping[str, float]
"""Query → the mean of its answers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Contest:
    """At one budget."""

    model: str
    budget_ms: float | None
    best: str
    """The single model that is better there, in the mean over queries."""
    gain: Difference
    """What the cascade gains over it, paired."""

    def as_json(self) -> dict[str, Any]:
        return {
            "model": self.model,
            "budget_ms": self.budget_ms,
            "against": self.best,
            "gain": round(self.gain.mean, 4),
            "low": round(self.gain.low, 4),
            "high": round(self.gain.high, 4),
            "p": round(self.gain.p, 4),
            "queries": self.gain.queries,
        }


def contest(
    model: str, values: _Values, singles: Mapping[str, _Values], *, budget_ms: float | None
) -> Contest:
    """Compare values on the same queries. `singles`: those of each single model."""
    queries = sorted(values)
    best = max(singles, key=lambda name: sum(singles[name][query] for query in queries))
    gain = difference([singles[best][query] for query in queries], [values[query] for query in queries])
    return Contest(model=model, budget_ms=budget_ms, best=best, gain=gain)


def contests(curves: Sequence[Curve]) -> list[Contest]:
    """Each cascade's, at each budget; empty where there is no cascade, or nothing to compare it with."""
    singles = [each for each in curves if not each.cascade]
    if not singles:
        return []
    return [
        contest(
            each.model,
            point.by_query,
            {single.model: single.points[place].by_query for single in singles},
            budget_ms=point.budget_ms,
        )
        for each in curves
        if each.cascade
        for place, point in enumerate(each.points)
    ]
