"""What the memory asks of a store. The store keeps ciphertext and hashes; it never holds a key or a text.

Every method raises `StoreError` when the database cannot be reached, is too old or too new, or does not
answer by the deadline; its message names the remedy and never a row's content. The calls of a user name the
user by `user_hash`; the store sees to it that a call touches no other user's rows, whatever is asked.

Keys and peppers have epochs, and one of each kind is in force in the whole database, whatever processes that
have not heard of it hold: a user is only ever created under those (`EpochChanged`). Rotation first puts the
next epoch in force, then moves every user over, and only then is the old key destroyed: no user can be left
behind. A user whose hash changes meanwhile is found under the one or the other at every moment, because the
user and the rows of one call are of one snapshot; a call that finds no user says so and never "no rows".
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Protocol
from uuid import UUID

from rerankd.core.deadline import Deadline
from rerankd.errors import StoreError
from rerankd.memory.types import (
    EpochKind,
    Filter,
    Found,
    NewRow,
    StoredRow,
    UserRecord,
    VectorMode,
    Vectors,
)

__all__ = ["EpochChanged", "Maintenance", "Store", "UserGone"]


class EpochChanged(StoreError):  # noqa: N818 - reads as what happened
    """Another key or pepper is in force: read the keys anew, and try again."""


class UserGone(StoreError):  # noqa: N818 - reads as what happened
    """The user is not as the record says any more: erased, found by another hash, embedded anew. Look again."""


class Store(Protocol):
    """A store as the plain application role sees it."""

    async def open(self) -> None:
        """Connect, and refuse with `StoreError` unless isolation is in force (the preflight)."""
        ...

    async def close(self) -> None:
        """Give the connections back. Later calls raise `StoreError`."""
        ...

    async def current(self, *, deadline: Deadline) -> Mapping[EpochKind, str]:
        """Which key and which pepper are in force, by their ids; nothing where none ever was."""
        ...

    async def begin(self, kind: EpochKind, id: str, *, deadline: Deadline) -> str:
        """Put this one in force where none ever was; the id that is in force now."""
        ...

    async def user(self, user_hash: str, *, deadline: Deadline) -> UserRecord | None: ...

    async def ensure_user(self, record: UserRecord, *, deadline: Deadline) -> UserRecord:
        """Keep the record unless the hash is known; the record that is kept now.

        Raises `EpochChanged` unless the record's key and pepper are those in force, checked in the same
        transaction, with a lock that `Maintenance.advance` waits for.
        """
        ...

    async def insert(
        self, user: UserRecord, rows: Sequence[NewRow], *, seals: int, deadline: Deadline
    ) -> None:
        """Add rows that were made for this record, all of them or none, and `seals` to the user's count.

        Raises `UserGone` unless the user still has the record's hash, subject, embedder and kind of vectors: a
        row of another kind would never be found. Raises `SealError` when the count would reach 2^31.
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

    async def rows(self, user_hash: str, ids: Sequence[UUID], *, deadline: Deadline) -> Found:
        """The user and rows by id, in the order asked for; ids that are not there are left out."""
        ...

    async def delete(self, user_hash: str, ids: Sequence[UUID], *, deadline: Deadline) -> int | None:
        """Delete rows; how many there were. None: no such user."""
        ...

    async def erase(self, user_hash: str, *, deadline: Deadline) -> int | None:
        """Delete the user's record and every row of it; how many rows. None: no such user."""
        ...

    async def count(self, user_hash: str, *, deadline: Deadline) -> int | None:
        """How many rows. None: no such user."""
        ...

    def export(self, user_hash: str) -> AsyncIterator[StoredRow]:
        """All rows of the user, oldest first, without vectors, in one snapshot, a batch at a time.

        Raises `UserGone` before the first row when there is no such user.
        """
        ...


class Maintenance(Protocol):
    """The same store as the maintaining role sees it: all users, and still no text."""

    async def open(self) -> None: ...

    async def close(self) -> None: ...

    async def current(self, *, deadline: Deadline) -> Mapping[EpochKind, str]: ...

    async def advance(self, kind: EpochKind, *, old: str, new: str) -> bool:
        """Put `new` in force if `old` is. After it returns nobody creates a user under `old`."""
        ...

    async def in_use(self, kind: EpochKind) -> Mapping[str, int]:
        """How many users each key wraps the data key of, or each pepper finds."""
        ...

    def users(self) -> AsyncIterator[UserRecord]:
        """Every user. Those added meanwhile may be missing; none is given twice."""
        ...

    async def rewrap(self, subject: UUID, *, old: bytes, new: bytes, key_id: str) -> bool:
        """Replace a wrapped data key, if it still is `old`."""
        ...

    async def set_user_hash(self, subject: UUID, *, old: str, new: str, pepper_id: str) -> bool:
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

        `vectors` are ciphertexts where `mode` is `sealed`; the other kind of column is emptied. False, and
        nothing changed, when the user has rows that are not among `vectors` (some were added meanwhile) or is
        gone; ids of rows that were deleted meanwhile are passed over.
        """
        ...

    async def vacuum(self) -> None:
        """Give the space of deleted rows back to the tables, as far as the database can."""
        ...
