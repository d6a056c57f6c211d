"""Infinity (michaelfeil/infinity)."""

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from pydantic import BaseModel

from rerankd.core.answer import Ranking
from rerankd.engine.clock import utc_now
from rerankd.http.call import Answered, Call, Foreign, Many, Query, TopN, scores
from rerankd.http.dialects.errors import Wrapped, wrapped
from rerankd.http.refusal import Refusal

__all__ = ["Infinity", "InfinityAnswer", "InfinityRequest"]


class InfinityRequest(Foreign):
    """Plain texts. `raw_scores` asks for logits."""

    query: Query
    documents: Many[str]
    model: str | None = None
    top_n: TopN = None
    return_documents: bool = False
    raw_scores: bool = False


class InfinityUsage(Answered):
    prompt_tokens: int
    total_tokens: int


class InfinityResult(Answered):
    relevance_score: float
    index: int
    document: str | None


class InfinityAnswer(Answered):
    object: Literal["rerank"]
    results: list[InfinityResult]
    model: str
    usage: InfinityUsage
    id: str
    created: int


class Infinity:
    """`/infinity/rerank`."""

    name: ClassVar = "infinity"
    texts: ClassVar = "documents"
    Request: ClassVar[type[BaseModel]] = InfinityRequest
    Answer: ClassVar[Any] = InfinityAnswer
    Error: ClassVar[type[BaseModel]] = Wrapped

    def read(self, request: InfinityRequest) -> Call:
        return Call(
            query=request.query,
            candidates=request.documents,
            top_k=request.top_n,
            budget_ms=request.budget_ms,
            model=request.model,
            raw_scores=request.raw_scores,
            with_texts=request.return_documents,
        )

    def write(self, ranking: Ranking, call: Call, model: str, id: str) -> dict[str, Any]:
        tokens = call.usage()
        return {
            "object": "rerank",
            "results": [
                {
                    "relevance_score": score,
                    "index": each.retrieval_rank - 1,
                    "document": each.text if call.with_texts else None,
                }
                for each, score in zip(ranking, scores(ranking, raw=call.raw_scores), strict=True)
            ],
            "model": model,
            "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
            "id": id,
            "created": int(utc_now().timestamp()),
        }

    def refuse(self, refusal: Refusal, id: str) -> Mapping[str, Any]:
        return wrapped(refusal)
