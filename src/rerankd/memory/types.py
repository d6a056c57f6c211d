"""The memory's words: what callers get and give, and what the store keeps. Nothing here imports anything heavy.

What is kept of a user is sealed under a data key of the user's own; `subject` is the random name by which
everything sealed is bound to the user. `user_hash` only finds the rows: it changes when the pepper rotates.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any, Literal, overload
from uuid import UUID

from rerankd.core.types import Outcome, Reason, Text

__all__ = [
    "EpochKind",
    "Erasure",
    "ExportedMemory",
    "Filter",
    "Found",
    "MemoryChunk",
    "NewRow",
    "Recall",
    "RecallTimings",
    "SealedVector",
    "StoredRow",
    "UserRecord",
    "VectorMode",
    "Vectors",
]

EpochKind = Literal["key", "pepper"]
"""What has epochs: the key-encryption key, and the pepper of the user hash."""
VectorMode = Literal["plain", "sealed"]
"""`plain`: pgvector columns, ranked in the database. `sealed`: ciphertext, opened and ranked here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryChunk:
    """One memory, opened."""

    id: UUID
    text: Text
    metadata: Mapping[str, Any] = field(repr=False)
    score: float | None
    """The reranker's, from 0 to 1; None: it was not scored."""
    retrieval_score: float
    """Cosine similarity to the query, times the temporal decay where that is switched on."""
    retrieval_rank: int
    """Its place before reranking, from 1."""
    created_at: datetime

    def as_dict(self) -> dict[str, Any]:
        """The fields that others script against, as plain data."""
        return {
            "id": str(self.id),
            "text": str(self.text),
            "metadata": dict(self.metadata),
            "score": self.score,
            "retrieval_score": self.retrieval_score,
            "retrieval_rank": self.retrieval_rank,
            "created_at": self.created_at.isoformat(),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportedMemory:
    """One memory, as an export gives it."""

    id: UUID
    text: Text
    metadata: Mapping[str, Any] = field(repr=False)
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class RecallTimings:
    """Where a query's time went, in milliseconds, stage by stage."""

    embed: float = 0.0
    store: float = 0.0
    rank: float = 0.0
    """Opening and ranking sealed vectors; nothing with plain ones."""
    open: float = 0.0
    rerank: float = 0.0
    total: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Recall(Sequence[MemoryChunk]):
    """The answer of a query: memories, best first, and how their order came about."""

    chunks: tuple[MemoryChunk, ...]
    outcome: Outcome
    reason: Reason | None
    depth: int
    """How many of the candidates were scored."""
    candidates: int
    """How many were retrieved and opened."""
    dropped: int
    """Rows that failed authentication and were left out. More than 0 means damage or an attack."""
    timings: RecallTimings
    model: str | None = None

    def __len__(self) -> int:
        return len(self.chunks)

    def __iter__(self) -> Iterator[MemoryChunk]:
        return iter(self.chunks)

    @overload
    def __getitem__(self, index: int) -> MemoryChunk: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[MemoryChunk]: ...
    def __getitem__(self, index: int | slice) -> MemoryChunk | Sequence[MemoryChunk]:
        return self.chunks[index]

    def as_dict(self) -> dict[str, Any]:
        """The answer in the shape that the command line and the service give it as JSON. Stable."""
        return {
            "outcome": self.outcome.value,
            "reason": None if self.reason is None else self.reason.value,
            "depth": self.depth,
            "candidates": self.candidates,
            "dropped": self.dropped,
            "model": self.model,
            "timings_ms": {name: round(value, 3) for name, value in asdict(self.timings).items()},
            "results": [chunk.as_dict() for chunk in self.chunks],
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Erasure:
    """What erasing a user did."""

    rows: int
    """Memories that were deleted."""
    known: bool
    """Whether there was such a user."""
    final: bool
    """Whether nothing that is left anywhere can open what was erased."""
    remaining: str
    """What is still to be done until it is final, in words; empty when it is."""


# -- what the store keeps ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class UserRecord:
    """A user as the store knows one."""

    subject: UUID
    """Random; everything of the user is sealed under it."""
    user_hash: str
    """64 hexadecimal digits: a keyed hash of tenant and user id."""
    pepper_id: str
    """Which pepper the hash was made with."""
    sealed_user_id: bytes = field(repr=False)
    """The user id, sealed under the user's data key: a new pepper needs it."""
    wrapped_key: bytes = field(repr=False)
    """The user's data key, wrapped by the key-encryption key."""
    key_id: str
    """Which key-encryption key wrapped it."""
    embedder: str
    """Which embedder made the user's vectors."""
    vectors: VectorMode
    """How they are kept."""
    seals: int = 0
    """How often the data key has sealed something that was stored."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewRow:
    """A memory on its way into the store. Exactly one of `vector` and `vector_cipher` is given."""

    id: UUID
    text_cipher: bytes = field(repr=False)
    meta_cipher: bytes = field(repr=False)
    labels: tuple[bytes, ...] = field(repr=False)
    """Keyed labels of the metadata's entries, 16 bytes each; see `rerankd.memory.labels`."""
    created_at: datetime
    """With a time zone."""
    vector: Sequence[float] | None = field(default=None, repr=False)
    """384 numbers of norm 1."""
    vector_cipher: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredRow:
    """A memory as the store gives it back."""

    id: UUID
    subject: UUID
    text_cipher: bytes = field(repr=False)
    meta_cipher: bytes = field(repr=False)
    created_at: datetime
    distance: float | None = None
    """Cosine distance to the query's vector, where one was given; 0 is nearest."""
    vector: Sequence[float] | None = field(default=None, repr=False)
    """Only where asked for."""
    vector_cipher: bytes | None = field(default=None, repr=False)
    """Only where asked for."""


@dataclass(frozen=True, slots=True)
class SealedVector:
    """One row of the sealed mode, without its text."""

    id: UUID
    created_at: datetime
    cipher: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What a retrieval found, all of it as of one moment."""

    user: UserRecord | None
    """None: there is no such user; then there are no rows either."""
    rows: Sequence[StoredRow] = ()
    """Nearest first; ties by id."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Vectors:
    """All sealed vectors of a user that pass the filter, as of one moment."""

    user: UserRecord | None
    rows: Sequence[SealedVector] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """Which rows count, before the nearest are chosen."""

    since: datetime | None = None
    """Created at or after; the temporal decay's floor is already in it."""
    until: datetime | None = None
    """Created before."""
    labels: tuple[bytes, ...] = ()
    """The row has all of these."""
    now: datetime | None = None
    """The moment from which ages count; needed for `half_life_seconds`."""
    half_life_seconds: float | None = None
    """Order by `max(0, 1 - distance) x 0.5^(age / half-life)`, greatest first, and not by distance alone."""
