"""NVIDIA NIM's ranking endpoint."""

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict

from rerankd.core.answer import Ranking
from rerankd.http.call import Answered, Call, Foreign, Many, Query, TextObject, scores
from rerankd.http.refusal import Kind, Refusal

__all__ = ["Nim", "NimAnswer", "NimRequest"]


class NimQuery(BaseModel):
    """The query, wrapped."""

    model_config = ConfigDict(strict=True, extra="ignore")
    text: Query


class NimRequest(Foreign):
    """Query and passages are objects. Answers carry logits."""

    query: NimQuery
    passages: Many[TextObject]
    model: str | None = None
    truncate: Literal["NONE", "END"] | None = None


class NimRanking(Answered):
    index: int
    logit: float


class NimAnswer(Answered):
    rankings: list[NimRanking]


class NimError(BaseModel):
    object: Literal["error"]
    message: str
    detail: dict[str, str | None]
    type: Kind


class Nim:
    """`/v1/ranking` and `/nim/v1/ranking`."""

    name: ClassVar = "nim"
    texts: ClassVar = "passages"
    Request: ClassVar[type[BaseModel]] = NimRequest
    Answer: ClassVar[Any] = NimAnswer
    Error: ClassVar[type[BaseModel]] = NimError

    def read(self, request: NimRequest) -> Call:
        return Call(
            query=request.query.text,
            candidates=[each.text for each in request.passages],
            budget_ms=request.budget_ms,
            model=request.model,
            raw_scores=True,
        )

    def write(self, ranking: Ranking, call: Call, model: str, id: str) -> dict[str, Any]:
        return {
            "rankings": [
                {"index": each.retrieval_rank - 1, "logit": score}
                for each, score in zip(ranking, scores(ranking, raw=True), strict=True)
            ]
        }

    def refuse(self, refusal: Refusal, id: str) -> Mapping[str, Any]:
        about = {"param": refusal.param, "code": refusal.code}
        return {"object": "error", "message": refusal.message, "detail": about, "type": refusal.kind}
