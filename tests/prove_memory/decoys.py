"""Row 10: inside a tenant, the exact nearest, all of them, whatever other tenants put beside."""

import asyncio
from collections.abc import Iterator, Sequence
from uuid import UUID

import numpy as np

from rerankd.memory.store.maintenance import PostgresMaintenance
from rerankd.memory.store.postgres import PostgresStore
from rerankd.memory.types import Filter, UserRecord
from tests.memory.database import Server, run_server
from tests.memory.store.make import NEVER, add_user
from tests.prove.line import Line
from tests.prove_memory.rows import Matrix, add_rows, analyse, opened, random_vectors, rows_of

__all__ = ["measure"]

_K = 24
_SIZES = (0, 1, 5, 23, 24, 25, 100, 1_000, 5_000)
_QUICK_SIZES = (0, 1, 23, 24, 25, 300)
_TIE = 1e-6
"""Distances are kept and compared in single precision."""

Answer = list[list[tuple[UUID, float]]]


def measure(quick: bool) -> Iterator[Line]:
    with run_server() as server:
        yield from asyncio.run(_measure(server, quick))


async def _measure(server: Server, quick: bool) -> list[Line]:
    sizes = _QUICK_SIZES if quick else _SIZES
    queries = random_vectors(5 if quick else 50, seed=1)
    decoys = 3_000 if quick else 100_000
    async with opened(server.urls.app) as store:
        users = [await add_user(store) for _ in sizes]
        for number, (user, size) in enumerate(zip(users, sizes, strict=True)):
            # among the random ones some that are near to a query, as memories are
            vectors = random_vectors(size, seed=10 + number)
            vectors[::3] = _near(queries, len(vectors[::3]), 0.8, seed=20 + number)
            await add_rows(store, user, rows_of(vectors))
        analyse(server.urls.owner)
        before = {user.user_hash: await _ask(store, user, queries) for user in users}
        counted = sum(len(answer) for answers in before.values() for answer in answers)
        expected = sum(min(_K, size) * len(queries) for size in sizes)
        recall = await _recall(server, users, queries, before)

        adversary = await add_user(store)
        nearer = _near(queries, 2_000, 0.05, seed=3)
        for start in range(0, decoys, len(nearer)):
            await add_rows(store, adversary, rows_of(nearer[: decoys - start]))
        fresh = {user.user_hash: await _ask(store, user, queries) for user in users}
        analyse(server.urls.owner)
        after = {user.user_hash: await _ask(store, user, queries) for user in users}
        assert await store.count(adversary.user_hash, deadline=NEVER) == decoys
    return [
        Line(
            10,
            f"rows of tenants of {', '.join(f'{size:,}' for size in sizes)} memories",
            f"min({_K}, matching rows) always",
            f"{counted:,} of {expected:,} in {len(queries) * len(sizes):,} queries",
            counted == expected,
        ),
        Line(
            10,
            f"recall@{_K} against brute force over the stored values",
            "1.000",
            f"{recall:.3f}",
            recall == 1.0,
        ),
        Line(
            10,
            f"answers after another tenant added {decoys:,} memories that are nearer to every query",
            "identical",
            f"{_same(before, fresh)} of {len(users) * len(queries)} at once,"
            f" {_same(before, after)} when statistics know of them",
            before == fresh == after,
        ),
    ]


def _near(queries: Matrix, count: int, noise: float, seed: int) -> Matrix:
    """Vectors in the neighbourhood of the queries."""
    source = np.random.default_rng(seed)
    vectors = queries[source.integers(len(queries), size=count)]
    vectors = vectors + noise * random_vectors(count, seed)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


async def _ask(store: PostgresStore, user: UserRecord, queries: Matrix) -> Answer:
    answers: Answer = []
    for query in queries:
        found = await store.nearest(user.user_hash, query.tolist(), _K, Filter(), deadline=NEVER)
        assert all(row.subject == user.subject for row in found.rows)
        answers.append([(row.id, row.distance or 0.0) for row in found.rows])
    return answers


async def _recall(
    server: Server, users: Sequence[UserRecord], queries: Matrix, answers: dict[str, Answer]
) -> float:
    """By distance, so that of equally near rows any may be among the 24."""
    maintenance = PostgresMaintenance(server.urls.maintain)
    await maintenance.open()
    hits = total = 0
    for user in users:
        stored = {row.id: row.vector async for row in maintenance.rows(user.subject)}
        if not stored:
            continue
        places = {id: place for place, id in enumerate(stored)}
        matrix = np.array(list(stored.values()), dtype=np.float64)
        matrix /= np.linalg.norm(matrix, axis=1, keepdims=True)
        for query, answer in zip(queries, answers[user.user_hash], strict=True):
            asked = query.astype(np.float16).astype(np.float64)  # as the database takes it
            distances = 1 - matrix @ (asked / np.linalg.norm(asked))
            worst = np.sort(distances)[min(_K, len(distances)) - 1]
            hits += sum(distances[places[id]] <= worst + _TIE for id, _ in answer)
            total += min(_K, len(distances))
    await maintenance.close()
    return hits / total


def _same(before: dict[str, Answer], after: dict[str, Answer]) -> int:
    return sum(
        one == two
        for user_hash, answers in before.items()
        for one, two in zip(answers, after[user_hash], strict=True)
    )
