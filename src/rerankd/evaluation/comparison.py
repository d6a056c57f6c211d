"""Several systems on the same queries: models, depths, budgets, and the retrieval order that they start from."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

from rerankd.errors import ConfigError
from rerankd.evaluation.evaluate import Evaluation, as_json
from rerankd.evaluation.significance import Difference, difference

__all__ = ["Comparison", "Pair", "System"]


@dataclass(frozen=True, slots=True)
class System:
    """One way to rerank the collection, by a name that tells it from the others."""

    name: str
    result: Evaluation


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """What the second of two systems gains over the first."""

    first: str
    second: str
    gains: dict[str, Difference] = field(repr=False)


class Comparison:
    """Evaluations of one collection, with the same run, queries and measures."""

    def __init__(self, results: Sequence[Evaluation]) -> None:
        """Raises `ConfigError` where they were not made on the same."""
        if not results:
            raise ConfigError("compare: nothing was evaluated")
        if len({_made_on(result) for result in results}) > 1:
            raise ConfigError("compare: the evaluations were made on different queries, runs or measures")
        self.systems = [System(name, result) for name, result in zip(_names(results), results, strict=True)]

    @property
    def first(self) -> Evaluation:
        """For what all have in common."""
        return self.systems[0].result

    def pairs(self) -> Iterator[Pair]:
        """Every two systems, the later against the earlier."""
        for first, second in combinations(self.systems, 2):
            yield Pair(
                first=first.name,
                second=second.name,
                gains={
                    name: difference(
                        [query.reranked[name] for query in first.result.judged],
                        [query.reranked[name] for query in second.result.judged],
                    )
                    for name in self.first.measures
                },
            )

    def as_json(self) -> dict[str, Any]:
        """One system: the shape of `Evaluation.as_json`; several: what they share, `systems` and `pairs`."""
        if len(self.systems) == 1:
            return self.first.as_json()
        shared = self.first.as_json()
        common = ("dataset", "queries", "sample", "run", "relevant_from", "group", "retrieval", "notes")
        kept = {name: shared[name] for name in common}
        own = ("model", "depth", "budget_ms", "reranked", "outcomes", "latency_ms", "gain")
        systems = []
        for system in self.systems:
            found = system.result.as_json()
            systems.append({"name": system.name, **{name: found[name] for name in own}})
        pairs = [
            {
                "first": pair.first,
                "second": pair.second,
                "gain": {name: as_json(gain) for name, gain in pair.gains.items()},
            }
            for pair in self.pairs()
        ]
        return {**kept, "systems": systems, "pairs": pairs}


def _made_on(result: Evaluation) -> tuple[object, ...]:
    queries = tuple(query.query for query in result.judged)
    return (
        result.dataset,
        result.run,
        result.run_digest,
        result.relevant_from,
        result.group,
        result.measures,
        queries,
    )


def _names(results: Sequence[Evaluation]) -> list[str]:
    """The model, and of depth and budget what is not the same for all."""
    depths = {result.depth for result in results}
    budgets = {result.budget_ms for result in results}
    names = []
    for result in results:
        parts = [result.model() or "no model"]
        if len(depths) > 1:
            parts.append(f"depth {result.depth}")
        if len(budgets) > 1:
            parts.append("no limit" if result.budget_ms is None else f"{result.budget_ms:g} ms")
        names.append(", ".join(parts))
    return names
