"""Row 11: how long the exact search takes, from the call to the rows, the vector in its row."""

import asyncio
import itertools
import time
from collections.abc import Iterator
from uuid import UUID, uuid4

import psycopg

from rerankd.memory.sealing import DataKey, Sealer
from rerankd.memory.store.postgres import PostgresStore
from rerankd.memory.types import Filter, SealedVector, UserRecord
from rerankd.memory.vectors import encode, nearest
from tests.memory.database import Server, run_server
from tests.memory.store.make import NEVER, NOON, add_user
from tests.prove.line import Line, percentile
from tests.prove_memory.rows import add_rows, analyse, opened, random_vectors, rows_of

__all__ = ["measure"]

_K = 24
_TEXT_BYTES = 600
"""A memory of some 550 characters, sealed."""


def measure(quick: bool) -> Iterator[Line]:
    with run_server(options={}) as server:  # with everything that a server does to lose nothing
        yield from asyncio.run(_measure(server, quick))
        yield _columns(server, 200 if quick else 10_000)
    yield from _sealed(quick)


async def _measure(server: Server, quick: bool) -> list[Line]:
    reads = 100 if quick else 3_000
    plan = {300: (2, 5.0)} if quick else {1_000: (20, 5.0), 10_000: (3, 20.0)}
    lines = []
    async with opened(server.urls.app) as store:
        users = {size: [await add_user(store) for _ in range(count)] for size, (count, _) in plan.items()}
        await _fill(store, users)
        analyse(server.urls.owner)
        for size, (_, limit) in plan.items():
            took = await _times(store, users[size], reads if size < 10_000 else reads // 3)
            p99 = percentile(took, 0.99) * 1_000
            lines.append(
                Line(
                    11,
                    f"the exact nearest {_K} of {size:,} plain vectors, call to rows",
                    f"p99 ≤ {limit:g} ms",
                    f"p50 {percentile(took, 0.5) * 1_000:.2f} ms, p99 {p99:.2f} ms in {len(took):,} reads",
                    p99 <= limit,
                    timed=True,
                )
            )
    lines.append(_toasted(server))
    return lines


async def _fill(store: PostgresStore, users: dict[int, list[UserRecord]]) -> None:
    """In turn, 50 rows each: a user's rows lie scattered among the others', as they do when they come over time."""
    vectors = random_vectors(2_000, seed=5)
    todo = [(user, size) for size, members in users.items() for user in members]
    for start in itertools.count(0, 50):
        left = [(user, size) for user, size in todo if size > start]
        if not left:
            return
        for user, _ in left:
            chosen = vectors[(start % 2_000) : (start % 2_000) + 50]
            await add_rows(store, user, rows_of(chosen, text_bytes=_TEXT_BYTES))


async def _times(store: PostgresStore, users: list[UserRecord], reads: int) -> list[float]:
    queries = random_vectors(50, seed=6).tolist()
    took = []
    for number in range(reads + 50):
        user, query = users[number % len(users)], queries[number % len(queries)]
        began = time.perf_counter()
        found = await store.nearest(user.user_hash, query, _K, Filter(), deadline=NEVER)
        ended = time.perf_counter()
        assert len(found.rows) == _K
        if number >= 50:  # before that, the server reads its catalogue
            took.append(ended - began)
    return took


def _toasted(server: Server) -> Line:
    """Beside large texts too, which have to make room."""
    with psycopg.connect(server.urls.owner, autocommit=True) as connection, connection.transaction():
        user = f"{7:064x}"
        connection.execute("SELECT set_config('app.user_hash', %s, true)", (user,))
        connection.execute(
            "INSERT INTO memory_users (subject, pepper_id, sealed_user_id, wrapped_key, key_id, embedder, vectors)"
            " VALUES (gen_random_uuid(), '', '', '', '', '', 'plain')"
        )
        for characters in (10, 600, 1_200, 2_000, 8_000, 60_000):
            connection.execute(
                "INSERT INTO memory_chunks (subject, text_cipher, meta_cipher, embedding)"
                " SELECT subject, convert_to(repeat('x', %s), 'UTF8'), '', array_fill(0.5, ARRAY[384])::halfvec"
                " FROM memory_users",
                (characters,),
            )
        row = connection.execute(
            "SELECT count(*) FILTER (WHERE pg_column_toast_chunk_id(embedding) IS NOT NULL),"
            " count(*) FILTER (WHERE pg_column_toast_chunk_id(text_cipher) IS NOT NULL), count(*)"
            " FROM memory_chunks"
        ).fetchone()
    assert row is not None
    vectors, texts, rows = row
    return Line(
        11,
        "vectors moved out of their row by texts of up to 60,000 bytes",
        "0",
        f"{vectors} of {rows}; of the texts {texts}",
        vectors == 0 and texts > 0,
    )


def _columns(server: Server, rows: int) -> Line:
    """The search by the kind and storage of the column, beside sealed texts of two lengths."""
    took = []
    query = str(random_vectors(1, seed=8)[0].tolist())
    with psycopg.connect(server.superuser(), autocommit=True) as connection:
        connection.execute("CREATE EXTENSION IF NOT EXISTS vector")
        for kind, storage in itertools.product(("halfvec", "vector"), ("PLAIN", "EXTERNAL")):
            for text in (_TEXT_BYTES, 2_000):
                connection.execute("DROP TABLE IF EXISTS tried")
                connection.execute(
                    f"CREATE TABLE tried (id uuid DEFAULT gen_random_uuid(), vector {kind}(384), text bytea)"
                )
                connection.execute(
                    f"ALTER TABLE tried ALTER vector SET STORAGE {storage}, ALTER text SET STORAGE EXTERNAL"
                )
                connection.execute(
                    "INSERT INTO tried (vector, text) SELECT"
                    " ARRAY(SELECT random() - 0.5 + 0 * n FROM generate_series(1, 384)),"
                    " convert_to(repeat('x', %s), 'UTF8') FROM generate_series(1, %s) AS n",
                    (text, rows),
                )
                connection.execute("VACUUM ANALYZE tried")
                times = []
                for _ in range(20):
                    began = time.perf_counter()
                    connection.execute(
                        f"SELECT id, vector <=> '{query}' AS d FROM tried ORDER BY d, id LIMIT {_K}"
                    ).fetchall()
                    times.append(time.perf_counter() - began)
                took.append(f"{kind} {storage} beside {text:,} bytes {percentile(times, 0.5) * 1_000:.1f} ms")
        connection.execute("DROP TABLE tried")
    return Line(11, f"{rows:,} vectors by column", "for the choice", ", ".join(took), None, timed=True)


def _sealed(quick: bool) -> Iterator[Line]:
    """A user's sealed vectors, opened and ranked here; the time that this takes of a core."""
    key = DataKey.new()
    sealer = Sealer(key, UUID(int=1))
    query = random_vectors(1, seed=9)[0]
    for count in (100,) if quick else (1_000, 10_000):
        place = {"table": "memory_chunks", "column": "vector_cipher"}
        rows = [
            SealedVector(id, NOON, sealer.seal(encode(vector), **place, row=id))
            for vector, id in ((vector, uuid4()) for vector in random_vectors(count, seed=10))
        ]
        took = []
        for _ in range(50):
            began = time.process_time()
            near = nearest(sealer, "memory_chunks", "vector_cipher", rows, query, _K, Filter())
            took.append(time.process_time() - began)
            assert len(near.ids) == _K
        middle = percentile(took, 0.5) * 1_000
        yield Line(
            11,
            f"{count:,} sealed vectors, opened and ranked here",
            "≤ 3 ms of CPU" if count <= 1_000 else "stated",
            f"{middle:.2f} ms of CPU",
            middle <= 3.0 if count <= 1_000 else None,
            timed=True,
        )
