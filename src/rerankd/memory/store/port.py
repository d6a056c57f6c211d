"""What the memory asks of a store. The store keeps ciphertext and hashes; it never holds a key or a text.

Every method raises `StoreError` when the database cannot be reached, is too old or too new, or does not
answer by the deadline; its message names the remedy and never a row's content. The calls of a user name the
user by `user_hash`; the store sees to it that a call touches no other user's rows, whatever is asked.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Protocol
from uuid import UUID

from rerankd.core.deadline import Deadline
from rerankd.memory.types import (
    Filter,
    Found,
    NewRow,
    StoredRow,
    UserRecord,
    VectorMode,
    Vectors,
)

__all__ = ["Maintenance", "Store"]


class Store(Protocol):
    """One tenant-blind store of rows, opened as the plain application role."""

    async def open(self) -> None:
        """Connect, and refuse with `StoreError` unless isolation is in force (the preflight)."""
        ...

    async def close(self) -> None:
        """Give the connections back. Later calls raise `StoreError`."""
        ...

    async def marks(self) -> Mapping[str, bytes]:
        """The store's small public facts, such as which pepper its hashes were made with."""
        ...

    async def mark(self, name: str, value: bytes) -> bytes:
        """Keep a fact unless one of that name is kept; what is kept now."""
        ...

    async def user(self, user_hash: str, *, deadline: Deadline) -> UserRecord | None: ...

    async def ensure_user(self, record: UserRecord, *, deadline: Deadline) -> UserRecord:
        """Keep the record unless the hash is known; the record that is kept now."""
        ...

    async def insert(
        self, user_hash: str, subject: UUID, rows: Sequence[NewRow], *, seals: int, deadline: Deadline
    ) -> None:
        """Add rows, all of them or none, and `seals` to the user's count.

        Raises `StoreError` when there is no such user with that subject any more, and `SealError` when the
        count would reach 2^31.
        """
        ...

    async def nearest(
        self, user_hash: str, vector: Sequence[float], k: int, filter: Filter, *, deadline: Deadline
    ) -> Found:
        """The user and the exact `min(k, matching)` nearest rows that have a plain vector, in one snapshot."""
        ...

    async def vectors(self, user_hash: str, filter: Filter, *, deadline: Deadline) -> Vectors:
        """The user and all sealed vectors that pass the filter, in one snapshot, in no particular order."""
        ...

    async def rows(self, user_hash: str, ids: Sequence[UUID], *, deadline: Deadline) -> list[StoredRow]:
        """Rows by id, in the order asked for; ids that are not there, or not the user's, are left out."""
        ...

    async def delete(self, user_hash: str, ids: Sequence[UUID], *, deadline: Deadline) -> int:
        """Delete rows; how many there were."""
        ...

    async def erase(self, user_hash: str, *, deadline: Deadline) -> int | None:
        """Delete the user's record and every row of it; how many rows, None: no such user."""
        ...

    async def count(self, user_hash: str, *, deadline: Deadline) -> int: ...

    def export(self, user_hash: str) -> AsyncIterator[StoredRow]:
        """All rows of the user, oldest first, in small batches, without their vectors."""
        ...


class Maintenance(Protocol):
    """The same store, opened as the maintaining role: it sees all users, and still no text."""

    async def open(self) -> None: ...

    async def close(self) -> None: ...

    def users(self) -> AsyncIterator[UserRecord]:
        """Every user. Those added meanwhile may be missing; none is given twice."""
        ...

    async def key_ids(self) -> Mapping[str, int]:
        """How many users each key-encryption key wraps the data key of."""
        ...

    async def pepper_versions(self) -> Mapping[int, int]:
        """How many users are found by each pepper."""
        ...

    async def rewrap(self, subject: UUID, *, old: bytes, new: bytes, key_id: str) -> bool:
        """Replace a wrapped data key, if it still is `old`."""
        ...

    async def set_user_hash(self, subject: UUID, *, old: str, new: str, pepper_version: int) -> bool:
        """Move a user and all its rows to another hash, in one transaction, if it still has `old`."""
        ...

    def rows(self, subject: UUID) -> AsyncIterator[StoredRow]:
        """All rows of one user, with their vectors."""
        ...

    async def replace_vectors(
        self,
        subject: UUID,
        vectors: Mapping[UUID, Sequence[float]] | Mapping[UUID, bytes],
        *,
        embedder: str,
        mode: VectorMode,
        seals: int,
    ) -> bool:
        """Replace every vector of a user, and with them embedder and mode, in one transaction.

        False, and nothing changed, when the user has rows that are not among `vectors`: some were added
        meanwhile.
        """
        ...

    async def vacuum(self) -> None:
        """Make the space of deleted rows unreadable in the tables, as far as the database can."""
        ...
