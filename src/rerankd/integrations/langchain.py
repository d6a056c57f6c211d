"""LangChain: a document compressor, for `ContextualCompressionRetriever` and wherever one is taken."""

from collections.abc import Callable, Sequence
from typing import Any

from langchain_core.callbacks import Callbacks
from langchain_core.documents import BaseDocumentCompressor, Document
from pydantic import ConfigDict

from rerankd.core.answer import Ranking
from rerankd.integrations.asking import Asking
from rerankd.reranker import UNSET, Unset

__all__ = ["RerankdCompressor"]


class RerankdCompressor(BaseDocumentCompressor):
    """Reorders documents within a budget; they come back as copies, with `relevance_score` in the metadata."""

    model_config = ConfigDict(arbitrary_types_allowed=True, extra="forbid")

    reranker: Any
    """A `rerankd.Reranker` that is open, or a `rerankd.Client`."""
    top_n: int | None = None
    """How many documents to return; None: all."""
    budget_ms: float | Unset | None = UNSET
    """Milliseconds; left out: the reranker's own; None: no limit."""
    on_ranking: Callable[[Ranking], object] | None = None
    """Hears how each order came about: outcome, reason, depth."""

    def compress_documents(
        self, documents: Sequence[Document], query: str, callbacks: Callbacks | None = None
    ) -> Sequence[Document]:
        """The documents in their new order."""
        return _scored(self._asking().ask(query, documents))

    async def acompress_documents(
        self, documents: Sequence[Document], query: str, callbacks: Callbacks | None = None
    ) -> Sequence[Document]:
        """`compress_documents`, without blocking the event loop."""
        return _scored(await self._asking().ask_async(query, documents))

    def _asking(self) -> Asking[Document]:
        return Asking(
            ranks=self.reranker,
            text=lambda document: str(document.page_content),
            top_k=self.top_n,
            budget_ms=self.budget_ms,
            on_ranking=self.on_ranking,
        )


def _scored(found: Sequence[tuple[Document, float]]) -> list[Document]:
    return [
        document.model_copy(update={"metadata": {**document.metadata, "relevance_score": score}})
        for document, score in found
    ]
