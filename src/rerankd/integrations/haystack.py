"""Haystack: a ranker component for pipelines."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from haystack import Document, component, default_from_dict, default_to_dict
from haystack.utils import Secret

from rerankd.client import Client
from rerankd.core.answer import Ranking
from rerankd.errors import ConfigError
from rerankd.integrations.asking import Asking, Ranks
from rerankd.reranker import UNSET, Unset

__all__ = ["RerankdRanker"]


@component
class RerankdRanker:
    """Reorders documents within a budget: by a service, or in this process.

    A pipeline that is to be saved takes `url`; a reranker that is open cannot be written down.
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        reranker: Ranks | None = None,
        api_key: Secret | None = None,
        top_k: int | None = None,
        budget_ms: float | Unset | None = UNSET,
        on_ranking: Callable[[Ranking], object] | None = None,
    ) -> None:
        """`url`: of a service. `reranker`: a `rerankd.Reranker` that is open, or a `rerankd.Client`. One of both.

        `api_key`: for the service. `top_k`: how many documents to return; None: all. `budget_ms`: left out, the
        reranker's own; None, no limit. `on_ranking` hears how each order came about. Raises `ConfigError`.
        """
        if (url is None) == (reranker is None):
            raise ConfigError("RerankdRanker: needs either a url or a reranker")
        self.url, self.reranker, self.api_key = url, reranker, api_key
        self.top_k, self.budget_ms, self.on_ranking = top_k, budget_ms, on_ranking
        self._client: Client | None = None

    def warm_up(self) -> None:
        """Make the service's client."""
        if self.url is not None and self._client is None:
            self._client = Client(self.url, api_key=self.api_key.resolve_value() if self.api_key else None)

    def close(self) -> None:
        """Give the client's connections back."""
        client, self._client = self._client, None
        if client is not None:
            client.close()

    def to_dict(self) -> dict[str, Any]:
        """For a saved pipeline. Raises `ConfigError` with a reranker or an `on_ranking`, which cannot be saved."""
        if self.reranker is not None or self.on_ranking is not None:
            raise ConfigError("RerankdRanker: only one with a url and without on_ranking can be saved")
        given: dict[str, Any] = {"url": self.url, "top_k": self.top_k}
        if self.api_key is not None:
            given["api_key"] = self.api_key.to_dict()
        if not isinstance(self.budget_ms, Unset):
            given["budget_ms"] = self.budget_ms
        saved: dict[str, Any] = default_to_dict(self, **given)
        return saved

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> "RerankdRanker":
        """From a saved pipeline."""
        given = dict(data.get("init_parameters", {}))
        if isinstance(given.get("api_key"), dict):
            given["api_key"] = Secret.from_dict(given["api_key"])
        made: RerankdRanker = default_from_dict(cls, {**data, "init_parameters": given})
        return made

    @component.output_types(documents=list[Document])
    def run(
        self, query: str, documents: list[Document], top_k: int | None = None
    ) -> dict[str, list[Document]]:
        """The documents in their new order, as copies with their scores."""
        return {"documents": _scored(self._asking(top_k).ask(query, documents))}

    @component.output_types(documents=list[Document])
    async def run_async(
        self, query: str, documents: list[Document], top_k: int | None = None
    ) -> dict[str, list[Document]]:
        """`run`, without blocking the event loop."""
        return {"documents": _scored(await self._asking(top_k).ask_async(query, documents))}

    def _asking(self, top_k: int | None) -> Asking[Document]:
        self.warm_up()
        ranks = self.reranker or self._client
        assert ranks is not None
        return Asking(
            ranks=ranks,
            text=lambda document: str(document.content or ""),
            top_k=self.top_k if top_k is None else top_k,
            budget_ms=self.budget_ms,
            on_ranking=self.on_ranking,
        )


def _scored(found: Sequence[tuple[Document, float]]) -> list[Document]:
    return [replace(document, score=score) for document, score in found]
