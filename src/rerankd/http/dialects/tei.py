"""Text Embeddings Inference (Hugging Face)."""

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field

from rerankd.core.answer import Ranking
from rerankd.http.call import Answered, Call, Foreign, Many, Query, scores
from rerankd.http.refusal import Kind, Refusal

__all__ = ["Tei", "TeiError", "TeiRank", "TeiRequest"]


class TeiRequest(Foreign):
    """`truncate` is taken and ignored: a text longer than the window is always cut."""

    query: Query
    texts: Many[str] = Field(json_schema_extra={"minItems": 1})
    truncate: bool | None = None
    truncation_direction: Literal["left", "right", "Left", "Right"] = "right"
    raw_scores: bool = False
    return_text: bool = False


class TeiRank(Answered):
    """One text's place."""

    model_config = ConfigDict(extra="forbid")
    index: int
    score: float
    text: str | None = None


class TeiError(BaseModel):
    error: str
    error_type: Kind


class Tei:
    """`/tei/rerank`, and `/rerank` where the body has `texts`."""

    name: ClassVar = "tei"
    texts: ClassVar = "texts"
    Request: ClassVar[type[BaseModel]] = TeiRequest
    Answer: ClassVar[Any] = list[TeiRank]
    Error: ClassVar[type[BaseModel]] = TeiError

    def read(self, request: TeiRequest) -> Call:
        if not request.texts:
            raise Refusal("empty", "texts: must not be empty", param="texts")
        return Call(
            query=request.query,
            candidates=request.texts,
            budget_ms=request.budget_ms,
            raw_scores=request.raw_scores,
            with_texts=request.return_text,
        )

    def write(self, ranking: Ranking, call: Call, model: str, id: str) -> list[dict[str, Any]]:
        ranks = []
        for each, score in zip(ranking, scores(ranking, raw=call.raw_scores), strict=True):
            rank: dict[str, Any] = {"index": each.retrieval_rank - 1, "score": score}
            if call.with_texts:
                rank["text"] = each.text
            ranks.append(rank)
        return ranks

    def refuse(self, refusal: Refusal, id: str) -> Mapping[str, Any] | None:
        # the original answers 401 without a body
        if refusal.kind == "unauthorized":
            return None
        return {"error": refusal.message, "error_type": refusal.kind}
