"""Behind a transaction pooler, where the next statement may meet another connection and another tenant's."""

import asyncio

import psycopg
import pytest

from rerankd.errors import StoreError
from rerankd.memory.policy import StorePolicy
from rerankd.memory.store.maintenance import PostgresMaintenance
from rerankd.memory.store.postgres import PostgresStore
from rerankd.memory.types import Filter
from tests.memory.database import Server
from tests.memory.pooler import run_pooler
from tests.memory.store.make import NEVER, add_user, hash_of, new_rows, unit

POLICY = StorePolicy(pool_max=6)


async def test_tenants_that_share_the_poolers_connections_each_get_their_own(server: Server) -> None:
    async with run_pooler(server.urls.app, size=2) as (url, pooler):
        store = PostgresStore(url, POLICY)
        await store.open()
        users = [await add_user(store) for _ in range(12)]
        for user in users:
            await store.insert(user, new_rows(4), seals=8, deadline=NEVER)
        before = pooler.handed_over
        for query in range(5):
            found = await asyncio.gather(
                *(store.nearest(u.user_hash, unit(query), 24, Filter(), deadline=NEVER) for u in users)
            )
            for user, each in zip(users, found, strict=True):
                assert {row.subject for row in each.rows} == {user.subject}
                assert len(each.rows) == 4
        assert pooler.handed_over > before, "they never met another's connection: nothing was tried"
        await store.close()


async def test_nobody_finds_a_tenant_on_a_connection_that_another_left(server: Server) -> None:
    """One connection for all: what a transaction leaves behind, the next client would see."""
    async with run_pooler(server.urls.app, size=1) as (url, pooler):
        store = PostgresStore(url, POLICY)
        await store.open()
        stranger = await psycopg.AsyncConnection.connect(url, autocommit=True, prepare_threshold=None)
        user = await add_user(store)
        await store.insert(user, new_rows(4), seals=8, deadline=NEVER)
        await store.nearest(user.user_hash, unit(1), 24, Filter(), deadline=NEVER)
        before = pooler.handed_over
        cursor = await stranger.execute(
            "SELECT current_setting('app.user_hash', true), (SELECT count(*) FROM memory_chunks)"
        )
        assert await cursor.fetchone() == ("", 0)
        assert pooler.handed_over == before + 1
        await stranger.close()
        await store.close()


async def test_everything_a_store_does_works_there(server: Server) -> None:
    """Batches, exports in a cursor, cancelled calls, moving and erasing."""
    async with run_pooler(server.urls.app, size=2) as (url, _):
        store = PostgresStore(url, POLICY)
        await store.open()
        user = await add_user(store)
        rows = new_rows(700)
        await store.insert(user, rows, seals=1_400, deadline=NEVER)
        with pytest.raises(StoreError):
            await store.insert(user, rows[:1], seals=2, deadline=NEVER)
        exported = [row.id async for row in store.export(user.user_hash)]
        assert exported == [row.id for row in rows]
        for steps in range(12):
            call = asyncio.ensure_future(store.count(user.user_hash, deadline=NEVER))
            for _ in range(steps):
                await asyncio.sleep(0)
            call.cancel()
            await asyncio.gather(call, return_exceptions=True)
            assert await store.count(user.user_hash, deadline=NEVER) == 700
        assert await store.delete(user.user_hash, [rows[0].id], deadline=NEVER) == 1
        assert await store.erase(user.user_hash, deadline=NEVER) == 699
        await store.close()


async def test_maintenance_works_there_too(server: Server) -> None:
    """Vacuuming included, which wants a connection without a transaction."""
    store = PostgresStore(server.urls.app, POLICY)
    await store.open()
    user = await add_user(store)
    async with run_pooler(server.urls.maintain, size=1) as (url, _):
        maintenance = PostgresMaintenance(url, POLICY)
        await maintenance.open()
        new = hash_of(("new", user.user_hash))
        assert await maintenance.set_user_hash(user.subject, old=user.user_hash, new=new, pepper_id="p")
        assert user.subject in {each.subject async for each in maintenance.users()}
        await maintenance.vacuum()
        await maintenance.close()
    await store.close()
