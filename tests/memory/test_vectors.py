"""Sealed vectors are ranked as plain ones would be, and one that does not open is left out and counted."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import numpy as np
import pytest

from rerankd.memory.embedder import Run
from rerankd.memory.sealing import DataKey, Sealer, TamperedError
from rerankd.memory.types import Filter, SealedVector
from rerankd.memory.vectors import DIMENSIONS, decode, encode, nearest

WHERE = {"table": "memory_chunks", "column": "vector_cipher"}
NOW = datetime(2026, 5, 1, tzinfo=UTC)
SEALER = Sealer(DataKey.new(), UUID(int=1))


def sealed(number: int, vector: np.ndarray, *, age_days: float = 0) -> SealedVector:
    row = UUID(int=number)
    cipher = SEALER.seal(encode(vector), row=row, **WHERE)
    return SealedVector(row, NOW - timedelta(days=age_days), cipher)


def unit(*values: float) -> np.ndarray:
    vector = np.zeros(DIMENSIONS)
    vector[: len(values)] = values
    return vector / np.linalg.norm(vector)


def test_the_nearest_by_cosine_distance_come_first() -> None:
    random = np.random.default_rng(5)
    vectors = random.normal(size=(200, DIMENSIONS))
    query = random.normal(size=DIMENSIONS)
    rows = [sealed(number, vector) for number, vector in enumerate(vectors)]
    found = nearest(SEALER, *WHERE.values(), rows, query, 24, Filter())
    halves = vectors.astype(np.float16).astype(float)
    asked = query.astype(np.float16).astype(float)
    distances = 1 - halves @ asked / np.linalg.norm(halves, axis=1) / np.linalg.norm(asked)
    assert [each.int for each in found.ids] == list(np.argsort(distances)[:24])
    assert found.distances == pytest.approx(sorted(distances)[:24], abs=1e-5)


def test_ties_are_ordered_by_id() -> None:
    rows = [sealed(number, unit(1.0)) for number in (3, 1, 2)]
    found = nearest(SEALER, *WHERE.values(), rows, unit(1.0), 2, Filter())
    assert [each.int for each in found.ids] == [1, 2]


def test_a_vector_that_does_not_open_is_left_out_and_counted() -> None:
    good, moved, short = sealed(1, unit(1.0)), sealed(2, unit(1.0)), sealed(3, unit(1.0))
    moved = SealedVector(UUID(int=9), NOW, moved.cipher)
    cut = SEALER.seal(b"\0" * 10, row=UUID(int=3), **WHERE)
    short = SealedVector(UUID(int=3), NOW, cut)
    found = nearest(SEALER, *WHERE.values(), [good, moved, short], unit(1.0), 5, Filter())
    assert ([each.int for each in found.ids], found.rejected) == ([1], 2)


def test_with_a_half_life_an_older_memory_counts_less() -> None:
    old, new = sealed(1, unit(1.0), age_days=60), sealed(2, unit(1.0, 0.5), age_days=0)
    asked = unit(1.0)
    by_distance = nearest(SEALER, *WHERE.values(), [old, new], asked, 2, Filter(now=NOW))
    decayed = nearest(
        SEALER, *WHERE.values(), [old, new], asked, 2, Filter(now=NOW, half_life_seconds=30 * 86_400)
    )
    assert [each.int for each in by_distance.ids] == [1, 2]
    assert [each.int for each in decayed.ids] == [2, 1]
    assert decayed.distances[1] == pytest.approx(0, abs=1e-3), "the distance itself is not decayed"


def test_a_vector_of_zeros_is_as_far_as_one_at_right_angles() -> None:
    found = nearest(SEALER, *WHERE.values(), [sealed(1, np.zeros(DIMENSIONS))], unit(1.0), 1, Filter())
    assert found.distances == (1.0,)


def test_no_vectors_are_none_near() -> None:
    assert nearest(SEALER, *WHERE.values(), [], unit(1.0), 5, Filter()).ids == ()


def test_what_is_no_vector_is_refused() -> None:
    with pytest.raises(TamperedError):
        decode(b"123")


@pytest.mark.parametrize("vector", [None, [], [1.0] * 383, [[1.0] * 384]])
def test_what_is_no_vector_is_never_encoded(vector: Any) -> None:
    """A record of it would open, and never be found."""
    with pytest.raises(ValueError, match="384 numbers"):
        encode(vector)


def test_opening_stops_when_nobody_waits_any_more() -> None:
    run = Run()
    run.end()
    rows = [sealed(number, unit(1.0)) for number in range(1, 4)]
    assert nearest(SEALER, *WHERE.values(), rows, unit(1.0), 2, Filter(), run).ids == ()
