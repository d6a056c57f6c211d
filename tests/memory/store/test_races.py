"""Two at once on one user: nobody is left behind by a rotation, and nobody is told "no rows" who has some."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import psycopg
import pytest

import rerankd.memory.store.postgres as postgres_module
from rerankd.errors import StoreError
from rerankd.memory.store.maintenance import PostgresMaintenance
from rerankd.memory.store.pool import Connection
from rerankd.memory.store.port import UserGone
from rerankd.memory.store.postgres import PostgresStore
from rerankd.memory.types import Filter, UserRecord
from tests.memory.database import Server
from tests.memory.store.make import NEVER, add_user, hash_of, new_row, new_rows, new_user, unit

MOVE = "UPDATE memory_users SET user_hash = %s WHERE subject = %s"


@pytest.fixture
def maintenance(postgres_maintenance: PostgresMaintenance) -> PostgresMaintenance:
    return postgres_maintenance


async def waiting(server: Server, call: "asyncio.Future[Any]", count: int = 1) -> None:
    """Until so many calls of a store wait for a lock; no longer than this one lasts."""
    async with await psycopg.AsyncConnection.connect(server.superuser(), autocommit=True) as admin:
        while not call.done():
            found = await admin.execute(
                "SELECT count(*) FROM pg_stat_activity"
                " WHERE application_name = 'rerankd' AND wait_event_type = 'Lock'"
            )
            if (await found.fetchone() or (0,))[0] >= count:
                return
            await asyncio.sleep(0)


async def test_an_epoch_moves_on_only_when_every_user_begun_under_the_old_one_is_there(
    server: Server, store: PostgresStore, maintenance: PostgresMaintenance
) -> None:
    """Else the rotation would count the users, find none left, and destroy the key that the last one needs."""
    await add_user(store)
    with psycopg.connect(server.urls.owner) as owner:
        owner.execute("LOCK TABLE memory_users IN ACCESS EXCLUSIVE MODE")
        adding = asyncio.ensure_future(store.ensure_user(new_user(), deadline=NEVER))
        await waiting(server, adding)  # it has looked at the epoch, and not added the user yet
        advancing = asyncio.ensure_future(maintenance.advance("key", old="key-1", new="key-2"))
        await waiting(server, advancing, 2)
        assert not advancing.done()
    user = await adding
    assert await advancing
    assert (await maintenance.in_use("key"))["key-1"] >= 1
    assert await store.user(user.user_hash, deadline=NEVER) == user
    await maintenance.advance("key", old="key-2", new="key-1")


CALLS: dict[str, Callable[[PostgresStore, UserRecord], Awaitable[object]]] = {
    "delete": lambda store, user: store.delete(user.user_hash, [], deadline=NEVER),
    "erase": lambda store, user: store.erase(user.user_hash, deadline=NEVER),
    "insert": lambda store, user: store.insert(user, [new_row()], seals=2, deadline=NEVER),
}


@pytest.mark.parametrize("call", CALLS)
async def test_what_meets_a_user_who_is_just_moving_finds_nobody_and_not_no_rows(
    server: Server, store: PostgresStore, call: str
) -> None:
    """It waits for the move, and then there is no such user under the old hash: look again under the new one."""
    user = await add_user(store)
    rows = new_rows(3)
    await store.insert(user, rows, seals=6, deadline=NEVER)
    new = hash_of(("moved", user.user_hash))
    with psycopg.connect(server.urls.maintain) as moving:
        moving.execute(MOVE, (new, user.subject))
        begun = asyncio.ensure_future(CALLS[call](store, user))
        await waiting(server, begun)
    if call == "insert":
        with pytest.raises(UserGone):
            await begun
    else:
        assert await begun is None
    assert await store.count(new, deadline=NEVER) == 3


async def test_a_memory_that_is_being_added_goes_along_with_its_user(
    server: Server, store: PostgresStore, maintenance: PostgresMaintenance
) -> None:
    user = await add_user(store)
    new = hash_of(("moved", user.user_hash))
    with psycopg.connect(server.urls.app) as adding:
        adding.execute("SELECT set_config('app.user_hash', %s, true)", (user.user_hash,))
        adding.execute("UPDATE memory_users SET seals = 2 WHERE user_hash = %s", (user.user_hash,))
        adding.execute(
            "INSERT INTO memory_chunks (user_hash, subject, text_cipher, meta_cipher, vector_cipher)"
            " VALUES (%s, %s, '', '', '')",
            (user.user_hash, user.subject),
        )
        moving = asyncio.ensure_future(
            maintenance.set_user_hash(user.subject, old=user.user_hash, new=new, pepper_id="pepper-2")
        )
        await waiting(server, moving)
    assert await moving
    assert await store.count(new, deadline=NEVER) == 1


async def test_a_user_and_the_rows_of_one_answer_are_of_one_moment(
    store: PostgresStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The user is erased between the two reads of a call, which sees both or neither."""
    user = await add_user(store)
    await store.insert(user, new_rows(3), seals=6, deadline=NEVER)
    read = postgres_module._user

    async def erased_right_after(connection: Connection, user_hash: str) -> UserRecord | None:
        seen = await read(connection, user_hash)
        monkeypatch.setattr(postgres_module, "_user", read)
        await store.erase(user_hash, deadline=NEVER)
        return seen

    monkeypatch.setattr(postgres_module, "_user", erased_right_after)
    found = await store.nearest(user.user_hash, unit(1), 24, Filter(), deadline=NEVER)
    assert found.user == replace(user, seals=6)
    assert len(found.rows) == 3
    assert await store.user(user.user_hash, deadline=NEVER) is None


async def test_nothing_is_added_while_vectors_are_replaced(
    server: Server, store: PostgresStore, maintenance: PostgresMaintenance
) -> None:
    """A row that came in between would keep the old embedder's vector for ever."""
    user = await add_user(store)
    rows = new_rows(2)
    await store.insert(user, rows, seals=4, deadline=NEVER)
    with psycopg.connect(server.urls.maintain) as replacing:
        replacing.execute("SELECT 1 FROM memory_users WHERE subject = %s FOR UPDATE", (user.subject,))
        adding = asyncio.ensure_future(store.insert(user, [new_row()], seals=2, deadline=NEVER))
        await waiting(server, adding)
        assert not adding.done()
    await adding
    vectors = {row.id: unit(row.id) for row in rows}
    assert not await maintenance.replace_vectors(
        user.subject, vectors, embedder="embedder-2", mode="plain", seals=0
    )


async def test_of_two_who_add_the_same_row_one_hears_of_it(store: PostgresStore) -> None:
    user = await add_user(store)
    row = new_row()
    calls = (store.insert(user, [row], seals=2, deadline=NEVER) for _ in range(4))
    results = await asyncio.gather(*calls, return_exceptions=True)
    assert results.count(None) == 1
    assert sum(isinstance(result, StoreError) for result in results) == 3
    kept = await store.user(user.user_hash, deadline=NEVER)
    assert kept is not None
    assert kept.seals == 2
