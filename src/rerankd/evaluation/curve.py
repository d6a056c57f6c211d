"""Quality at budget: what callers with so many milliseconds get, at a stated load."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rerankd.core import cascade
from rerankd.core.cascade import CascadePolicy
from rerankd.core.types import Outcome
from rerankd.evaluation.collection import Collection
from rerankd.evaluation.measures import measure
from rerankd.evaluation.recording import RecordedQuery, Recording
from rerankd.evaluation.replay import Replayed, replay

__all__ = ["BUDGETS_MS", "Curve", "Point", "answered", "curve", "point"]

BUDGETS_MS: tuple[float | None, ...] = (25.0, 50.0, 100.0, 150.0, 250.0, 500.0, None)
"""The budgets of the chart; None: no limit."""
_REQUESTS = 1_000
"""At least so many are replayed at each budget."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One budget."""

    budget_ms: float | None
    value: float
    """The measure's mean over judged queries, each asked equally often; one without candidates counts as 0."""
    depth: float
    refined_depth: float
    """How many of a request's candidates the larger model of a cascade rescored, in the mean."""
    outcomes: Mapping[str, float]
    by_query: Mapping[str, float] = field(repr=False)
    """Query → the mean of its answers; what two curves are compared by."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """One model on one collection at one load."""

    model: str
    measure: str
    rate: float
    """Requests a second, arriving independently of each other."""
    load: float
    """The same as a share of the full queries that the model can score on this machine."""
    retrieval: float
    """The retrieval order's value."""
    points: tuple[Point, ...]
    cascade: bool = False
    """Whether it is that of a cascade."""

    def as_json(self) -> dict[str, Any]:
        return {
            "model": self.model,
            "measure": self.measure,
            "rate": round(self.rate, 3),
            "load": round(self.load, 3),
            "retrieval": round(self.retrieval, 4),
            "points": [
                {
                    "budget_ms": point.budget_ms,
                    "value": round(point.value, 4),
                    "depth": round(point.depth, 2),
                    "refined_depth": round(point.refined_depth, 2),
                    "outcomes": {name: round(share, 4) for name, share in point.outcomes.items()},
                }
                for point in self.points
            ],
        }


def curve(
    collection: Collection,
    recording: Recording,
    *,
    rate: float,
    refiner: Recording | None = None,
    policy: CascadePolicy | None = None,
    budgets_ms: Sequence[float | None] = BUDGETS_MS,
    name: str = "ndcg@10",
    relevant_from: int = 1,
    requests: int = _REQUESTS,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> Curve:
    """Replay the recorded requests at each budget, and measure the orders that callers would have had.

    `rate` is in requests a second and the same for every model that is compared. Whole rounds are asked, so
    that each query counts the same. Without a limit the answers are those of an idle machine: a queue that
    nobody leaves has no end where the load is beyond what the model can do. `refiner`: the larger model of a
    cascade, recorded on the same candidates; `policy`: how it is used.
    """
    rounds = -(-requests // len(recording.queries))
    policy = policy or CascadePolicy()
    measured = _Measured(collection, recording, name, relevant_from, refiner)
    points = []
    for done, budget in enumerate(budgets_ms, 1):
        if budget is None:
            answers = [
                Replayed(query, (True,) * len(each.texts), _all_refined(each, policy) if refiner else ())
                for query, each in recording.queries.items()
            ]
        else:
            asked = rounds * len(recording.queries)
            answers = replay(
                recording, refiner, budget_ms=budget, rate=rate, requests=asked, seed=seed, policy=policy
            )
        points.append(_point(budget, answers, measured, recording.without))
        if progress is not None:
            progress(done, len(budgets_ms))
    unscored = [Replayed(query, (False,) * len(each.texts)) for query, each in recording.queries.items()]
    return Curve(
        model=recording.model if refiner is None else f"{recording.model}+{refiner.model}",
        measure=name,
        rate=rate,
        load=rate / recording.capacity(),
        retrieval=_point(None, unscored, measured, recording.without).value,
        points=tuple(points),
        cascade=refiner is not None,
    )


def answered(recording: Recording, answer: Replayed, refiner: Recording | None = None) -> list[str]:
    """The documents of an answer, in its order, and after them the rest of the run."""
    query = recording.queries[answer.query]
    logits = [logit if scored else None for logit, scored in zip(query.logits, answer.scored, strict=True)]
    second: list[float | None] = [None] * len(logits)
    if refiner is not None and answer.refined:
        found = refiner.queries[answer.query].logits
        second = [logit if refined else None for logit, refined in zip(found, answer.refined, strict=True)]
    order = cascade.order(logits, second)
    return [*(query.documents[place] for place in order), *query.documents[len(logits) :]]


def point(
    collection: Collection,
    recording: Recording,
    budget_ms: float | None,
    answers: Sequence[Replayed],
    *,
    name: str = "ndcg@10",
    relevant_from: int = 1,
    refiner: Recording | None = None,
) -> Point:
    """Measure answers that were had in another way, at the same budget."""
    measured = _Measured(collection, recording, name, relevant_from, refiner)
    return _point(budget_ms, answers, measured, recording.without)


class _Measured:
    """The value of each distinct answer; most answers come again and again."""

    def __init__(
        self,
        collection: Collection,
        recording: Recording,
        name: str,
        relevant_from: int,
        refiner: Recording | None,
    ) -> None:
        self._refiner = refiner
        self._collection = collection
        self._recording = recording
        self._name = name
        self._relevant_from = relevant_from
        self._known: dict[Replayed, float] = {}

    def values(self, answers: Iterable[Replayed]) -> dict[Replayed, float]:
        new = {str(number): answer for number, answer in enumerate(set(answers) - self._known.keys())}
        if new:
            # each answer is measured as if it were a query of its own, in one call
            found = measure(
                {key: self._collection.judgements[answer.query] for key, answer in new.items()},
                {key: answered(self._recording, answer, self._refiner) for key, answer in new.items()},
                relevant_from=self._relevant_from,
                measures=(self._name,),
            )
            self._known |= {answer: found[key][self._name] for key, answer in new.items()}
        return self._known


def _point(
    budget_ms: float | None, answers: Sequence[Replayed], measured: _Measured, without: Iterable[str]
) -> Point:
    """`without`: the judged queries that nothing could be asked for."""
    values = measured.values(answers)
    sums: dict[str, list[float]] = {}
    for answer in answers:
        sums.setdefault(answer.query, []).append(values[answer])
    by_query = {query: sum(found) / len(found) for query, found in sums.items()}
    by_query |= dict.fromkeys(without, 0.0)
    outcomes = Counter(_outcome(answer) for answer in answers)
    return Point(
        budget_ms=budget_ms,
        value=sum(by_query.values()) / len(by_query),
        depth=sum(answer.depth for answer in answers) / len(answers),
        refined_depth=sum(sum(answer.refined) for answer in answers) / len(answers),
        outcomes={outcome.value: outcomes[outcome] / len(answers) for outcome in Outcome},
        by_query=by_query,
    )


def _all_refined(query: RecordedQuery, policy: CascadePolicy) -> tuple[bool, ...]:
    chosen = {position for tier in cascade.tiers(query.logits, policy) for position in tier}
    return tuple(position in chosen for position in range(len(query.logits)))


def _outcome(answer: Replayed) -> Outcome:
    if all(answer.scored):
        return Outcome.RERANKED
    return Outcome.PARTIAL if any(answer.scored) else Outcome.SKIPPED
