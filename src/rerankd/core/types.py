"""The vocabulary that every layer shares."""

import math
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal

__all__ = [
    "Activation",
    "Candidate",
    "CandidateId",
    "LongText",
    "OnDeadline",
    "Outcome",
    "Pair",
    "Reason",
    "Scores",
    "Text",
]

CandidateId = Hashable
"""The caller's: usually a string, a number or a UUID."""
Activation = Literal["sigmoid", "identity"]
OnDeadline = Literal["partial", "retrieval"]
LongText = Literal["truncate", "chunk", "fit"]


class Text(str):
    """A caller's text. Its repr shows only the length, so that no log or traceback repeats it."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"<text of {len(self)} characters>"


class Outcome(StrEnum):
    """Which order the caller got."""

    RERANKED = "reranked"
    """Every candidate was scored (also: there were none)."""
    PARTIAL = "partial"
    """Some were scored and sorted among themselves; the others kept their slots."""
    SKIPPED = "skipped"
    """None was scored: the retrieval order."""


class Reason(StrEnum):
    """Why the outcome is not `reranked`; in order of precedence, the first that applies is given."""

    DISABLED = "disabled"
    SHADOW = "shadow"
    MODEL_UNAVAILABLE = "model_unavailable"
    MODEL_LOADING = "model_loading"
    CIRCUIT_OPEN = "circuit_open"
    RATE_LIMITED = "rate_limited"
    BUDGET_TOO_SMALL = "budget_too_small"
    OVERLOADED = "overloaded"
    MODEL_ERROR = "model_error"
    NONFINITE_SCORE = "nonfinite_score"
    DEADLINE = "deadline"


class Scores(list[float]):
    """Scores of a scorer that did not come to all of its pairs, for a reason that is no failure.

    NaN stands where there is no score. A remote server that has a budget of its own answers like this.
    """

    def __init__(self, scores: Iterable[float | None], reason: Reason) -> None:
        super().__init__(math.nan if score is None else score for score in scores)
        self.reason = reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """One retrieved text.

    `id` is the caller's, or the position for plain strings. `score` is the first stage's own score: carried
    along, never compared with a model's. `metadata` and `item` (the caller's own object) come back untouched.
    """

    id: CandidateId
    text: Text
    score: float | None = None
    metadata: Any = field(default=None, repr=False)
    item: Any = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Pair:
    """One input of the cross-encoder: the query with a candidate, or with one chunk of a long candidate.

    Until a tokenizer has encoded it, `ids` is None and `tokens` an estimate from the number of characters.
    """

    query: Text
    text: Text
    tokens: int
    ids: Sequence[int] | None = field(default=None, repr=False)
    type_ids: Sequence[int] | None = field(default=None, repr=False)
