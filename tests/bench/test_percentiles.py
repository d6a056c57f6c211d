import math

import pytest

from rerankd.bench.percentiles import percentile, percentiles


@pytest.mark.parametrize(
    ("q", "seen"), [(0, 1), (1, 1), (50, 50), (50.5, 51), (95, 95), (99, 99), (99.1, 100), (100, 100)]
)
def test_it_is_the_smallest_value_that_so_many_percent_do_not_exceed(q: float, seen: int) -> None:
    assert percentile(range(100, 0, -1), q) == seen


def test_rounding_errors_do_not_move_it_up_by_one() -> None:
    assert percentile(range(1, 1001), 99.9) == 999


def test_one_value_is_every_percentile_and_of_none_it_is_not_a_number() -> None:
    assert percentiles([7.0]) == {"p50": 7.0, "p95": 7.0, "p99": 7.0}
    assert math.isnan(percentile([], 50))


@pytest.mark.parametrize("q", [-1, 101, math.nan])
def test_a_percentage_outside_its_range_is_refused(q: float) -> None:
    with pytest.raises(ValueError, match="q: must be from 0 to 100"):
        percentile([1.0], q)
