"""A store, keys and an embedder in memory, for our tests and for those of host applications.

The store has the semantics of the real one. The embedder's vectors are near each other where texts have words
in common, so that a test can foresee what is found.
"""

import asyncio
import hashlib
import os
import re
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import UUID

from rerankd.core.deadline import Deadline
from rerankd.core.ports import Clock
from rerankd.engine.clock import SystemClock
from rerankd.errors import SealError, StoreError
from rerankd.memory.embedder import Vector
from rerankd.memory.epochs import Epoch, MissingKey, number_of
from rerankd.memory.keys import LocalKeys
from rerankd.memory.memory import Memory
from rerankd.memory.pepper import Peppers
from rerankd.memory.sealing import MOST_SEALS
from rerankd.memory.store.port import EpochChanged, UserGone
from rerankd.memory.types import (
    EpochKind,
    Filter,
    Found,
    NewRow,
    SealedVector,
    StoredRow,
    UserRecord,
    VectorMode,
    Vectors,
)
from rerankd.reranker import Reranker
from rerankd.testing import fake_reranker

__all__ = ["FakeEmbedder", "InMemoryEpochs", "InMemoryMaintenance", "InMemoryStore", "fake_memory"]


@dataclass(slots=True)
class _User:
    record: UserRecord
    rows: dict[UUID, NewRow] = field(default_factory=dict)


class _Shared:
    """What both roles see."""

    def __init__(self) -> None:
        self.users: dict[str, _User] = {}
        self.epochs: dict[EpochKind, str] = {}


class InMemoryStore:
    """The `Store` port. Vectors are kept in half precision, as the database keeps them.

    `fails`, while set, is what every call raises. `delay_s` is how long each call takes; one that would end
    after its deadline raises `StoreError` at the deadline.
    """

    def __init__(self, clock: Clock | None = None) -> None:
        self._shared = _Shared()
        self._clock = clock or SystemClock()
        self.is_open = False
        self.fails: StoreError | None = None
        self.delay_s = 0.0
        self.calls: list[str] = []
        """The names of the calls that were made."""

    def maintenance(self) -> "InMemoryMaintenance":
        """The same users and rows, as the maintaining role sees them."""
        return InMemoryMaintenance(self._shared)

    def records(self) -> dict[str, tuple[UserRecord, dict[UUID, NewRow]]]:
        """Everything that is kept, by user hash, for a test to look at or to damage."""
        return {user_hash: (user.record, user.rows) for user_hash, user in self._shared.users.items()}

    async def open(self) -> None:
        await self._called("open", Deadline.after(0, None))
        self.is_open = True

    async def close(self) -> None:
        self.is_open = False

    async def current(self, *, deadline: Deadline) -> Mapping[EpochKind, str]:
        await self._called("current", deadline)
        return dict(self._shared.epochs)

    async def begin(self, kind: EpochKind, id: str, *, deadline: Deadline) -> str:
        await self._called("begin", deadline)
        return self._shared.epochs.setdefault(kind, id)

    async def user(self, user_hash: str, *, deadline: Deadline) -> UserRecord | None:
        await self._called("user", deadline)
        user = self._shared.users.get(user_hash)
        return None if user is None else user.record

    async def ensure_user(self, record: UserRecord, *, deadline: Deadline) -> UserRecord:
        await self._called("ensure_user", deadline)
        if self._shared.epochs != {"key": record.key_id, "pepper": record.pepper_id}:
            raise EpochChanged("another key or pepper is in force")
        return self._shared.users.setdefault(record.user_hash, _User(record)).record

    async def insert(
        self, user: UserRecord, rows: Sequence[NewRow], *, seals: int, deadline: Deadline
    ) -> None:
        await self._called("insert", deadline)
        kept = self._shared.users.get(user.user_hash)
        if kept is None or _kind(kept.record) != _kind(user):
            raise UserGone("the user is not as the record says any more")
        if kept.record.seals + seals >= MOST_SEALS:
            raise SealError("this user's key seals no more")
        kept.record = replace(kept.record, seals=kept.record.seals + seals)
        kept.rows |= {row.id: row for row in rows}

    async def nearest(
        self, user_hash: str, vector: Sequence[float], k: int, filter: Filter, *, deadline: Deadline
    ) -> Found:
        import numpy as np

        from rerankd.memory.vectors import decode, distances_to, encode, order

        await self._called("nearest", deadline)
        user = self._shared.users.get(user_hash)
        if user is None:
            return Found(user=None)
        rows = [row for row in _matching(user, filter) if row.vector is not None]
        matrix = np.array([decode(encode(row.vector or ())) for row in rows], np.float32).reshape(-1, 384)
        distances = distances_to(matrix, decode(encode(vector))).astype(np.float64)
        best = order(rows, distances, k, filter)
        return Found(
            user=user.record,
            rows=[_stored(user.record, rows[at], distance=float(distances[at])) for at in best],
        )

    async def vectors(self, user_hash: str, filter: Filter, *, deadline: Deadline) -> Vectors:
        await self._called("vectors", deadline)
        user = self._shared.users.get(user_hash)
        if user is None:
            return Vectors(user=None)
        return Vectors(
            user=user.record,
            rows=[
                SealedVector(row.id, row.created_at, row.vector_cipher)
                for row in _matching(user, filter)
                if row.vector_cipher is not None
            ],
        )

    async def rows(self, user_hash: str, ids: Sequence[UUID], *, deadline: Deadline) -> Found:
        await self._called("rows", deadline)
        user = self._shared.users.get(user_hash)
        if user is None:
            return Found(user=None)
        return Found(
            user=user.record, rows=[_stored(user.record, user.rows[id]) for id in ids if id in user.rows]
        )

    async def delete(self, user_hash: str, ids: Sequence[UUID], *, deadline: Deadline) -> int | None:
        await self._called("delete", deadline)
        user = self._shared.users.get(user_hash)
        return None if user is None else sum(user.rows.pop(id, None) is not None for id in set(ids))

    async def erase(self, user_hash: str, *, deadline: Deadline) -> int | None:
        await self._called("erase", deadline)
        user = self._shared.users.pop(user_hash, None)
        return None if user is None else len(user.rows)

    async def count(self, user_hash: str, *, deadline: Deadline) -> int | None:
        await self._called("count", deadline)
        user = self._shared.users.get(user_hash)
        return None if user is None else len(user.rows)

    async def export(self, user_hash: str) -> AsyncIterator[StoredRow]:
        await self._called("export", Deadline.after(0, None))
        user = self._shared.users.get(user_hash)
        if user is None:
            raise UserGone("there is no such user")
        for row in sorted(user.rows.values(), key=lambda row: (row.created_at, row.id)):
            yield _stored(user.record, row)

    async def _called(self, name: str, deadline: Deadline) -> None:
        self.calls.append(name)
        left = deadline.remaining(self._clock.now())
        if self.delay_s:
            await asyncio.sleep(max(0.0, min(self.delay_s, left)))
        if left <= self.delay_s:
            raise StoreError("the database did not answer in time")
        if self.fails is not None:
            raise self.fails


class InMemoryMaintenance:
    """The `Maintenance` port over the same users and rows."""

    def __init__(self, shared: _Shared) -> None:
        self._shared = shared
        self.vacuumed = 0

    async def open(self) -> None: ...

    async def close(self) -> None: ...

    async def current(self, *, deadline: Deadline) -> Mapping[EpochKind, str]:
        return dict(self._shared.epochs)

    async def advance(self, kind: EpochKind, *, old: str, new: str) -> bool:
        if self._shared.epochs.get(kind) != old:
            return False
        self._shared.epochs[kind] = new
        return True

    async def in_use(self, kind: EpochKind) -> Mapping[str, int]:
        counts: dict[str, int] = {}
        for user in self._shared.users.values():
            used = user.record.key_id if kind == "key" else user.record.pepper_id
            counts[used] = counts.get(used, 0) + 1
        return counts

    async def users(self) -> AsyncIterator[UserRecord]:
        for record in [user.record for user in self._shared.users.values()]:
            yield record

    async def rewrap(self, subject: UUID, *, old: bytes, new: bytes, key_id: str) -> bool:
        user = self._user(subject)
        if user is None or user.record.wrapped_key != old:
            return False
        user.record = replace(user.record, wrapped_key=new, key_id=key_id)
        return True

    async def set_user_hash(self, subject: UUID, *, old: str, new: str, pepper_id: str) -> bool:
        user = self._shared.users.get(old)
        if user is None or user.record.subject != subject:
            return False
        if new in self._shared.users:
            raise StoreError("there is a user with that hash already")
        del self._shared.users[old]
        user.record = replace(user.record, user_hash=new, pepper_id=pepper_id)
        self._shared.users[new] = user
        return True

    async def rows(self, subject: UUID) -> AsyncIterator[StoredRow]:
        user = self._user(subject)
        for row in list(user.rows.values()) if user else []:
            assert user is not None
            yield replace(_stored(user.record, row), vector=row.vector, vector_cipher=row.vector_cipher)

    async def replace_vectors(
        self,
        subject: UUID,
        vectors: Mapping[UUID, Sequence[float]] | Mapping[UUID, bytes],
        *,
        embedder: str,
        mode: VectorMode,
        seals: int,
    ) -> bool:
        user = self._user(subject)
        if user is None or not user.rows.keys() <= vectors.keys():
            return False
        for id, row in user.rows.items():
            value = vectors[id]
            user.rows[id] = replace(
                row,
                vector=None if isinstance(value, bytes) else value,
                vector_cipher=value if isinstance(value, bytes) else None,
            )
        user.record = replace(user.record, embedder=embedder, vectors=mode, seals=user.record.seals + seals)
        return True

    async def vacuum(self) -> None:
        self.vacuumed += 1

    def _user(self, subject: UUID) -> _User | None:
        return next((user for user in self._shared.users.values() if user.record.subject == subject), None)


def _kind(user: UserRecord) -> tuple[UUID, str, VectorMode]:
    """What rows are made for."""
    return user.subject, user.embedder, user.vectors


def _matching(user: _User, filter: Filter) -> list[NewRow]:
    return [
        row
        for row in user.rows.values()
        if (filter.since is None or row.created_at >= filter.since)
        and (filter.until is None or row.created_at < filter.until)
        and set(filter.labels) <= set(row.labels)
    ]


def _stored(user: UserRecord, row: NewRow, *, distance: float | None = None) -> StoredRow:
    return StoredRow(
        id=row.id,
        subject=user.subject,
        text_cipher=row.text_cipher,
        meta_cipher=row.meta_cipher,
        created_at=row.created_at,
        distance=distance,
    )


class FakeEmbedder:
    """The `Embedder` port: each word is a direction, so that cosine similarity counts common words."""

    def __init__(self, id: str = "fake") -> None:
        self.id = id
        self.fails: Exception | None = None
        """While set, what every call raises."""
        self.asked: list[str] = []

    async def open(self) -> None: ...

    async def close(self) -> None: ...

    async def query(self, text: str, *, deadline: Deadline) -> Vector:
        return self._embed(text)

    async def texts(
        self, texts: Sequence[str], *, progress: Callable[[int], None] | None = None
    ) -> list[Vector]:
        vectors = []
        for done, text in enumerate(texts, 1):
            vectors.append(self._embed(text))
            if progress is not None:
                progress(done)
        return vectors

    def _embed(self, text: str) -> Vector:
        import numpy as np

        self.asked.append(str(text))
        if self.fails is not None:
            raise self.fails
        vector = np.zeros(384, np.float32)
        for word in re.findall(r"\w+", text.lower()) or [text]:
            digest = hashlib.blake2b(f"{self.id} {word}".encode("utf-8", "replace"), digest_size=4).digest()
            vector[int.from_bytes(digest) % 384] += 1
        return vector / np.linalg.norm(vector)


class InMemoryEpochs:
    """The `Epochs` port. `lost` holds what was destroyed."""

    def __init__(self, kind: EpochKind) -> None:
        self._kind = kind
        self._epochs: dict[str, Epoch] = {}
        self.lost: dict[str, Epoch] = {}

    def all(self) -> Mapping[str, Epoch]:
        return dict(self._epochs)

    def get(self, epoch_id: str) -> Epoch:
        if epoch_id not in self._epochs:
            raise MissingKey(f"{self._kind} {epoch_id} is not here")
        return self._epochs[epoch_id]

    def first(self) -> Epoch:
        return list(self._epochs.values())[-1] if self._epochs else self._make(1)

    def after(self, epoch_id: str) -> Epoch:
        newer = [each for each in self._epochs.values() if each.number > number_of(epoch_id)]
        return newer[-1] if newer else self._make(number_of(epoch_id) + 1)

    def destroy(self, epoch_id: str) -> bool:
        if epoch_id in self._epochs:
            self.lost[epoch_id] = self._epochs.pop(epoch_id)
        return True

    def _make(self, number: int) -> Epoch:
        epoch = Epoch(self._kind, number, os.urandom(32))
        self._epochs[epoch.id] = epoch
        return epoch


def fake_memory(
    store: InMemoryStore | None = None,
    *,
    keys: InMemoryEpochs | None = None,
    peppers: InMemoryEpochs | None = None,
    embedder: FakeEmbedder | None = None,
    reranker: Reranker | None = None,
    **options: Any,
) -> Memory:
    """A memory of fakes; its reranker counts common words. `options`: of `Memory`."""
    kept = InMemoryStore() if store is None else store
    return Memory(
        store=kept,
        maintenance=kept.maintenance,
        keys=LocalKeys(InMemoryEpochs("key") if keys is None else keys),
        peppers=Peppers(InMemoryEpochs("pepper") if peppers is None else peppers),
        embedder=FakeEmbedder() if embedder is None else embedder,
        reranker=fake_reranker() if reranker is None else reranker,
        **options,
    )
