"""The store on PostgreSQL as the maintaining role sees it: all users, in small steps, and still no text.

Long runs go from page to page by key, each page a transaction of its own: a rotation over a million users
neither holds back the clean-up of old row versions nor loses everything when it is interrupted.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, cast
from uuid import UUID

from rerankd.core.deadline import Deadline
from rerankd.core.ports import Clock
from rerankd.memory.policy import StorePolicy
from rerankd.memory.store import statements as sql
from rerankd.memory.store.pool import Connection, Database, checked
from rerankd.memory.store.port import Maintenance
from rerankd.memory.store.preflight import preflight
from rerankd.memory.types import EpochKind, StoredRow, UserRecord, VectorMode

__all__ = ["PostgresMaintenance"]

_PAGE = 500
_FIRST = UUID(int=0)
_COLUMNS: dict[EpochKind, str] = {"key": "key_id", "pepper": "pepper_id"}

_ADVANCE = "UPDATE memory_epochs SET id = %s, since = now() WHERE kind = %s AND id = %s"
_USERS = f"SELECT {sql.USER_COLUMNS} FROM memory_users WHERE subject > %s ORDER BY subject LIMIT {_PAGE}"
_REWRAP = "UPDATE memory_users SET wrapped_key = %b, key_id = %s WHERE subject = %s AND wrapped_key = %b"
_MOVE = "UPDATE memory_users SET user_hash = %s, pepper_id = %s WHERE subject = %s AND user_hash = %s"
_LOCK = "SELECT user_hash FROM memory_users WHERE subject = %s FOR UPDATE"
_ROWS = f"""
    SELECT c.id, c.subject, c.text_cipher, c.meta_cipher, c.created_at, c.embedding::real[], c.vector_cipher
    FROM memory_users u JOIN memory_chunks c ON c.user_hash = u.user_hash
    WHERE u.subject = %s AND c.id > %s ORDER BY c.id LIMIT {_PAGE}"""
_OTHERS = "SELECT count(*) FROM memory_chunks WHERE user_hash = %s AND id <> ALL (%s)"
_CHANGED = """
    UPDATE memory_users SET embedder = %s, vectors = %s, seals = seals + %s::bigint WHERE user_hash = %s"""


class PostgresMaintenance(Maintenance):
    """See `Maintenance`. `url` is the maintaining role; belongs to the event loop in which it is opened."""

    def __init__(self, url: str, policy: StorePolicy | None = None, *, clock: Clock | None = None) -> None:
        self._database = Database(url, policy or StorePolicy(), clock)

    async def open(self) -> None:
        await self._database.open()
        try:
            await self._database.run(lambda connection: preflight(connection, "maintain"))
        except BaseException:
            await self._database.close()
            raise

    async def close(self) -> None:
        await self._database.close()

    async def current(self, *, deadline: Deadline) -> Mapping[EpochKind, str]:
        async def work(connection: Connection) -> Mapping[EpochKind, str]:
            return dict(await sql.fetch(connection, sql.EPOCHS))

        return await self._database.run(work, deadline=deadline, reads=True)

    async def advance(self, kind: EpochKind, *, old: str, new: str) -> bool:
        return await self._changed_one(_ADVANCE, (new, kind, old))

    async def in_use(self, kind: EpochKind) -> Mapping[str, int]:
        query = f"SELECT {_COLUMNS[kind]}, count(*) FROM memory_users GROUP BY 1"

        async def work(connection: Connection) -> Mapping[str, int]:
            return dict(await sql.fetch(connection, query))

        return await self._database.run(work, reads=True)

    async def users(self) -> AsyncIterator[UserRecord]:
        async for row in self._pages(_USERS, (), lambda row: cast("UUID", row[0])):
            yield sql.user(row)

    async def rewrap(self, subject: UUID, *, old: bytes, new: bytes, key_id: str) -> bool:
        return await self._changed_one(_REWRAP, (new, key_id, subject, old))

    async def set_user_hash(self, subject: UUID, *, old: str, new: str, pepper_id: str) -> bool:
        # the rows go along: their reference to the user cascades
        return await self._changed_one(_MOVE, (checked(new), pepper_id, subject, checked(old)))

    async def rows(self, subject: UUID) -> AsyncIterator[StoredRow]:
        async for row in self._pages(_ROWS, (subject,), lambda row: cast("UUID", row[0])):
            yield sql.stored(row[:5], vector=row[5], vector_cipher=row[6])

    async def replace_vectors(
        self,
        subject: UUID,
        vectors: Mapping[UUID, Sequence[float]] | Mapping[UUID, bytes],
        *,
        embedder: str,
        mode: VectorMode,
        seals: int,
    ) -> bool:
        async def work(connection: Connection) -> bool:
            # locked, so that nothing is added meanwhile
            found = await sql.fetch(connection, _LOCK, (subject,))
            if not found:
                return False
            user_hash = found[0][0]
            [(others,)] = await sql.fetch(connection, _OTHERS, (user_hash, list(vectors)))
            if others:
                return False
            for statement, values in sql.replacements(user_hash, vectors, mode):
                await connection.execute(statement.encode(), values)
            await connection.execute(_CHANGED, (embedder, mode, seals, user_hash))
            return True

        return await self._database.run(work, deadline=self._database.deadline(rows=len(vectors)))

    async def vacuum(self) -> None:
        async with self._database.plain() as connection:
            await connection.execute("VACUUM memory_chunks, memory_users")

    # -- inside -------------------------------------------------------------------------------------------

    async def _changed_one(self, statement: str, values: Sequence[Any]) -> bool:
        async def work(connection: Connection) -> bool:
            return (await connection.execute(statement.encode(), values)).rowcount == 1

        return await self._database.run(work)

    async def _pages(self, query: str, fixed: tuple[Any, ...], key: Any) -> AsyncIterator[tuple[Any, ...]]:
        after = _FIRST
        while True:
            values = (*fixed, after)

            async def work(connection: Connection, values: Sequence[Any] = values) -> list[Any]:
                return await sql.fetch(connection, query, values)

            page = await self._database.run(work, reads=True)
            for row in page:
                yield row
            if len(page) < _PAGE:
                return
            after = key(page[-1])
