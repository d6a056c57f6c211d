"""Our own dialect: it says everything, and it is strict."""

import math
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from rerankd.core.answer import Ranking
from rerankd.core.events import STAGES
from rerankd.core.types import Outcome, Reason
from rerankd.http.call import Answered, Budget, Call, Many, Query, TopN, refuse_unknown
from rerankd.http.dialects.errors import Wrapped, wrapped
from rerankd.http.refusal import Refusal

__all__ = ["Own", "OwnAnswer", "OwnCandidate", "OwnRequest", "OwnResult", "OwnTimings"]


def _writable(metadata: Any) -> Any:
    """What comes back has to be JSON, which has no infinity: a number such as 1e999 is read as one."""
    if _holds_infinity(metadata):
        raise PydanticCustomError("number_too_large", "must not hold a number that is too large")
    return metadata


def _holds_infinity(value: Any) -> bool:
    match value:
        case float():
            return math.isinf(value)
        case dict():
            return any(map(_holds_infinity, value.values()))
        case list():
            return any(map(_holds_infinity, value))
    return False


class OwnCandidate(BaseModel):
    """A candidate with what the first stage knows of it."""

    model_config = ConfigDict(strict=True, extra="forbid")
    text: str
    id: str | int | None = Field(default=None, description="Unique; without one, the position is the id.")
    score: float | None = Field(default=None, description="The first stage's own score.")
    metadata: Annotated[Any, AfterValidator(_writable)] = Field(
        default=None, description="Comes back untouched."
    )


class OwnRequest(BaseModel):
    """Candidates in retrieval order, and how long reordering them may take."""

    model_config = ConfigDict(strict=True, extra="forbid")
    query: Query
    candidates: Many[str | OwnCandidate]
    budget_ms: Budget = None
    top_k: TopN = None
    min_score: float | None = Field(default=None, description="Leaves out what scored below, from 0 to 1.")
    on_deadline: Literal["partial", "retrieval"] | None = None
    long_text: Literal["truncate", "chunk", "fit"] | None = None
    model: str | None = Field(default=None, description="The model that must answer; another is refused.")
    stream: bool = Field(default=False, description="Answer with server-sent events.")

    @model_validator(mode="before")
    @classmethod
    def _known(cls, given: Any) -> Any:
        candidates = given.get("candidates")
        for place, each in enumerate(candidates if isinstance(candidates, list) else ()):
            refuse_unknown(OwnCandidate, each, f"candidates[{place}].")
        return given


class OwnTimings(Answered):
    """Milliseconds by stage."""

    queue: float
    tokenize: float
    inference: float
    refine: float
    order: float


class OwnResult(Answered):
    """A candidate in its new place."""

    id: str | int
    rank: int
    retrieval_rank: int
    score: float | None
    scored: bool
    scored_by: str | None
    text: str
    metadata: Any


class OwnAnswer(Answered):
    """The order, and how it came about."""

    outcome: Outcome
    reason: Reason | None
    depth: int
    refined_depth: int
    candidates_total: int
    elapsed_ms: float
    model: str | None
    results: list[OwnResult]
    timings_ms: OwnTimings


class Own:
    """`/api/v1/rerank`."""

    name: ClassVar = "own"
    texts: ClassVar = "candidates"
    Request: ClassVar[type[BaseModel]] = OwnRequest
    Answer: ClassVar[Any] = OwnAnswer
    Error: ClassVar[type[BaseModel]] = Wrapped

    def read(self, request: OwnRequest) -> Call:
        return Call(
            query=request.query,
            candidates=[each if isinstance(each, str) else each.__dict__ for each in request.candidates],
            top_k=request.top_k,
            min_score=request.min_score,
            on_deadline=request.on_deadline,
            long_text=request.long_text,
            budget_ms=request.budget_ms,
            model=request.model,
            stream=request.stream,
        )

    def write(self, ranking: Ranking, call: Call, model: str, id: str) -> dict[str, Any]:
        timings = ranking.timings
        return {
            **ranking.as_dict(),
            "timings_ms": {stage: round(getattr(timings, stage), 3) for stage in STAGES},
        }

    def refuse(self, refusal: Refusal, id: str) -> Mapping[str, Any]:
        return wrapped(refusal)
