"""LlamaIndex: a node postprocessor, for query engines and wherever one is taken."""

from collections.abc import Callable, Sequence
from typing import Any

from llama_index.core.bridge.pydantic import Field
from llama_index.core.postprocessor.types import BaseNodePostprocessor
from llama_index.core.schema import MetadataMode, NodeWithScore, QueryBundle

from rerankd.core.answer import Ranking
from rerankd.integrations.asking import Asking
from rerankd.reranker import UNSET, Unset

__all__ = ["RerankdPostprocessor"]


class RerankdPostprocessor(BaseNodePostprocessor):
    """Reorders nodes within a budget. The text of a node is what its embedding was made of."""

    reranker: Any = Field(exclude=True)
    """A `rerankd.Reranker` that is open, or a `rerankd.Client`."""
    top_n: int | None = None
    """How many nodes to return; None: all."""
    budget_ms: float | Unset | None = Field(default=UNSET, exclude=True)
    """Milliseconds; left out: the reranker's own; None: no limit."""
    on_ranking: Callable[[Ranking], object] | None = Field(default=None, exclude=True)
    """Hears how each order came about: outcome, reason, depth."""

    @classmethod
    def class_name(cls) -> str:
        return "RerankdPostprocessor"

    def _postprocess_nodes(
        self, nodes: list[NodeWithScore], query_bundle: QueryBundle | None = None
    ) -> list[NodeWithScore]:
        return _scored(self._asking().ask(_query(query_bundle), nodes))

    async def _apostprocess_nodes(
        self, nodes: list[NodeWithScore], query_bundle: QueryBundle | None = None
    ) -> list[NodeWithScore]:
        return _scored(await self._asking().ask_async(_query(query_bundle), nodes))

    def _asking(self) -> Asking[NodeWithScore]:
        return Asking(
            ranks=self.reranker,
            text=lambda found: str(found.node.get_content(metadata_mode=MetadataMode.EMBED)),
            top_k=self.top_n,
            budget_ms=self.budget_ms,
            on_ranking=self.on_ranking,
        )


def _query(bundle: QueryBundle | None) -> str:
    if bundle is None:
        raise ValueError("query_bundle: reranking needs the query, got None")
    return str(bundle.query_str)


def _scored(found: Sequence[tuple[NodeWithScore, float]]) -> list[NodeWithScore]:
    return [NodeWithScore(node=each.node, score=score) for each, score in found]
