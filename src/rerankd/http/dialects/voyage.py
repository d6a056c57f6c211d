"""Voyage AI's API."""

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from pydantic import BaseModel

from rerankd.core.answer import Ranking
from rerankd.http.call import Answered, Call, Foreign, Many, Query, TopN, scores
from rerankd.http.dialects.errors import Detail, detail
from rerankd.http.refusal import Refusal

__all__ = ["Voyage", "VoyageAnswer", "VoyageRequest"]


class VoyageRequest(Foreign):
    """`truncation` is taken and ignored: a text longer than the window is always cut."""

    query: Query
    documents: Many[str]
    model: str | None = None
    top_k: TopN = None
    return_documents: bool = False
    truncation: bool | None = None


class VoyageUsage(Answered):
    total_tokens: int


class VoyageResult(Answered):
    index: int
    relevance_score: float
    document: str | None = None


class VoyageAnswer(Answered):
    object: Literal["list"]
    data: list[VoyageResult]
    model: str
    usage: VoyageUsage


class Voyage:
    """`/voyage/v1/rerank`, and `/rerank` or `/v1/rerank` where the body has `top_k` or `truncation`."""

    name: ClassVar = "voyage"
    texts: ClassVar = "documents"
    Request: ClassVar[type[BaseModel]] = VoyageRequest
    Answer: ClassVar[Any] = VoyageAnswer
    Error: ClassVar[type[BaseModel]] = Detail

    def read(self, request: VoyageRequest) -> Call:
        return Call(
            query=request.query,
            candidates=request.documents,
            top_k=request.top_k,
            budget_ms=request.budget_ms,
            model=request.model,
            with_texts=request.return_documents,
        )

    def write(self, ranking: Ranking, call: Call, model: str, id: str) -> dict[str, Any]:
        data = []
        for each, score in zip(ranking, scores(ranking), strict=True):
            result: dict[str, Any] = {"index": each.retrieval_rank - 1, "relevance_score": score}
            if call.with_texts:
                result["document"] = each.text
            data.append(result)
        return {"object": "list", "data": data, "model": model, "usage": {"total_tokens": call.usage()}}

    def refuse(self, refusal: Refusal, id: str) -> Mapping[str, Any]:
        return detail(refusal)
