"""The statements of the store, and what they take and give."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from uuid import UUID

from rerankd.memory.store.pool import Connection
from rerankd.memory.types import Filter, NewRow, StoredRow, UserRecord, VectorMode

__all__ = [
    "ADD_USER",
    "BEGIN_EPOCH",
    "COUNT",
    "COUNT_SEALS",
    "DELETE_ROWS",
    "EPOCHS",
    "ERASE_ROWS",
    "ERASE_USER",
    "EXPORT",
    "LOCK_USER",
    "ROWS",
    "USER",
    "USER_COLUMNS",
    "VECTOR",
    "additions",
    "fetch",
    "nearest",
    "replacements",
    "sealed",
    "stored",
    "user",
    "user_values",
]

USER_COLUMNS = "subject, user_hash, pepper_id, sealed_user_id, wrapped_key, key_id, embedder, vectors, seals"
_ROW_COLUMNS = "id, subject, text_cipher, meta_cipher, created_at"
VECTOR = "%b::float8[]::halfvec(384)"
"""How a vector is handed over: 384 numbers in binary form."""

EPOCHS = "SELECT kind, id FROM memory_epochs"
BEGIN_EPOCH = "INSERT INTO memory_epochs (kind, id) VALUES (%s, %s) ON CONFLICT (kind) DO NOTHING"

USER = f"SELECT {USER_COLUMNS} FROM memory_users WHERE user_hash = %s"
LOCK_USER = "SELECT subject FROM memory_users WHERE user_hash = %s"
ADD_USER = f"""
    INSERT INTO memory_users ({USER_COLUMNS}) VALUES (%s, %s, %s, %b, %b, %s, %s, %s, %s)
    ON CONFLICT (user_hash) DO NOTHING"""
COUNT_SEALS = """
    UPDATE memory_users SET seals = seals + %s::bigint
    WHERE user_hash = %s AND subject = %s AND embedder = %s AND vectors = %s AND seals + %s::bigint < 2147483648"""
ERASE_USER = "DELETE FROM memory_users WHERE user_hash = %s"

_ADD_ROWS = """
    INSERT INTO memory_chunks
        (user_hash, subject, id, text_cipher, meta_cipher, labels, created_at, embedding, vector_cipher)
    VALUES """
_ADDED = f"(%s, %s, %s, %b, %b, %b, %s, {VECTOR}, %b)"
_BATCH = 200
"""Rows in one statement; a statement takes 65,535 values."""
ROWS = f"SELECT {_ROW_COLUMNS} FROM memory_chunks WHERE user_hash = %s AND id = ANY (%s)"
DELETE_ROWS = "DELETE FROM memory_chunks WHERE user_hash = %s AND id = ANY (%s)"
ERASE_ROWS = "DELETE FROM memory_chunks WHERE user_hash = %s"
COUNT = """
    SELECT (SELECT count(*) FROM memory_chunks WHERE user_hash = %s) FROM memory_users WHERE user_hash = %s"""
EXPORT = f"""
    DECLARE exported NO SCROLL CURSOR FOR
    SELECT {_ROW_COLUMNS} FROM memory_chunks WHERE user_hash = %s ORDER BY created_at, id"""


def nearest(user_hash: str, vector: Sequence[float], k: int, filter: Filter) -> tuple[str, list[Any]]:
    """The statement of the exact nearest rows, and its values; the columns of a row and its distance."""
    where, values = _where(user_hash, filter, "embedding")
    order, ordered = "distance", []
    if filter.half_life_seconds is not None:
        if filter.now is None:
            raise ValueError("a half-life needs the moment from which ages count")
        # 2^-1000 is as good as nothing and still a number; PostgreSQL raises an error for anything smaller.
        order = (
            f"greatest(0, 1 - (embedding <=> {VECTOR})) * power(0.5::float8, least(1000,"
            " greatest(0, date_part('epoch', %s::timestamptz - created_at)) / %s::float8)) DESC"
        )
        ordered = [list(vector), filter.now, filter.half_life_seconds]
    query = (
        f"SELECT {_ROW_COLUMNS}, embedding <=> {VECTOR} AS distance FROM memory_chunks"
        f" WHERE {where} ORDER BY {order}, id LIMIT %s"
    )
    return query, [list(vector), *values, *ordered, k]


def sealed(user_hash: str, filter: Filter) -> tuple[str, list[Any]]:
    """The statement of all sealed vectors, and its values; id, creation and ciphertext."""
    where, values = _where(user_hash, filter, "vector_cipher")
    return f"SELECT id, created_at, vector_cipher FROM memory_chunks WHERE {where}", values


def _where(user_hash: str, filter: Filter, column: str) -> tuple[str, list[Any]]:
    parts, values = ["user_hash = %s", f"{column} IS NOT NULL"], [user_hash]  # type: tuple[list[str], list[Any]]
    if filter.since is not None:
        parts.append("created_at >= %s")
        values.append(filter.since)
    if filter.until is not None:
        parts.append("created_at < %s")
        values.append(filter.until)
    if filter.labels:
        parts.append("labels @> %b::bytea[]")
        values.append(list(filter.labels))
    return " AND ".join(parts), values


def user_values(record: UserRecord) -> tuple[Any, ...]:
    return (
        record.subject,
        record.user_hash,
        record.pepper_id,
        record.sealed_user_id,
        record.wrapped_key,
        record.key_id,
        record.embedder,
        record.vectors,
        record.seals,
    )


def additions(user_hash: str, subject: UUID, rows: Sequence[NewRow]) -> Iterator[tuple[str, list[Any]]]:
    """Statements that add the rows, and their values. Not a pipeline, which an error leaves beyond repair."""
    for start in range(0, len(rows), _BATCH):
        batch = rows[start : start + _BATCH]
        values: list[Any] = []
        for row in batch:
            vector = None if row.vector is None else list(row.vector)
            values += (user_hash, subject, row.id, row.text_cipher, row.meta_cipher)
            values += (list(row.labels), row.created_at, vector, row.vector_cipher)
        yield _ADD_ROWS + ", ".join([_ADDED] * len(batch)), values


def replacements(
    user_hash: str, vectors: Mapping[UUID, Sequence[float]] | Mapping[UUID, bytes], mode: VectorMode
) -> Iterator[tuple[str, list[Any]]]:
    """Statements that replace the vectors of rows and empty the other kind of column, and their values."""
    column, other = ("embedding", "vector_cipher") if mode == "plain" else ("vector_cipher", "embedding")
    value = VECTOR if mode == "plain" else "%b::bytea"
    items = list(vectors.items())
    for start in range(0, len(items), _BATCH):
        batch = items[start : start + _BATCH]
        values: list[Any] = []
        for id, vector in batch:
            values += (id, vector if isinstance(vector, bytes) else list(vector))
        yield (
            f"UPDATE memory_chunks AS c SET {column} = n.value, {other} = NULL"
            f" FROM (VALUES {', '.join([f'(%s::uuid, {value})'] * len(batch))}) AS n (id, value)"
            " WHERE c.user_hash = %s AND c.id = n.id",
            [*values, user_hash],
        )


def user(values: Sequence[Any]) -> UserRecord:
    subject, user_hash, pepper_id, sealed_id, wrapped, key_id, embedder, vectors, seals = values
    return UserRecord(
        subject=subject,
        user_hash=user_hash,
        pepper_id=pepper_id,
        sealed_user_id=sealed_id,
        wrapped_key=wrapped,
        key_id=key_id,
        embedder=embedder,
        vectors=vectors,
        seals=seals,
    )


def stored(values: Sequence[Any], **more: Any) -> StoredRow:
    id, subject, text_cipher, meta_cipher, created_at = values
    return StoredRow(
        id=id,
        subject=subject,
        text_cipher=text_cipher,
        meta_cipher=meta_cipher,
        created_at=created_at,
        **more,
    )


async def fetch(connection: Connection, query: str, values: Sequence[Any] | None = None) -> list[Any]:
    """All rows, in binary form: as text, every ciphertext would double in size on its way."""
    async with connection.cursor(binary=True) as cursor:
        await cursor.execute(query.encode(), values)
        return await cursor.fetchall()
