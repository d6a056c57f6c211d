"""A memory counts half after each half-life, and the floor is the age at which it counts that much."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rerankd.memory.decay import oldest, weight

NOW = datetime(2026, 5, 1, tzinfo=UTC)
DAY = 86_400.0


@pytest.mark.parametrize(("days", "expected"), [(0, 1.0), (30, 0.5), (60, 0.25), (-5, 1.0), (10**9, 0.0)])
def test_it_halves_with_each_half_life(days: float, expected: float) -> None:
    assert weight(days * DAY, 30 * DAY) == expected


@given(half_life=st.floats(1, 1e8), floor=st.floats(0.001, 1))
def test_the_oldest_that_counts_weighs_exactly_the_floor(half_life: float, floor: float) -> None:
    moment = oldest(NOW, half_life, floor)
    assert moment is not None
    assert weight((NOW - moment).total_seconds(), half_life) == pytest.approx(floor, rel=1e-3)


def test_without_a_floor_or_before_the_calendar_nothing_is_too_old() -> None:
    assert oldest(NOW, DAY, 0.0) is None
    assert oldest(NOW, 1e15, 0.5) is None
    assert oldest(NOW, DAY, 1.0) == NOW
    assert oldest(NOW, DAY, 0.5) == NOW - timedelta(days=1)
