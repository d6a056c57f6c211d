"""The superset for `/rerank` and `/v1/rerank`, where clients of several dialects send the same body."""

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from pydantic import BaseModel, Field

from rerankd.core.answer import Ranking
from rerankd.http.call import Answered, Call, Foreign, Many, Query, scores
from rerankd.http.dialects.cohere import FieldsObject, Meta, RankFields, texts_of
from rerankd.http.dialects.errors import ErrorObject
from rerankd.http.refusal import Refusal, union_body

__all__ = ["Union", "UnionAnswer", "UnionError", "UnionRequest"]


class UnionRequest(Foreign):
    """What Jina's, vLLM's, Infinity's and Cohere's first API share. `top_n` 0 means all."""

    query: Query
    documents: Many[str | FieldsObject]
    model: str | None = None
    top_n: int | None = Field(default=None, ge=0)
    rank_fields: RankFields = None
    return_documents: bool | None = None
    raw_scores: bool = False


class UnionUsage(Answered):
    prompt_tokens: int
    total_tokens: int


class UnionDocument(Answered):
    text: str


class UnionResult(Answered):
    index: int
    relevance_score: float
    document: UnionDocument | None = None


class UnionAnswer(Answered):
    id: str
    object: Literal["list"]
    model: str
    usage: UnionUsage
    meta: Meta
    results: list[UnionResult]


class UnionError(BaseModel):
    detail: str
    message: str
    id: str
    error: ErrorObject


class Union:
    """The dialect of clients that do not say which they are."""

    name: ClassVar = "union"
    texts: ClassVar = "documents"
    Request: ClassVar[type[BaseModel]] = UnionRequest
    Answer: ClassVar[Any] = UnionAnswer
    Error: ClassVar[type[BaseModel]] = UnionError

    def read(self, request: UnionRequest) -> Call:
        return Call(
            query=request.query,
            candidates=texts_of(request.documents, request.rank_fields),
            top_k=request.top_n or None,
            budget_ms=request.budget_ms,
            model=request.model,
            raw_scores=request.raw_scores,
            # only where it was asked for in so many words: Infinity's clients stumble over an object here
            with_texts=request.return_documents is True,
        )

    def write(self, ranking: Ranking, call: Call, model: str, id: str) -> dict[str, Any]:
        results = []
        for each, score in zip(ranking, scores(ranking, raw=call.raw_scores), strict=True):
            result: dict[str, Any] = {"index": each.retrieval_rank - 1, "relevance_score": score}
            if call.with_texts:
                result["document"] = {"text": each.text}
            results.append(result)
        tokens = call.usage()
        return {
            "id": id,
            "object": "list",
            "model": model,
            "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
            "meta": {"api_version": {"version": "1"}, "billed_units": {"search_units": 1}},
            "results": results,
        }

    def refuse(self, refusal: Refusal, id: str) -> Mapping[str, Any]:
        return union_body(refusal, id)
