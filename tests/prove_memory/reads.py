"""Row 9: reads that try to see another tenant's rows; none does, directly or behind a transaction pooler."""

import asyncio
import random
import shutil
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress

import psycopg
from psycopg_pool import AsyncConnectionPool

from rerankd.core.deadline import Deadline
from rerankd.core.secret import Secret
from rerankd.engine.clock import SystemClock
from rerankd.errors import StoreError
from rerankd.memory.policy import StorePolicy
from rerankd.memory.store.postgres import PostgresStore
from rerankd.memory.types import Filter, UserRecord
from tests.memory.database import Server, run_server
from tests.memory.pooler import run_pooler
from tests.memory.store.make import NEVER, new_rows, unit
from tests.prove.line import Line
from tests.prove_memory.pgbouncer import run_pgbouncer
from tests.prove_memory.rows import add_users, opened

__all__ = ["measure"]

_TENANTS = 64
_WORKERS = 16
_CONNECTIONS = 4
_ROWS = 4
_SET = "SELECT set_config('app.user_hash', %s, true)"
_SEEN = "SELECT user_hash FROM memory_chunks"
_USERS = "SELECT user_hash FROM memory_users"

Route = Callable[[Secret], AbstractAsyncContextManager[Secret]]
Connection = psycopg.AsyncConnection[tuple[object, ...]]


class Attacks:
    """Each counts its reads and every row that it should not have seen."""

    def __init__(self, users: list[UserRecord], store: PostgresStore, seed: int, *, session: bool) -> None:
        self.users, self.store = users, store
        self.session = session
        """Whether a client keeps its connection; behind a transaction pooler it does not."""
        self.chance = random.Random(seed)
        self.reads: Counter[str] = Counter()
        self.leaks: list[str] = []

    def two(self) -> tuple[UserRecord, UserRecord]:
        mine, other = self.chance.sample(self.users, 2)
        return mine, other

    def check(self, kind: str, seen: object, expected: object) -> None:
        self.reads[kind] += 1
        if seen != expected:
            self.leaks.append(kind)

    async def look(self, connection: Connection, kind: str, owner: UserRecord | None, **how: bool) -> None:
        """What is there to see at all, without naming anybody."""
        table = self.chance.choice((_SEEN, _USERS))
        found = {row[0] for row in await (await connection.execute(table, **how)).fetchall()}
        self.check(kind, found, {owner.user_hash} if owner else set())

    # -- past the store, on a connection that others use as well ------------------------------------------

    async def pool_reuse(self, connection: Connection) -> None:
        mine, _ = self.two()
        async with connection.transaction():
            await connection.execute(_SET, (mine.user_hash,))
            await self.look(connection, "own rows and no others", mine)
        await self.look(connection, "after another's transaction", None)

    async def no_tenant(self, connection: Connection) -> None:
        await self.look(connection, "no tenant", None)
        async with connection.transaction():
            await connection.execute(_SET, (self.chance.choice(("", None)),))
            await self.look(connection, "empty or NULL tenant", None)
            await connection.execute("SET LOCAL app.user_hash TO DEFAULT")
            await self.look(connection, "tenant reset", None)

    async def error(self, connection: Connection) -> None:
        mine, _ = self.two()
        with suppress(psycopg.errors.DivisionByZero):
            async with connection.transaction():
                await connection.execute(_SET, (mine.user_hash,))
                await connection.execute("SELECT 1/0")
        await self.look(connection, "after an error mid-transaction", None)

    async def savepoints(self, connection: Connection) -> None:
        mine, other = self.two()
        async with connection.transaction():
            await connection.execute(_SET, (mine.user_hash,))
            with suppress(psycopg.errors.DivisionByZero):
                async with connection.transaction():
                    await connection.execute(_SET, (other.user_hash,))
                    await self.look(connection, "inside a savepoint", other)
                    await connection.execute("SELECT 1/0")
            await self.look(connection, "after a savepoint was rolled back", mine)

    async def by_name(self, connection: Connection) -> None:
        mine, other = self.two()
        async with connection.transaction():
            await connection.execute(_SET, (mine.user_hash,))
            for query in (
                "SELECT id FROM memory_chunks WHERE user_hash = %s",
                "SELECT wrapped_key FROM memory_users WHERE user_hash = %s",
                "SELECT c.id FROM memory_users u LEFT JOIN memory_chunks c ON true WHERE c.user_hash = %s",
            ):
                found = await (await connection.execute(query, (other.user_hash,))).fetchall()
                self.check("another's rows by name", found, [])

    async def prepared(self, connection: Connection) -> None:
        """A plan made for one tenant, used by the next. Behind a pooler it lives as long as a transaction."""
        if self.session:
            for user in (*self.two(), None):
                async with connection.transaction():
                    if user:
                        await connection.execute(_SET, (user.user_hash,))
                    await self.look(connection, "prepared plans", user, prepare=True)
            return
        mine, other = self.two()
        async with connection.transaction():
            await connection.execute(_SET, (mine.user_hash,))
            await connection.execute("PREPARE plan AS SELECT DISTINCT user_hash FROM memory_chunks")
            for user in (mine, other, mine, other, mine, other, mine):
                await connection.execute(_SET, (user.user_hash,))
                found = await (await connection.execute("EXECUTE plan")).fetchall()
                self.check("prepared plans", found, [(user.user_hash,)])
            await connection.execute("DEALLOCATE plan")

    async def cancelled(self, connection: Connection) -> None:
        """The server cancels a statement in the middle of a transaction."""
        mine, _ = self.two()
        with suppress(psycopg.errors.QueryCanceled):
            async with connection.transaction():
                await connection.execute(_SET, (mine.user_hash,))
                await connection.execute("SET LOCAL statement_timeout = 1")
                await connection.execute("SELECT pg_sleep(1)")
        await self.look(connection, "after a cancelled statement", None)

    # -- through the store --------------------------------------------------------------------------------

    async def asked(self, connection: Connection | None = None) -> None:
        mine, _ = self.two()
        found = await self.store.nearest(
            mine.user_hash, unit(self.chance.random()), 24, Filter(), deadline=NEVER
        )
        self.check("the store's own reads", (subjects(found.rows), len(found.rows)), ({mine.subject}, _ROWS))

    async def broken_off(self, connection: Connection | None = None) -> None:
        """The caller goes away, or its time is up, at any moment; the next one meets the same connections."""
        mine, other = self.two()
        if self.chance.random() < 0.5:
            call = asyncio.ensure_future(
                self.store.nearest(mine.user_hash, unit(1), 24, Filter(), deadline=NEVER)
            )
            for _ in range(self.chance.randrange(30)):
                await asyncio.sleep(0)
            call.cancel()
            await asyncio.gather(call, return_exceptions=True)
        else:
            deadline = Deadline.after(SystemClock().now(), self.chance.random() * 2)
            with suppress(StoreError):
                await self.store.nearest(mine.user_hash, unit(1), 24, Filter(), deadline=deadline)
        found = await self.store.nearest(other.user_hash, unit(2), 24, Filter(), deadline=NEVER)
        self.check(
            "after a call broken off", (subjects(found.rows), len(found.rows)), ({other.subject}, _ROWS)
        )

    async def others_ids(self, connection: Connection | None = None) -> None:
        mine, other = self.two()
        stolen = await self.store.nearest(other.user_hash, unit(3), 24, Filter(), deadline=NEVER)
        found = await self.store.rows(mine.user_hash, [row.id for row in stolen.rows], deadline=NEVER)
        self.check("another's rows by their ids", list(found.rows), [])

    async def polluted(self, connection: Connection | None = None) -> None:
        """A neighbour sets a tenant for the whole session; what the store sets for its transaction counts."""
        mine, other = self.two()
        async with self.store._database.plain() as left_behind:
            await left_behind.execute("SELECT set_config('app.user_hash', %s, false)", (other.user_hash,))
        try:
            for _ in range(3):
                found = await self.store.nearest(mine.user_hash, unit(4), 24, Filter(), deadline=NEVER)
                self.check(
                    "on a connection with another's tenant",
                    (subjects(found.rows), len(found.rows)),
                    ({mine.subject}, _ROWS),
                )
        finally:
            for _ in range(2 * _CONNECTIONS):
                async with self.store._database.plain() as left_behind:
                    await left_behind.execute("RESET app.user_hash")


def subjects(rows: object) -> set[object]:
    return {row.subject for row in rows}  # type: ignore[attr-defined]


def measure(quick: bool) -> Iterator[Line]:
    reads = 600 if quick else 100_000
    with run_server() as server:
        yield asyncio.run(_role(server))
        yield asyncio.run(_through("directly", server, _direct, reads, session=True))
        if not quick and shutil.which("pgbouncer"):
            yield asyncio.run(_through("behind PgBouncer", server, run_pgbouncer, reads, session=False))
            reads //= 5
        yield asyncio.run(
            _through("behind a transaction pooler of ours", server, _pooler, reads, session=False)
        )


async def _role(server: Server) -> Line:
    """A figure measured as anybody else would mean nothing."""
    async with await psycopg.AsyncConnection.connect(server.urls.app) as connection:
        row = await (
            await connection.execute(
                "SELECT rolname, rolsuper, rolbypassrls, pg_has_role('rerankd_owner', 'MEMBER')"
                " FROM pg_roles WHERE rolname = current_user"
            )
        ).fetchone()
    assert row is not None
    name, superuser, bypasses, owner = row
    return Line(
        9,
        "the role of these reads",
        "NOSUPERUSER NOBYPASSRLS, not the owner",
        f"{name}: superuser {superuser}, bypasses {bypasses}, owner {owner}",
        not (superuser or bypasses or owner),
    )


async def _through(how: str, server: Server, route: Route, reads: int, *, session: bool) -> Line:
    async with opened(server.urls.app) as direct:
        users = await add_users(direct, _TENANTS)
        for user in users:
            rows = new_rows(_ROWS)
            await direct.insert(user, rows, seals=_ROWS, deadline=NEVER)
    async with route(server.urls.app) as url:
        policy = StorePolicy(pool_min=_CONNECTIONS, pool_max=_CONNECTIONS)
        pool: AsyncConnectionPool[Connection] = AsyncConnectionPool(
            url,
            min_size=_CONNECTIONS,
            max_size=_CONNECTIONS,
            open=False,
            kwargs={"autocommit": True, "prepare_threshold": None},
        )
        async with opened(url, policy) as store, opened(url, policy) as apart, pool:
            attacks = Attacks(users, store, seed=len(how), session=session)
            alone = Attacks(users, apart, seed=len(how) + 1, session=session)
            await _attack(attacks, pool, reads)
            # a tenant left behind is met by whoever looks without one: so this is tried when nobody else is there
            for _ in range(3 if reads < 10_000 else 400):
                await alone.polluted()
    total = attacks.reads + alone.reads
    leaks = Counter(attacks.leaks + alone.leaks)
    return Line(
        9,
        f"another tenant's rows seen in adversarial reads, {how}",
        "0 in 100,000",
        f"{sum(leaks.values())} in {sum(total.values()):,} of {len(total)} kinds, {_TENANTS} tenants at once"
        + (f": {dict(leaks)}" if leaks else ""),
        not leaks,
    )


async def _attack(attacks: Attacks, pool: "AsyncConnectionPool[Connection]", reads: int) -> None:
    raw: list[Callable[[Connection], Awaitable[None]]] = [
        attacks.pool_reuse,
        attacks.no_tenant,
        attacks.error,
        attacks.savepoints,
        attacks.by_name,
        attacks.prepared,
        attacks.cancelled,
    ]
    through_store = [attacks.asked, attacks.broken_off, attacks.others_ids]

    async def worker() -> None:
        while attacks.reads.total() < reads:
            if attacks.chance.random() < 0.7:
                # a time-out that strikes as one transaction ends may cancel the next: that one sees nothing
                async with pool.connection() as connection:
                    with suppress(psycopg.errors.QueryCanceled):
                        await attacks.chance.choice(raw)(connection)
            else:
                await attacks.chance.choice(through_store)()

    await asyncio.gather(*(worker() for _ in range(_WORKERS)))


@asynccontextmanager
async def _direct(url: Secret) -> AsyncIterator[Secret]:
    yield url


@asynccontextmanager
async def _pooler(url: Secret) -> AsyncIterator[Secret]:
    async with run_pooler(url, size=3) as (pooled, _):
        yield pooled
