"""What every dialect's request comes down to, and what a dialect is."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Protocol, TypeVar

from pydantic import BaseModel, ConfigDict, FailFast, Field

from rerankd.core.answer import Ranking
from rerankd.core.falling import falling, on_one_scale
from rerankd.core.lengths import estimated_tokens
from rerankd.core.types import LongText, OnDeadline, Text
from rerankd.http.refusal import Refusal

__all__ = [
    "SHOWN_CHARS",
    "Answered",
    "Budget",
    "Call",
    "Dialect",
    "Foreign",
    "Many",
    "Query",
    "TextObject",
    "TopN",
    "refuse_unknown",
    "scores",
]

_Item = TypeVar("_Item")
Many = Annotated[list[_Item], FailFast()]
"""A list of which the first wrong item is told: telling of a million takes seconds, in which nobody is served."""
Query = Annotated[str, Field(min_length=1, pattern=r"\S", description="What is searched for.")]
SHOWN_CHARS = 60
"""A refusal shows no longer name of a field."""
TopN = Annotated[int | None, Field(ge=1, description="How many to return; null: all.")]
Budget = Annotated[
    float | None,
    Field(ge=0, description="Milliseconds from the request's arrival to its answer. Ours, in any dialect."),
]


class Foreign(BaseModel):
    """A request in somebody else's dialect: types are checked, fields that we do not know are ignored."""

    model_config = ConfigDict(strict=True, extra="ignore")
    budget_ms: Budget = None


class Answered(BaseModel):
    """An answer's schema, for the OpenAPI description; answers are written as plain data."""

    model_config = ConfigDict(extra="forbid")


class TextObject(BaseModel):
    """A document that is an object."""

    model_config = ConfigDict(strict=True, extra="ignore")
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A request, whatever its dialect."""

    query: str
    candidates: Sequence[Any]
    """Texts, or objects with a `text`, in retrieval order."""
    top_k: int | None = None
    min_score: float | None = None
    on_deadline: OnDeadline | None = None
    long_text: LongText | None = None
    budget_ms: float | None = None
    """What the body asks for; None: it asks for nothing."""
    model: str | None = None
    """The model that the client named."""
    raw_scores: bool = False
    """Logits instead of scores from 0 to 1."""
    with_texts: bool = False
    """The client wants its texts back."""
    stream: bool = False

    def usage(self) -> int:
        """Tokens, guessed from the characters: an answer in retrieval order has counted none."""
        query = Text(self.query)
        return sum(estimated_tokens(query, Text(_text(each)), max_tokens=1 << 30) for each in self.candidates)


class Dialect(Protocol):
    """How one kind of client asks and wants to be answered."""

    name: ClassVar[str]
    texts: ClassVar[str]
    """What the request calls its candidates."""
    Request: ClassVar[type[BaseModel]]
    Answer: ClassVar[Any]
    """The answer's type, for the OpenAPI description."""
    Error: ClassVar[type[BaseModel]]

    def read(self, request: Any) -> Call:
        """`request`: a checked `Request`. Raises `Refusal` for what its types cannot say."""
        ...

    def write(self, ranking: Ranking, call: Call, model: str, id: str) -> Any:
        """The answer as JSON's plain data. `model`: the name to echo. `id`: the request's."""
        ...

    def refuse(self, refusal: Refusal, id: str) -> Mapping[str, Any] | None:
        """The body of a refusal; None: it has none."""
        ...


def refuse_unknown(model: type[BaseModel], given: Any, place: str = "") -> None:
    """Raises `Refusal` for the first key that the model has no field for. Pydantic would list all of them first.

    `place`: where `given` is, with a dot at its end.
    """
    if isinstance(given, dict):
        for name in given:
            if name not in model.model_fields:
                field = f"{place}{name[:SHOWN_CHARS]}"
                raise Refusal(
                    "validation",
                    f"{field}: is not a field of this request",
                    param=field,
                    code="extra_forbidden",
                )


def scores(ranking: Ranking, *, raw: bool = False) -> list[float]:
    """A score for every candidate of the answer, never rising: clients sort by it.

    JSON has no infinity, so a raw score that is one is given as the largest number.
    """
    given = on_one_scale([each.first_logit if raw else each.first_score for each in ranking])
    return [_finite(score) for score in falling(given, raw=raw)]


def _finite(score: float) -> float:
    return score if math.isfinite(score) else math.copysign(1.7976931348623157e308, score)


def _text(candidate: Any) -> str:
    return candidate if isinstance(candidate, str) else str(candidate["text"])
