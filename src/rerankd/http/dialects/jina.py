"""Jina AI's API."""

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from pydantic import BaseModel

from rerankd.core.answer import Ranking
from rerankd.http.call import Answered, Call, Foreign, Many, Query, TextObject, TopN, scores
from rerankd.http.dialects.errors import Detail, detail
from rerankd.http.refusal import Refusal

__all__ = ["Jina", "JinaAnswer", "JinaRequest"]


class JinaRequest(Foreign):
    """Texts, or objects with a `text`, which come back unless `return_documents` is false."""

    query: Query
    documents: Many[str | TextObject]
    model: str | None = None
    top_n: TopN = None
    return_documents: bool = True


class JinaUsage(Answered):
    total_tokens: int


class JinaDocument(Answered):
    text: str


class JinaResult(Answered):
    index: int
    relevance_score: float
    document: JinaDocument | None = None


class JinaAnswer(Answered):
    model: str
    object: Literal["list"]
    usage: JinaUsage
    results: list[JinaResult]


class Jina:
    """`/jina/v1/rerank`."""

    name: ClassVar = "jina"
    texts: ClassVar = "documents"
    Request: ClassVar[type[BaseModel]] = JinaRequest
    Answer: ClassVar[Any] = JinaAnswer
    Error: ClassVar[type[BaseModel]] = Detail

    def read(self, request: JinaRequest) -> Call:
        return Call(
            query=request.query,
            candidates=[each if isinstance(each, str) else each.text for each in request.documents],
            top_k=request.top_n,
            budget_ms=request.budget_ms,
            model=request.model,
            with_texts=request.return_documents,
        )

    def write(self, ranking: Ranking, call: Call, model: str, id: str) -> dict[str, Any]:
        results = []
        for each, score in zip(ranking, scores(ranking), strict=True):
            result: dict[str, Any] = {"index": each.retrieval_rank - 1, "relevance_score": score}
            if call.with_texts:
                result["document"] = {"text": each.text}
            results.append(result)
        usage = {"total_tokens": call.usage()}
        return {"model": model, "object": "list", "usage": usage, "results": results}

    def refuse(self, refusal: Refusal, id: str) -> Mapping[str, Any]:
        return detail(refusal)
