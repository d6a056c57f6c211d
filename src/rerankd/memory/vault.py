"""Makes and opens what the store keeps of a user: the data key, the texts, the metadata, the vectors."""

import asyncio
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from rerankd.core.deadline import Deadline
from rerankd.core.ports import Clock
from rerankd.core.types import Text
from rerankd.errors import SealError
from rerankd.memory.keys import Keys
from rerankd.memory.labels import PURPOSE, labels_of
from rerankd.memory.sealing import DataKey, Sealer, TamperedError, encode_fields
from rerankd.memory.types import NewRow, StoredRow, UserRecord, VectorMode

__all__ = ["CHUNKS", "VECTOR", "Draft", "Opened", "Vault", "open_row", "prepare", "seal_rows"]

CHUNKS, USERS = "memory_chunks", "memory_users"
TEXT, META, VECTOR = "text_cipher", "meta_cipher", "vector_cipher"


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A memory on its way in, checked."""

    id: UUID
    text: Text
    metadata: Mapping[str, Any] = field(repr=False)
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """A memory on its way out; also what the reranker is given as a candidate."""

    id: UUID
    text: Text
    metadata: Mapping[str, Any] = field(repr=False)
    created_at: datetime
    score: float | None = None
    """The retrieval score."""


def prepare() -> None:
    """Import what sealing and ranking need: it takes too long for the event loop, at the first question."""
    import rerankd.memory.vectors  # noqa: F401 - for numpy

    row = UUID(int=0)
    sealer = Sealer(DataKey.new(), row)
    sealed = sealer.seal(b"", table=CHUNKS, column=TEXT, row=row)
    sealer.open(sealed, table=CHUNKS, column=TEXT, row=row)
    sealer.derive(PURPOSE)


def seal_rows(
    sealer: Sealer, drafts: Sequence[Draft], vectors: Sequence[Any], mode: VectorMode
) -> list[NewRow]:
    """Seal memories under their user's key, each in its place. For many, this is work for a thread."""
    from rerankd.memory.vectors import encode

    label_key = sealer.derive(PURPOSE)
    rows = []
    for draft, vector in zip(drafts, vectors, strict=True):
        place: dict[str, Any] = {"table": CHUNKS, "row": draft.id}
        metadata = json.dumps(dict(draft.metadata), separators=(",", ":")).encode()
        sealed = mode == "sealed"
        rows.append(
            NewRow(
                id=draft.id,
                text_cipher=sealer.seal(draft.text.encode(), column=TEXT, **place),
                meta_cipher=sealer.seal(metadata, column=META, **place),
                labels=labels_of(label_key, draft.metadata),
                created_at=draft.created_at,
                vector=None if sealed else vector.tolist(),
                vector_cipher=sealer.seal(encode(vector), column=VECTOR, **place) if sealed else None,
            )
        )
    return rows


def open_row(sealer: Sealer, row: StoredRow, *, score: float | None = None) -> Opened:
    """Open a memory. Raises `TamperedError` unless text and metadata are this user's, of this very row."""
    text = sealer.open(row.text_cipher, table=CHUNKS, column=TEXT, row=row.id)
    metadata = sealer.open(row.meta_cipher, table=CHUNKS, column=META, row=row.id)
    return Opened(
        id=row.id,
        text=Text(text.decode()),
        metadata=json.loads(metadata),
        created_at=row.created_at,
        score=score,
    )


class Vault:
    """Data keys, by way of the key-encryption keys."""

    def __init__(self, keys: Keys, clock: Clock) -> None:
        self._keys = keys
        self._clock = clock

    async def new_user(
        self,
        *,
        tenant: str,
        user_id: str,
        user_hash: str,
        pepper_id: str,
        key_id: str,
        embedder: str,
        vectors: VectorMode,
    ) -> UserRecord:
        """A user with a data key of its own. Raises `MissingKey`."""
        subject, key = uuid4(), DataKey.new()
        sealer = Sealer(key, subject)
        named = encode_fields(tenant.encode(), user_id.encode())
        return UserRecord(
            subject=subject,
            user_hash=user_hash,
            pepper_id=pepper_id,
            sealed_user_id=sealer.seal(named, table=USERS, column="sealed_user_id", row=subject),
            wrapped_key=await self._keys.wrap(key_id, bytes(key), *_place(subject)),
            key_id=key_id,
            embedder=embedder,
            vectors=vectors,
            seals=sealer.sealed,
        )

    async def sealer(self, user: UserRecord, *, deadline: Deadline) -> Sealer:
        """What seals and opens this user's records.

        Raises `MissingKey`, and `SealError` when the key that the record names does not unwrap it, or does not
        answer by the deadline: never to be taken for "nothing there".
        """
        left = deadline.remaining(self._clock.now())
        try:
            async with asyncio.timeout(None if left == math.inf else max(0.0, left)):
                plain = await self._keys.unwrap(user.key_id, user.wrapped_key, *_place(user.subject))
        except TamperedError:
            raise SealError(
                f"key {user.key_id} does not unwrap this user's data key: the key or the record was changed"
            ) from None
        except TimeoutError:
            raise SealError(f"key {user.key_id} was not there to unwrap with in time") from None
        return Sealer(DataKey.parse(plain), user.subject, seals=user.seals)

    async def rewrap(self, user: UserRecord, key_id: str) -> bytes:
        """The data key, wrapped by another key."""
        place = _place(user.subject)
        return await self._keys.wrap(
            key_id, await self._keys.unwrap(user.key_id, user.wrapped_key, *place), *place
        )

    async def identity(self, user: UserRecord) -> tuple[str, str]:
        """Tenant and user id, as they were when the user was made."""
        sealer = await self.sealer(user, deadline=Deadline.after(0, None))
        named = sealer.open(user.sealed_user_id, table=USERS, column="sealed_user_id", row=user.subject)
        tenant, user_id = _fields(named)
        return tenant.decode(), user_id.decode()


def _place(subject: UUID) -> tuple[bytes, ...]:
    return USERS.encode(), b"wrapped_key", subject.bytes


def _fields(data: bytes) -> Sequence[bytes]:
    parts = []
    while data:
        end = 4 + int.from_bytes(data[:4], "big")
        parts.append(data[4:end])
        data = data[end:]
    return parts
