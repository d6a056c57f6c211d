"""A table of memories that is split by hash of the user keeps the same promises."""

import re

import psycopg
import pytest

from rerankd.errors import StoreError
from rerankd.memory.policy import StorePolicy
from rerankd.memory.store.embedded import EmbeddedPostgres
from rerankd.memory.store.maintenance import PostgresMaintenance
from rerankd.memory.store.port import UserGone
from rerankd.memory.store.postgres import PostgresStore
from rerankd.memory.types import Filter
from tests.memory.database import Server, run_server
from tests.memory.store.make import NEVER, add_user, hash_of, new_rows, unit

POLICY = StorePolicy(pool_max=2)


async def test_users_live_in_their_partition_and_move_between_them(server: Server) -> None:
    """Another hash is another partition, most of the time; the rows go along."""
    urls = server.database(partitions=8)
    store, maintenance = PostgresStore(urls.app, POLICY), PostgresMaintenance(urls.maintain, POLICY)
    await store.open()
    await maintenance.open()
    users = [await add_user(store) for _ in range(12)]
    for user in users:
        await store.insert(user, new_rows(3), seals=6, deadline=NEVER)
    with psycopg.connect(urls.maintain) as connection:
        used = connection.execute("SELECT count(DISTINCT tableoid) FROM memory_chunks").fetchone()
    assert (used or (0,))[0] > 1
    for user in users:
        new = hash_of(("moved", user.user_hash))
        assert await maintenance.set_user_hash(user.subject, old=user.user_hash, new=new, pepper_id="p")
        found = await store.nearest(new, unit(1), 24, Filter(), deadline=NEVER)
        assert {row.subject for row in found.rows} == {user.subject}
        assert len(found.rows) == 3
        assert (await store.nearest(user.user_hash, unit(1), 24, Filter(), deadline=NEVER)).user is None
        with pytest.raises(UserGone):
            await store.insert(user, new_rows(1), seals=2, deadline=NEVER)
        vectors = {row.id: unit(row.id) async for row in maintenance.rows(user.subject)}
        assert await maintenance.replace_vectors(user.subject, vectors, embedder="e", mode="plain", seals=0)
        assert await store.erase(new, deadline=NEVER) == 3
    await maintenance.vacuum()
    await store.close()
    await maintenance.close()


def test_a_question_reads_one_partition_and_no_index_of_neighbours(server: Server) -> None:
    urls = server.database(partitions=8)
    with psycopg.connect(urls.app) as connection:
        connection.execute("SELECT set_config('app.user_hash', %s, true)", (hash_of(1),))
        plan = connection.execute(
            "EXPLAIN SELECT id FROM memory_chunks WHERE user_hash = %s ORDER BY embedding <=> %s LIMIT 24",
            (hash_of(1), str(unit(1))),
        ).fetchall()
        indexes = connection.execute(
            "SELECT amname FROM pg_class JOIN pg_am ON pg_am.oid = relam WHERE relkind = 'i'"
        )
        kinds = {row[0] for row in indexes.fetchall()}
    assert len(set(re.findall(r"memory_chunks_\d{4}", str(plan)))) == 1
    assert not kinds & {"hnsw", "ivfflat"}


async def test_an_older_server_serves_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    """The wheel carries PostgreSQL 16 too, on which only the owner can be allowed to vacuum."""
    monkeypatch.setattr("rerankd.memory.store.embedded._FOLDERS", {"16": "pginstall"})
    with run_server() as running:
        store = PostgresStore(running.urls.app, POLICY)
        maintenance = PostgresMaintenance(running.urls.maintain, POLICY)
        await store.open()
        await maintenance.open()
        user = await add_user(store)
        await store.insert(user, new_rows(30), seals=60, deadline=NEVER)
        assert len((await store.nearest(user.user_hash, unit(1), 24, Filter(), deadline=NEVER)).rows) == 24
        await maintenance.vacuum()
        with pytest.raises(StoreError):
            await PostgresStore(running.urls.owner, POLICY).open()
        await store.close()
        await maintenance.close()
        # data of one version are not opened by another
        monkeypatch.setattr("rerankd.memory.store.embedded._FOLDERS", {"18": "pginstall18"})
        with pytest.raises(StoreError, match="PostgreSQL 16"):
            EmbeddedPostgres(running.embedded.folder.parent).start()
        monkeypatch.setattr("rerankd.memory.store.embedded._FOLDERS", {"16": "pginstall"})
