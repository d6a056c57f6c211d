"""Whoever waits for the database gets an answer or an error in time, whatever becomes of it."""

import asyncio
import tempfile
from collections.abc import Awaitable
from pathlib import Path
from typing import TypeVar
from urllib.parse import quote

import psycopg
import pytest

from rerankd.core.deadline import Deadline
from rerankd.engine.clock import SystemClock
from rerankd.errors import StoreError
from rerankd.memory.policy import StorePolicy
from rerankd.memory.store import pool
from rerankd.memory.store.pool import Connection, Database, refused
from rerankd.memory.store.postgres import PostgresStore
from rerankd.memory.types import Filter
from tests.memory.database import Server, run_server
from tests.memory.store.make import NEVER, add_user, new_rows, unit

T = TypeVar("T")


def soon(ms: float = 50.0) -> Deadline:
    return Deadline.after(SystemClock().now(), ms)


async def test_a_database_that_is_not_there_is_an_error_in_time() -> None:
    """Nobody listens; the message names what to look at, and not the password."""
    store = PostgresStore(
        "postgresql://app:s3cret@127.0.0.1:1/none",
        StorePolicy(connect_timeout_ms=50, statement_timeout_ms=50),
    )
    with pytest.raises(StoreError, match="is it running, is its URL right") as refused_:
        await store.open()
    assert "s3cret" not in str(refused_.value)


async def test_a_database_that_takes_a_connection_and_says_nothing_is_an_error_in_time() -> None:
    def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)

    writers: list[asyncio.StreamWriter] = []
    with tempfile.TemporaryDirectory() as folder:
        listening = await asyncio.start_unix_server(silent, str(Path(folder) / ".s.PGSQL.5432"))
        policy = StorePolicy(connect_timeout_ms=50, statement_timeout_ms=50)
        store = PostgresStore(f"postgresql://app@/none?host={quote(folder, safe='')}", policy)
        with pytest.raises(StoreError):
            await store.open()
        listening.close()
        for writer in writers:
            writer.close()


async def test_a_url_that_cannot_be_read_is_not_repeated() -> None:
    with pytest.raises(StoreError, match="cannot be read") as refused_:
        PostgresStore("postgresql://app:s3cret@[")
    assert "s3cret" not in str(refused_.value)


async def test_a_statement_that_waits_ends_at_the_deadline_and_costs_no_connection(server: Server) -> None:
    """Somebody holds a lock on the table; once it is gone, the only connection serves again."""
    store = PostgresStore(server.urls.app, StorePolicy(pool_max=1))
    await store.open()
    user = await add_user(store)
    pid = await backend(store._database)
    with psycopg.connect(server.urls.owner) as owner:
        owner.execute("LOCK TABLE memory_chunks IN ACCESS EXCLUSIVE MODE")
        with pytest.raises(StoreError, match="by the deadline"):
            await store.nearest(user.user_hash, unit(1), 24, Filter(), deadline=soon())
        with pytest.raises(StoreError, match="by the deadline"):
            await store.insert(user, new_rows(1), seals=2, deadline=soon())
    assert await store.count(user.user_hash, deadline=NEVER) == 0
    assert await backend(store._database) == pid
    await store.close()


async def test_where_no_deadline_is_given_the_statement_timeout_holds(server: Server) -> None:
    store = PostgresStore(server.urls.app, StorePolicy(pool_max=1, statement_timeout_ms=50))
    await store.open()
    user = await add_user(store)
    with psycopg.connect(server.urls.owner) as owner:
        owner.execute("LOCK TABLE memory_chunks IN ACCESS EXCLUSIVE MODE")
        with pytest.raises(StoreError, match="by the deadline"):
            await store.count(user.user_hash, deadline=NEVER)
    await store.close()


async def test_whoever_waits_for_a_connection_waits_no_longer_than_the_deadline(server: Server) -> None:
    store = PostgresStore(server.urls.app, StorePolicy(pool_max=1))
    await store.open()
    user = await add_user(store)
    async with store._database.plain():
        with pytest.raises(StoreError):
            await store.count(user.user_hash, deadline=soon())
    assert await store.count(user.user_hash, deadline=NEVER) == 0
    await store.close()


async def test_a_caller_that_is_cancelled_goes_on_at_once_and_the_query_ends(server: Server) -> None:
    store = PostgresStore(server.urls.app, StorePolicy(pool_max=1))
    await store.open()
    user = await add_user(store)
    with psycopg.connect(server.superuser(), autocommit=True) as admin:
        with psycopg.connect(server.urls.owner) as owner:
            owner.execute("LOCK TABLE memory_chunks IN ACCESS EXCLUSIVE MODE")
            call = asyncio.ensure_future(store.count(user.user_hash, deadline=NEVER))
            await until(admin, "wait_event_type = 'Lock'")
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call
            await until(admin, "state = 'idle'")
        assert await store.count(user.user_hash, deadline=NEVER) == 0
    await store.close()


async def test_reads_survive_a_restart_and_writes_are_never_done_twice() -> None:
    """Every pooled connection is dead then. What was only begun is tried again on another one."""
    with run_server(options={}) as running:
        store = PostgresStore(running.urls.app, StorePolicy(pool_min=3, pool_max=3))
        await store.open()
        user = await add_user(store)
        await store.insert(user, new_rows(5), seals=10, deadline=NEVER)
        for immediate in (False, True):
            await asyncio.to_thread(restart, running, immediate)
            found = await store.nearest(user.user_hash, unit(1), 24, Filter(), deadline=NEVER)
            assert len(found.rows) == 5
            await asyncio.to_thread(restart, running, immediate)
            await store.insert(user, [], seals=10, deadline=NEVER)
        kept = await store.user(user.user_hash, deadline=NEVER)
        assert kept is not None
        assert kept.seals == 30
        await store.close()


async def test_a_write_whose_connection_breaks_is_an_error_and_not_tried_again(server: Server) -> None:
    """It may have been done: only the caller knows what to do about that."""
    store = PostgresStore(server.urls.app, StorePolicy(pool_max=2))
    await store.open()
    user = await add_user(store)
    with (
        psycopg.connect(server.superuser(), autocommit=True) as admin,
        psycopg.connect(server.urls.owner) as owner,
    ):
        owner.execute("LOCK TABLE memory_chunks IN ACCESS EXCLUSIVE MODE")
        call = asyncio.ensure_future(store.insert(user, new_rows(1), seals=2, deadline=NEVER))
        await until(admin, "wait_event_type = 'Lock'")
        admin.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE application_name = 'rerankd' AND wait_event_type = 'Lock'"
        )
        with pytest.raises(StoreError, match="was lost"):
            await call
    assert await store.count(user.user_hash, deadline=NEVER) == 0
    await store.close()


async def test_closing_ends_what_is_going_on(server: Server) -> None:
    store = PostgresStore(server.urls.app, StorePolicy(pool_max=1))
    await store.open()
    user = await add_user(store)
    with psycopg.connect(server.urls.owner) as owner:
        owner.execute("LOCK TABLE memory_chunks IN ACCESS EXCLUSIVE MODE")
        with pytest.raises(StoreError):
            await store.count(user.user_hash, deadline=soon(5))
        await store.close()
    assert not store._database._abandoned


def test_an_error_of_the_database_is_told_without_the_values_it_repeats(server: Server) -> None:
    with psycopg.connect(server.urls.owner, autocommit=True) as owner:
        with pytest.raises(psycopg.Error) as seen:
            owner.execute("SELECT 'secret text'::uuid")
        assert "secret text" in str(seen.value)
        told = refused(seen.value)
    assert isinstance(told, StoreError)
    assert "secret text" not in str(told)
    assert "InvalidTextRepresentation" in str(told)


def restart(server: Server, immediate: bool) -> None:
    server.embedded.halt(immediate=immediate)
    server.embedded.resume()


async def backend(database: Database) -> object:
    async with database.plain() as connection:
        return connection.info.backend_pid


async def until(connection: "psycopg.Connection[tuple[object, ...]]", condition: str) -> None:
    """Until a connection of the store is in this state, which the database tells."""
    query = f"SELECT 1 FROM pg_stat_activity WHERE application_name = 'rerankd' AND {condition}"
    while connection.execute(query.encode()).fetchone() is None:
        await asyncio.sleep(0)


async def test_a_time_out_that_was_meant_for_the_last_one_does_not_fail_the_next(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PostgreSQL cancels the first statement of a transaction when the last one's time-out strikes late."""
    store = PostgresStore(server.urls.app, StorePolicy(pool_max=1))
    await store.open()
    user = await add_user(store)
    begin, strikes = pool._begin, [b"SET statement_timeout = 1; SELECT pg_sleep(1)"]
    monkeypatch.setattr(pool, "_begin", lambda *arguments: strikes.pop() if strikes else begin(*arguments))
    assert await store.count(user.user_hash, deadline=NEVER) == 0
    assert not strikes
    await store.close()


async def test_a_read_that_another_cancels_is_done_again_and_a_write_is_not(server: Server) -> None:
    """Behind a pooler a cancellation that comes too late strikes whoever has the connection by then."""
    database = Database(server.urls.app, StorePolicy(pool_max=1))
    await database.open()
    begun = 0

    async def struck_once(connection: Connection) -> str:
        nonlocal begun
        begun += 1
        if begun == 1:
            asyncio.get_running_loop().call_later(0.05, connection.cancel)
            await connection.execute("SELECT pg_sleep(30)")
        return "done"

    assert await database.run(struck_once, reads=True) == "done"
    assert begun == 2
    begun = 0
    with pytest.raises(StoreError):
        await database.run(struck_once)
    assert begun == 1
    await database.close()


async def test_calls_that_are_cancelled_at_any_moment_cost_no_connection(server: Server) -> None:
    """Also while they are given a connection or give it back: else some day the pool is empty."""

    async def slowly(done: Awaitable[T]) -> T:
        for _ in range(5):
            await asyncio.sleep(0)
        result = await done
        for _ in range(5):
            await asyncio.sleep(0)
        return result

    policy = StorePolicy(pool_min=2, pool_max=2, connect_timeout_ms=1_000, statement_timeout_ms=1_000)
    store = PostgresStore(server.urls.app, policy)
    await store.open()
    user = await add_user(store)
    connections = store._database._pool
    give, take = connections.getconn, connections.putconn
    connections.getconn = lambda timeout=None: slowly(give(timeout))  # type: ignore[method-assign]
    connections.putconn = lambda connection: slowly(take(connection))  # type: ignore[method-assign]
    for steps in range(60):
        calls = [asyncio.ensure_future(store.count(user.user_hash, deadline=NEVER)) for _ in range(3)]
        for _ in range(steps):
            await asyncio.sleep(0)
        for call in calls[:2]:
            call.cancel()
        assert (await asyncio.gather(*calls, return_exceptions=True))[2] == 0
    while store._database._abandoned:
        await asyncio.sleep(0)
    async with store._database.plain(), store._database.plain():
        pass  # both connections are there
    await store.close()
