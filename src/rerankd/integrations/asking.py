"""What the adapters have in common: whom they ask, and the scores that they hand on."""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from rerankd.core.answer import RankedCandidate, Ranking
from rerankd.core.falling import falling, on_one_scale
from rerankd.reranker import UNSET, Unset

__all__ = ["Asking", "Ranks"]

Item = TypeVar("Item")


class Ranks(Protocol):
    """A `rerankd.Reranker` that is open, or a `rerankd.Client`. One with an `arerank` is asked by that in an
    event loop, and else from a thread."""

    def rerank(
        self,
        query: str,
        candidates: Iterable[Any],
        *,
        budget_ms: float | Unset | None = ...,
        top_k: int | None = ...,
        text: Callable[[Any], str] | None = ...,
    ) -> Ranking: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Asking(Generic[Item]):
    """A framework's documents to a ranking and back.

    Frameworks sort and cut by score, so every document gets one, and they never rise along the answer: an
    unscored document's lies between its neighbours', and a cascade's are dealt out anew, best first. A threshold
    on such scores means nothing.
    """

    ranks: Ranks
    text: Callable[[Item], str]
    top_k: int | None = None
    budget_ms: float | Unset | None = UNSET
    on_ranking: Callable[[Ranking], object] | None = None
    """Hears how each order came about: outcome, reason, depth."""

    def ask(self, query: str, items: Sequence[Item]) -> list[tuple[Item, float]]:
        """The documents in their new order, each with its score."""
        return self._told(self.ranks.rerank(query, items, **self._given()))

    async def ask_async(self, query: str, items: Sequence[Item]) -> list[tuple[Item, float]]:
        """`ask`, without blocking the event loop."""
        arerank = getattr(self.ranks, "arerank", None)
        if arerank is not None:
            return self._told(await arerank(query, items, **self._given()))
        return self._told(await asyncio.to_thread(self.ranks.rerank, query, items, **self._given()))

    def _given(self) -> dict[str, Any]:
        return {"budget_ms": self.budget_ms, "top_k": self.top_k, "text": self.text}

    def _told(self, ranking: Ranking) -> list[tuple[Item, float]]:
        if self.on_ranking is not None:
            self.on_ranking(ranking)
        scores = falling(on_one_scale([_score(each) for each in ranking]))
        return [(each.item, score) for each, score in zip(ranking, scores, strict=True)]


def _score(candidate: RankedCandidate) -> float | None:
    # a service tells a client no score of the first pass: of the two models' scores together only the fall is kept
    return candidate.score if candidate.first_score is None else candidate.first_score
