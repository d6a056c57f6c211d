"""The store on PostgreSQL, as the application's plain role sees it.

Every statement names the user's hash, and the database holds each to the hash that the transaction set: a
statement that forgot it would find nothing. Whatever changes a user's rows first locks the user, so that it
waits for a rotation that moves the user, and then finds nobody under the old hash instead of no rows.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import Any, TypeVar, cast
from uuid import UUID

from rerankd.core.deadline import Deadline
from rerankd.core.ports import Clock
from rerankd.errors import SealError
from rerankd.memory.policy import StorePolicy
from rerankd.memory.store import statements as sql
from rerankd.memory.store.pool import Connection, Database, checked
from rerankd.memory.store.port import EpochChanged, Store, UserGone
from rerankd.memory.store.preflight import preflight
from rerankd.memory.types import (
    EpochKind,
    Filter,
    Found,
    NewRow,
    SealedVector,
    StoredRow,
    UserRecord,
    Vectors,
)

__all__ = ["PostgresStore"]

_BATCH = 500
T = TypeVar("T")


class PostgresStore(Store):
    """See `Store`. `url` is the application's role; belongs to the event loop in which it is opened."""

    def __init__(self, url: str, policy: StorePolicy | None = None, *, clock: Clock | None = None) -> None:
        self._database = Database(url, policy or StorePolicy(), clock)

    async def open(self) -> None:
        await self._database.open()
        try:
            await self._database.run(lambda connection: preflight(connection, "app"))
        except BaseException:
            await self._database.close()
            raise

    async def close(self) -> None:
        await self._database.close()

    # -- epochs and users ---------------------------------------------------------------------------------

    async def current(self, *, deadline: Deadline) -> Mapping[EpochKind, str]:
        async def work(connection: Connection) -> Mapping[EpochKind, str]:
            return dict(await sql.fetch(connection, sql.EPOCHS))

        return await self._database.run(work, deadline=deadline, reads=True)

    async def begin(self, kind: EpochKind, id: str, *, deadline: Deadline) -> str:
        async def work(connection: Connection) -> str:
            await connection.execute(sql.BEGIN_EPOCH, (kind, id))
            return cast("str", dict(await sql.fetch(connection, sql.EPOCHS))[kind])

        return await self._database.run(work, deadline=deadline)

    async def user(self, user_hash: str, *, deadline: Deadline) -> UserRecord | None:
        async def work(connection: Connection) -> UserRecord | None:
            return await _user(connection, user_hash)

        return await self._as(user_hash, work, deadline, reads=True)

    async def ensure_user(self, record: UserRecord, *, deadline: Deadline) -> UserRecord:
        async def work(connection: Connection) -> UserRecord:
            current = dict(await sql.fetch(connection, sql.EPOCHS + " FOR SHARE"))
            if current != {"key": record.key_id, "pepper": record.pepper_id}:
                raise EpochChanged("another key or pepper is in force now: read the keys anew, and try again")
            await connection.execute(sql.ADD_USER, sql.user_values(record))
            kept = await _user(connection, record.user_hash)
            if kept is None:  # added by somebody else, and erased again, in this very moment
                raise UserGone("the user was erased at the same moment: try again")
            return kept

        return await self._as(record.user_hash, work, deadline)

    # -- rows ---------------------------------------------------------------------------------------------

    async def insert(
        self, user: UserRecord, rows: Sequence[NewRow], *, seals: int, deadline: Deadline
    ) -> None:
        same = (user.subject, user.embedder, user.vectors)

        async def work(connection: Connection) -> None:
            counted = await connection.execute(sql.COUNT_SEALS, (seals, user.user_hash, *same, seals))
            if counted.rowcount != 1:
                now = await _user(connection, user.user_hash)
                if now is None or (now.subject, now.embedder, now.vectors) != same:
                    raise UserGone("the user was erased, moved or embedded anew meanwhile: try again")
                raise SealError(
                    "this user's key would seal more than 2^31 records: export the user, erase it, add it again"
                )
            for statement, values in sql.additions(user.user_hash, user.subject, rows):
                await connection.execute(statement.encode(), values)

        await self._as(user.user_hash, work, deadline)

    async def nearest(
        self, user_hash: str, vector: Sequence[float], k: int, filter: Filter, *, deadline: Deadline
    ) -> Found:
        query, values = sql.nearest(checked(user_hash), vector, k, filter)

        async def work(connection: Connection) -> Found:
            user = await _user(connection, user_hash)
            if user is None:
                return Found(user=None)
            rows = await sql.fetch(connection, query, values)
            return Found(user=user, rows=tuple(sql.stored(row[:5], distance=row[5]) for row in rows))

        return await self._as(user_hash, work, deadline, reads=True)

    async def vectors(self, user_hash: str, filter: Filter, *, deadline: Deadline) -> Vectors:
        query, values = sql.sealed(checked(user_hash), filter)

        async def work(connection: Connection) -> Vectors:
            user = await _user(connection, user_hash)
            if user is None:
                return Vectors(user=None)
            return Vectors(
                user=user, rows=[SealedVector(*row) for row in await sql.fetch(connection, query, values)]
            )

        return await self._as(user_hash, work, deadline, reads=True)

    async def rows(self, user_hash: str, ids: Sequence[UUID], *, deadline: Deadline) -> Found:
        async def work(connection: Connection) -> Found:
            user = await _user(connection, user_hash)
            if user is None:
                return Found(user=None)
            found = {row[0]: row for row in await sql.fetch(connection, sql.ROWS, (user_hash, list(ids)))}
            return Found(user=user, rows=tuple(sql.stored(found[id]) for id in ids if id in found))

        return await self._as(user_hash, work, deadline, reads=True)

    async def delete(self, user_hash: str, ids: Sequence[UUID], *, deadline: Deadline) -> int | None:
        async def work(connection: Connection) -> int | None:
            if not await sql.fetch(connection, sql.LOCK_USER + " FOR KEY SHARE", (user_hash,)):
                return None
            return (await connection.execute(sql.DELETE_ROWS, (user_hash, list(ids)))).rowcount

        return await self._as(user_hash, work, deadline)

    async def erase(self, user_hash: str, *, deadline: Deadline) -> int | None:
        async def work(connection: Connection) -> int | None:
            if not await sql.fetch(connection, sql.LOCK_USER + " FOR UPDATE", (user_hash,)):
                return None
            rows = (await connection.execute(sql.ERASE_ROWS, (user_hash,))).rowcount
            await connection.execute(sql.ERASE_USER, (user_hash,))
            return rows

        return await self._as(user_hash, work, deadline)

    async def count(self, user_hash: str, *, deadline: Deadline) -> int | None:
        async def work(connection: Connection) -> int | None:
            found = await sql.fetch(connection, sql.COUNT, (user_hash, user_hash))
            return found[0][0] if found else None

        return await self._as(user_hash, work, deadline, reads=True)

    async def export(self, user_hash: str) -> AsyncIterator[StoredRow]:
        checked(user_hash)
        async with self._database.transaction(user_hash, reads=True) as connection:
            if await _user(connection, user_hash) is None:
                raise UserGone("there is no such user under this hash")
            await connection.execute(sql.EXPORT, (user_hash,))
            while batch := await sql.fetch(connection, f"FETCH {_BATCH} FROM exported"):
                for row in batch:
                    yield sql.stored(row)

    async def _as(
        self,
        user_hash: str,
        work: Callable[[Connection], Awaitable[T]],
        deadline: Deadline,
        *,
        reads: bool = False,
    ) -> T:
        return await self._database.run(work, deadline=deadline, tenant=checked(user_hash), reads=reads)


async def _user(connection: Connection, user_hash: str) -> UserRecord | None:
    found: list[tuple[Any, ...]] = await sql.fetch(connection, sql.USER, (user_hash,))
    return sql.user(found[0]) if found else None
