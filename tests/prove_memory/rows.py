"""Many users and rows, quickly, for figures."""

import asyncio
import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from uuid import uuid4

import numpy as np
import psycopg

from rerankd.memory.policy import StorePolicy
from rerankd.memory.store.postgres import PostgresStore
from rerankd.memory.types import NewRow, UserRecord, VectorMode
from tests.memory.store.make import DIMENSIONS, NEVER, NOON, add_user

__all__ = ["Matrix", "add_rows", "add_users", "analyse", "opened", "random_vectors", "rows_of"]

Matrix = np.ndarray
_BATCH = 2_000


@asynccontextmanager
async def opened(url: str, policy: StorePolicy | None = None) -> AsyncIterator[PostgresStore]:
    store = PostgresStore(url, policy or StorePolicy())
    await store.open()
    try:
        yield store
    finally:
        await store.close()


def random_vectors(count: int, seed: int) -> Matrix:
    vectors = np.random.default_rng(seed).standard_normal((count, DIMENSIONS))
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def rows_of(vectors: Matrix, *, text_bytes: int = 200, mode: VectorMode = "plain") -> list[NewRow]:
    sealed = mode == "sealed"
    return [
        NewRow(
            id=uuid4(),
            text_cipher=os.urandom(text_bytes),
            meta_cipher=os.urandom(60),
            labels=(os.urandom(16),),
            created_at=NOON,
            vector=None if sealed else vector.tolist(),
            vector_cipher=os.urandom(814) if sealed else None,
        )
        for vector in vectors
    ]


async def add_users(store: PostgresStore, count: int) -> list[UserRecord]:
    return [await add_user(store) for _ in range(count)]


async def add_rows(store: PostgresStore, user: UserRecord, rows: Sequence[NewRow]) -> None:
    for start in range(0, len(rows), _BATCH):
        batch = rows[start : start + _BATCH]
        await store.insert(user, batch, seals=len(batch), deadline=NEVER)
        await asyncio.sleep(0)


def analyse(owner_url: str) -> None:
    """What autovacuum does some time after many rows were added."""
    with psycopg.connect(owner_url, autocommit=True) as connection:
        connection.execute("VACUUM ANALYZE memory_chunks, memory_users")
