"""What `/api/v1/memory/...` is asked, and what it answers. Strict, as our own dialect is."""

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema, model_validator
from pydantic_core import PydanticCustomError

from rerankd.core.types import Outcome, Reason
from rerankd.http.call import Answered, Budget, Many, Query, TopN, refuse_unknown

__all__ = [
    "MemoryAddRequest",
    "MemoryAdded",
    "MemoryAnswer",
    "MemoryCall",
    "MemoryDeleteRequest",
    "MemoryDeleted",
    "MemoryEraseRequest",
    "MemoryErased",
    "MemoryQueryRequest",
    "MemoryResult",
    "MemoryState",
    "MemoryTimings",
    "NewMemory",
]

MemoryState = Literal["off", "opening", "ready", "failed"]
"""How the service's memory is; `failed`: it could not be opened, and is tried again."""


def _moment(value: object) -> datetime:
    try:
        moment = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        moment = None
    if moment is None or moment.utcoffset() is None:
        raise PydanticCustomError(
            "moment", "must be a date and time with a time zone, as 2026-05-01T12:00:00Z"
        )
    return moment


def _id(value: object) -> UUID:
    try:
        return UUID(value if isinstance(value, str) else "")
    except ValueError:
        raise PydanticCustomError("memory_id", "must be the id of a memory, a UUID") from None


Moment = Annotated[
    datetime, BeforeValidator(_moment), WithJsonSchema({"type": "string", "format": "date-time"})
]
MemoryId = Annotated[UUID, BeforeValidator(_id), WithJsonSchema({"type": "string", "format": "uuid"})]
Metadata = Annotated[dict[str, Any] | None, Field(description="A JSON object.")]


class MemoryCall(BaseModel):
    """What every call has. The tenant is the key's, and never in a body."""

    model_config = ConfigDict(strict=True, extra="forbid")
    user_id: str | None = Field(
        default=None,
        min_length=1,
        max_length=1_000,
        pattern=r"\S",
        description="Whose memories. Left out where the key is for one user.",
    )


class NewMemory(BaseModel):
    """A text to remember, with what is known of it."""

    model_config = ConfigDict(strict=True, extra="forbid")
    text: str
    metadata: Metadata = None
    created_at: Moment | None = Field(default=None, description="When it was said; null: now.")


class MemoryAddRequest(MemoryCall):
    """Texts to remember: all of them or, when one is refused, none."""

    memories: Many[str | NewMemory]

    @model_validator(mode="before")
    @classmethod
    def _known(cls, given: Any) -> Any:
        memories = given.get("memories")
        for place, each in enumerate(memories if isinstance(memories, list) else ()):
            refuse_unknown(NewMemory, each, f"memories[{place}].")
        return given


class MemoryQueryRequest(MemoryCall):
    """A question, and how long finding and reordering may take together."""

    query: Query
    top_k: TopN = Field(default=None, description="How many memories to return; null: as the server is set.")
    top_k_ann: int | None = Field(
        default=None, ge=1, le=1_000, description="How many of the nearest are reranked; null: as it is set."
    )
    budget_ms: Budget = None
    since: Moment | None = Field(default=None, description="Only what was created at or after it.")
    until: Moment | None = Field(default=None, description="Only what was created before it.")
    metadata: Metadata = Field(default=None, description="Only memories that have all of these entries.")
    half_life_days: float | None = Field(
        default=None, ge=0, description="After this age a memory counts half; 0: age does not count."
    )


class MemoryDeleteRequest(MemoryCall):
    """Memories to forget."""

    ids: Many[MemoryId]


class MemoryEraseRequest(MemoryCall):
    """A user to forget, with everything."""


class MemoryAdded(Answered):
    """The new memories' ids, in the order of the request."""

    ids: list[UUID]


class MemoryTimings(Answered):
    """Milliseconds by stage."""

    embed: float
    store: float
    rank: float
    open: float
    rerank: float
    total: float


class MemoryResult(Answered):
    """A memory in its new place."""

    id: UUID
    text: str
    metadata: dict[str, Any]
    score: float | None
    retrieval_score: float
    retrieval_rank: int
    created_at: str


class MemoryAnswer(Answered):
    """Memories, best first, and how their order came about."""

    outcome: Outcome
    reason: Reason | None
    depth: int
    candidates: int
    dropped: int = Field(description="Rows that did not open in their place: damage, or an attack.")
    model: str | None
    timings_ms: MemoryTimings
    results: list[MemoryResult]


class MemoryDeleted(Answered):
    """How many of them there were."""

    deleted: int


class MemoryErased(Answered):
    """What erasing the user did."""

    rows: int
    known: bool = Field(description="Whether there was such a user.")
    final: bool = Field(description="Whether nothing that is left anywhere opens what was erased.")
    remaining: str = Field(description="What is still to be done until it is final.")
