"""Vectors that are sealed like text: how they are written, and how a user's own are ranked exactly.

Half precision is what pgvector's `halfvec` keeps as well: the query and the stored vectors are rounded alike,
so both modes order the same memories the same way. Measured: see `docs/memory.md`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from rerankd.memory.decay import weight
from rerankd.memory.embedder import Run
from rerankd.memory.sealing import Sealer, TamperedError
from rerankd.memory.types import Filter, SealedVector

__all__ = ["DIMENSIONS", "Near", "decode", "distances_to", "encode", "nearest", "order"]

DIMENSIONS = 384
_HALF = np.dtype("<f2")
_BYTES = DIMENSIONS * _HALF.itemsize
_BLOCK = 256
"""Rows that are opened and compared at once: what fits into a core's cache, and asks for no new pages."""


@dataclass(frozen=True, slots=True)
class Near:
    """The nearest of a user's sealed vectors."""

    ids: tuple[UUID, ...]
    """Nearest first."""
    distances: tuple[float, ...]
    rejected: int
    """How many did not open, and are left out."""


def encode(vector: Sequence[float] | NDArray[Any]) -> bytes:
    """384 numbers in half precision, least significant byte first. Raises `ValueError` for anything else."""
    half = np.asarray(vector, dtype=_HALF)
    if half.shape != (DIMENSIONS,):
        raise ValueError(f"a vector has {DIMENSIONS} numbers, got shape {half.shape}")
    return half.tobytes()


def decode(data: bytes) -> NDArray[np.float32]:
    """Raises `TamperedError` for what is no such vector."""
    if len(data) != _BYTES:
        raise TamperedError(f"a vector has {_BYTES} bytes, got {len(data)}")
    return np.frombuffer(data, dtype=_HALF).astype(np.float32)


def nearest(
    sealer: Sealer,
    table: str,
    column: str,
    rows: Sequence[SealedVector],
    query: Sequence[float] | NDArray[Any],
    k: int,
    filter: Filter,
    run: Run | None = None,
) -> Near:
    """Open every vector, and find the `k` nearest by cosine distance, or as the filter's half-life says.

    One that does not open in its place is left out and counted. What it gives once `run` has ended nobody reads.
    """
    asked = decode(encode(query))
    opened: list[SealedVector] = []
    distances = np.empty(len(rows))
    block = np.empty((min(_BLOCK, len(rows)), DIMENSIONS), np.float32)
    for start in range(0, len(rows), _BLOCK):
        if run is not None and run.ended:
            break
        some = rows[start : start + _BLOCK]
        records = ((row.id, row.cipher) for row in some)
        plains = list(sealer.open_column(records, table=table, column=column))
        good = [at for at, plain in enumerate(plains) if plain is not None and len(plain) == _BYTES]
        matrix = block[: len(good)]
        halves = np.frombuffer(b"".join(plains[at] or b"" for at in good), dtype=_HALF)
        np.copyto(matrix, halves.reshape(-1, DIMENSIONS))
        distances[len(opened) : len(opened) + len(good)] = distances_to(matrix, asked)
        opened += [some[at] for at in good]
    distances = distances[: len(opened)]
    best = order(opened, distances, k, filter)
    return Near(
        ids=tuple(opened[at].id for at in best),
        distances=tuple(float(distances[at]) for at in best),
        rejected=len(rows) - len(opened),
    )


def distances_to(matrix: NDArray[np.float32], asked: NDArray[np.float32]) -> NDArray[np.float32]:
    """Cosine distances; 1 for a vector of zeros."""
    norms = np.sqrt(np.einsum("ij,ij->i", matrix, matrix)) * np.linalg.norm(asked)
    similarities = np.divide(matrix @ asked, norms, out=np.zeros(len(matrix), np.float32), where=norms > 0)
    distances: NDArray[np.float32] = 1 - np.clip(similarities, -1, 1)
    return distances


def order(rows: Sequence[Any], distances: NDArray[np.float64], k: int, filter: Filter) -> list[int]:
    """The positions of the `k` nearest, ties by id; with a half-life by similarity times decay, greatest first."""
    keys = distances
    if filter.half_life_seconds is not None and filter.now is not None:
        now, half_life = filter.now, filter.half_life_seconds
        ages = [(now - row.created_at).total_seconds() for row in rows]
        keys = np.array(
            [-max(0.0, 1 - far) * weight(age, half_life) for far, age in zip(distances, ages, strict=True)]
        )
    among = list(range(len(rows)))
    if 0 < k < len(rows):
        # all that tie with the last place, so that the ids decide between them
        among = np.flatnonzero(keys <= np.partition(keys, k - 1)[k - 1]).tolist()
    return sorted(among, key=lambda at: (keys[at], rows[at].id))[:k]
