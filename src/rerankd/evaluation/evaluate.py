"""Retrieval order against reranked order, query by query."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from rerankd.core.answer import Ranking
from rerankd.core.types import Candidate, Outcome, Reason, Text
from rerankd.errors import ConfigError
from rerankd.evaluation.collection import Collection
from rerankd.evaluation.measures import MEASURES, mean, measure
from rerankd.evaluation.run import Run
from rerankd.evaluation.sample import sample
from rerankd.evaluation.significance import Difference, difference
from rerankd.summary import percentile

__all__ = ["Evaluation", "Judged", "Reranks", "as_json", "evaluate", "notes", "within"]


class Reranks(Protocol):
    """What is evaluated: a `rerankd.Reranker`, or anything that answers like one."""

    def rerank(self, query: str, candidates: Sequence[Candidate], *, budget_ms: float | None) -> Ranking: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """What was measured on one query."""

    query: str
    retrieval: Mapping[str, float]
    """Measure → value of the first stage's order."""
    reranked: Mapping[str, float]
    """Measure → value of the answer's order."""
    outcome: Outcome | None
    """None when the run has nothing for this query, so that nothing was reranked."""
    reason: Reason | None
    elapsed_ms: float
    model: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """Every query's values; the summary is derived from them."""

    dataset: str
    run: str
    depth: int
    budget_ms: float | None
    relevant_from: int
    measures: tuple[str, ...]
    judged: tuple[Judged, ...] = field(repr=False)
    notes: tuple[str, ...]
    """What a reader should know about the figures, one sentence each."""
    run_file: str
    """The name of the run's file; where it was not read from one, the run's own."""
    run_digest: str
    group: str | None
    """The field of the metadata within whose groups the queries were ranked."""
    sample: int | None
    """How many queries were drawn; None: all were measured."""

    def retrieval(self) -> dict[str, float]:
        return mean([query.retrieval for query in self.judged])

    def reranked(self) -> dict[str, float]:
        return mean([query.reranked for query in self.judged])

    def gains(self) -> dict[str, Difference]:
        """Measure → what reranking gained over the retrieval order."""
        return {
            name: difference(
                [q.retrieval[name] for q in self.judged], [q.reranked[name] for q in self.judged]
            )
            for name in self.measures
        }

    def outcomes(self) -> dict[str, float]:
        """Outcome → its share of the reranked queries."""
        counts = Counter(query.outcome for query in self.judged if query.outcome is not None)
        total = max(1, counts.total())
        return {outcome.value: counts[outcome] / total for outcome in Outcome}

    def latency_ms(self) -> dict[str, float]:
        elapsed = sorted(query.elapsed_ms for query in self.judged if query.outcome is not None)
        return {f"p{q}": percentile(elapsed, q) for q in (50, 95, 99)}

    def model(self) -> str | None:
        """The model that answered."""
        return next((query.model for query in self.judged if query.model is not None), None)

    def as_json(self) -> dict[str, Any]:
        """The shape that `rerankd evaluate --json` prints; others script against it."""
        return {
            "dataset": self.dataset,
            "queries": len(self.judged),
            "sample": self.sample,
            "run": {"file": self.run_file, "digest": self.run_digest},
            "relevant_from": self.relevant_from,
            "group": self.group,
            "depth": self.depth,
            "budget_ms": self.budget_ms,
            "model": self.model(),
            "retrieval": _rounded(self.retrieval(), 4),
            "reranked": _rounded(self.reranked(), 4),
            "outcomes": _rounded(self.outcomes(), 4),
            "latency_ms": _rounded(self.latency_ms(), 3),
            "gain": {name: as_json(gain) for name, gain in self.gains().items()},
            "notes": list(self.notes),
        }


def as_json(found: Difference) -> dict[str, float]:
    """A difference with its 95 % interval and its p-value."""
    return _rounded({"mean": found.mean, "low": found.low, "high": found.high, "p": found.p}, 4)


def evaluate(
    collection: Collection,
    run: Run,
    reranker: Reranks,
    *,
    depth: int = 24,
    budget_ms: float | None = None,
    size: int | None = None,
    relevant_from: int = 1,
    measures: Sequence[str] = MEASURES,
    group: str | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Evaluation:
    """Rerank the first `depth` documents of each judged query, one query at a time, and measure both orders.

    `size` draws that many queries, always the same. `progress(done, total)` is called after each query. The
    rest of the run stays below the reranked head, in its own order, so that both orders hold the same
    documents. `group`: a field of the metadata, such as `conversation`; each query is then ranked among the
    documents of its own group only. Raises `ConfigError` for a depth, size or grade below 1, and for a group
    that a judged query does not have.
    """
    for name, value in (("depth", depth), ("sample", size), ("relevant-from", relevant_from)):
        if value is not None and value < 1:
            raise ConfigError(f"{name}: must be at least 1, got {value!r}")
    queries = sample(collection.judgements, size)
    own = run if group is None else within(run, collection, group)
    firsts = {query: own.orders.get(query, ()) for query in queries}
    rankings: dict[str, Ranking] = {}
    orders: dict[str, Sequence[str]] = {}
    for done, query in enumerate(queries, 1):
        order = firsts[query]
        if order:
            ranking = _rerank(collection, query, order[:depth], reranker, budget_ms)
            rankings[query] = ranking
            orders[query] = [*(str(candidate.id) for candidate in ranking), *order[depth:]]
        if progress is not None:
            progress(done, len(queries))
    grades = {query: collection.judgements[query] for query in queries}
    options: dict[str, Any] = {"relevant_from": relevant_from, "measures": measures}
    before = measure(grades, {query: firsts[query] for query in rankings}, **options)
    after = measure(grades, orders, **options)
    return Evaluation(
        dataset=collection.name,
        run=run.name,
        depth=depth,
        budget_ms=budget_ms,
        relevant_from=relevant_from,
        measures=tuple(measures),
        judged=tuple(_judged(query, before[query], after[query], rankings.get(query)) for query in queries),
        notes=notes(collection, run, size=size, relevant_from=relevant_from, group=group),
        run_file=run.file or run.name,
        run_digest=run.digest(),
        group=group,
        sample=None if len(queries) == len(collection.judgements) else size,
    )


def within(run: Run, collection: Collection, group: str) -> Run:
    """The run, with each judged query's documents of its own group only; `group` is a field of the metadata.

    Raises `ConfigError` for a judged query that has no such field.
    """
    orders = {}
    for query, order in run.orders.items():
        own = collection.queries[query].metadata.get(group)
        if own is None and query in collection.judgements:
            raise ConfigError(f"group: the query {query!r} has no {group!r} in its metadata")
        orders[query] = tuple(key for key in order if collection.documents[key].metadata.get(group) == own)
    return Run(name=run.name, file=run.file, orders=orders)


def _rerank(
    collection: Collection, query: str, head: Sequence[str], reranker: Reranks, budget_ms: float | None
) -> Ranking:
    candidates = [Candidate(id=key, text=collection.documents[key].text) for key in head]
    return reranker.rerank(Text(collection.queries[query].text), candidates, budget_ms=budget_ms)


def _judged(
    query: str, before: Mapping[str, float], after: Mapping[str, float], ranking: Ranking | None
) -> Judged:
    return Judged(
        query=query,
        retrieval=before,
        reranked=after,
        outcome=ranking.outcome if ranking else None,
        reason=ranking.reason if ranking else None,
        elapsed_ms=ranking.elapsed_ms if ranking else 0.0,
        model=ranking.model if ranking else None,
    )


def notes(
    collection: Collection,
    run: Run,
    *,
    size: int | None = None,
    relevant_from: int = 1,
    group: str | None = None,
) -> tuple[str, ...]:
    """What a reader should know about figures that were measured with these options, one sentence each.

    `run`: the whole one, also where a group narrows it. Raises `ConfigError` as `within` does.
    """
    queries = sample(collection.judgements, size)
    own = run if group is None else within(run, collection, group)
    firsts = {query: own.orders.get(query, ()) for query in queries}
    found = []
    if collection.unjudged:
        found.append(f"{collection.unjudged:,} queries have no judgement and are left out.")
    without = sum(not order for order in firsts.values())
    if without:
        found.append(f"{without:,} judged queries have no line in the run and count as 0.")
    hopeless = sum(
        all(grade < relevant_from for grade in collection.judgements[query].values()) for query in queries
    )
    if hopeless:
        found.append(
            f"{hopeless:,} queries have no document of grade {relevant_from} or better"
            " and count as 0 in every measure but nDCG."
        )
    return (*found, *_foreign(run, firsts, group))


def _foreign(run: Run, firsts: Mapping[str, Sequence[str]], group: str | None) -> tuple[str, ...]:
    left_out = sum(len(run.orders.get(query, ())) - len(order) for query, order in firsts.items())
    if not left_out:
        return ()
    return (
        f"{left_out:,} documents of the run belong to another {group} than their query and are left out.",
    )


def _rounded(values: Mapping[str, float], digits: int) -> dict[str, float]:
    return {name: round(value, digits) for name, value in values.items()}
