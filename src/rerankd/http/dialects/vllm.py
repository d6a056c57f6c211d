"""vLLM's rerank endpoints."""

from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import BaseModel, Field

from rerankd.core.answer import Ranking
from rerankd.http.call import Answered, Call, Foreign, Many, Query, TextObject, scores
from rerankd.http.dialects.errors import Wrapped, wrapped
from rerankd.http.refusal import Refusal

__all__ = ["Vllm", "VllmAnswer", "VllmRequest"]


class VllmRequest(Foreign):
    """`top_n` 0 means all. Texts only: we serve no model that looks at pictures."""

    query: Query
    documents: Many[str | TextObject]
    model: str | None = None
    top_n: int | None = Field(default=0, ge=0)


class VllmUsage(Answered):
    prompt_tokens: int
    total_tokens: int


class VllmDocument(Answered):
    text: str
    multi_modal: None


class VllmResult(Answered):
    index: int
    document: VllmDocument
    relevance_score: float


class VllmAnswer(Answered):
    id: str
    model: str
    usage: VllmUsage
    results: list[VllmResult]


class Vllm:
    """`/vllm/rerank`, `/vllm/v1/rerank`, `/vllm/v2/rerank`."""

    name: ClassVar = "vllm"
    texts: ClassVar = "documents"
    Request: ClassVar[type[BaseModel]] = VllmRequest
    Answer: ClassVar[Any] = VllmAnswer
    Error: ClassVar[type[BaseModel]] = Wrapped

    def read(self, request: VllmRequest) -> Call:
        return Call(
            query=request.query,
            candidates=[each if isinstance(each, str) else each.text for each in request.documents],
            top_k=request.top_n or None,
            budget_ms=request.budget_ms,
            model=request.model,
        )

    def write(self, ranking: Ranking, call: Call, model: str, id: str) -> dict[str, Any]:
        tokens = call.usage()
        return {
            "id": id,
            "model": model,
            "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
            "results": [
                {
                    "index": each.retrieval_rank - 1,
                    "document": {"text": each.text, "multi_modal": None},
                    "relevance_score": score,
                }
                for each, score in zip(ranking, scores(ranking), strict=True)
            ],
        }

    def refuse(self, refusal: Refusal, id: str) -> Mapping[str, Any]:
        return wrapped(refusal)
