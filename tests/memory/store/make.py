"""Users and rows for tests of stores; nothing of them means anything."""

import hashlib
import math
import random
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

from rerankd.core.deadline import Deadline
from rerankd.memory.store.port import Store
from rerankd.memory.types import NewRow, UserRecord, VectorMode

__all__ = [
    "DIMENSIONS",
    "NEVER",
    "NOON",
    "add_user",
    "hash_of",
    "near",
    "new_row",
    "new_rows",
    "new_user",
    "unit",
]

NEVER = Deadline(math.inf)
NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)
DIMENSIONS = 384


def hash_of(name: object) -> str:
    return hashlib.sha256(repr(name).encode()).hexdigest()


def new_user(**changes: object) -> UserRecord:
    """A user of the epochs `key-1` and `pepper-1`."""
    record = UserRecord(
        subject=uuid4(),
        user_hash=hash_of(uuid4()),
        pepper_id="pepper-1",
        sealed_user_id=b"\x01sealed user",
        wrapped_key=b"\x01wrapped key",
        key_id="key-1",
        embedder="embedder-1",
        vectors="plain",
    )
    return replace(record, **changes)  # type: ignore[arg-type]


async def add_user(store: Store, **changes: object) -> UserRecord:
    record = new_user(**changes)
    await store.begin("key", "key-1", deadline=NEVER)
    await store.begin("pepper", "pepper-1", deadline=NEVER)
    return await store.ensure_user(record, deadline=NEVER)


def unit(seed: object) -> list[float]:
    """A vector of norm 1 that is the same for the same seed."""
    source = random.Random(repr(seed))
    values = [source.gauss(0, 1) for _ in range(DIMENSIONS)]
    norm = math.sqrt(sum(value * value for value in values))
    return [value / norm for value in values]


def near(similarity: float) -> list[float]:
    """A vector with this cosine to the first axis."""
    return [similarity, math.sqrt(1 - similarity * similarity), *[0.0] * (DIMENSIONS - 2)]


def new_row(
    vector: Sequence[float] | None = None,
    *,
    id: UUID | None = None,
    at: datetime = NOON,
    labels: Sequence[bytes] = (),
    mode: VectorMode = "plain",
    text: bytes | None = None,
) -> NewRow:
    id = id or uuid4()
    vector = unit(id) if vector is None else vector
    return NewRow(
        id=id,
        text_cipher=b"text of " + id.bytes if text is None else text,
        meta_cipher=b"meta of " + id.bytes,
        labels=tuple(labels),
        created_at=at,
        vector=vector if mode == "plain" else None,
        vector_cipher=b"vector of " + id.bytes if mode == "sealed" else None,
    )


def new_rows(count: int, **same: object) -> list[NewRow]:
    return [new_row(at=NOON + timedelta(minutes=each), **same) for each in range(count)]  # type: ignore[arg-type]
