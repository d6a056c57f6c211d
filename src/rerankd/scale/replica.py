"""One scorer of the cluster: a model with its engine and its circuit, in a process of its own."""

from typing import Any

from rerankd.backends.replicas import Answer, Served
from rerankd.core.types import Outcome
from rerankd.errors import BackendError
from rerankd.reranker import Reranker
from rerankd.settings import Settings
from rerankd.wiring import build

__all__ = ["Replica"]


class Replica:
    """What Ray Serve runs many of.

    It is ready when its model is loaded, so a rollout replaces the old one only by one that can score, and a
    model that cannot be loaded never takes the place of one that was.
    """

    def __init__(self, settings: Settings, reranker: Reranker | None = None) -> None:
        """`reranker`: instead of the one that the settings describe, for tests."""
        self._reranker = reranker or build(settings, require_model=True, isolated=False)
        self._reranker.__enter__()

    async def describe(self) -> Served:
        return self._served()

    async def score(self, query: str, texts: list[str], budget_ms: float | None) -> Answer:
        """The scores that fit into the budget, which begins now. An open circuit answers at once, without any."""
        ranking = await self._reranker.arerank(query, texts, budget_ms=budget_ms)
        logits: list[float | None] = [None] * len(texts)
        for candidate in ranking:
            logits[candidate.retrieval_rank - 1] = candidate.logit
        reason = (
            None if ranking.outcome is Outcome.RERANKED or ranking.reason is None else ranking.reason.value
        )
        return Answer(logits=tuple(logits), reason=reason, served=self._served())

    def check_health(self) -> None:
        """Ray Serve asks now and then, and replaces the replica when this raises."""
        status = self._reranker.status()
        if status.model_state == "unavailable":
            raise BackendError(f"the model is lost: {status.error}")

    def __del__(self) -> None:
        reranker: Any = getattr(self, "_reranker", None)
        if reranker is not None:
            reranker.close()

    def _served(self) -> Served:
        status = self._reranker.status()
        return Served(
            model=status.model or "",
            device=status.device or "",
            max_tokens=status.max_tokens or 512,
            activation=self._reranker.activation,
        )
