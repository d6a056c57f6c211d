"""What is said of a load follows from what its callers saw."""

import pytest
from benchmarks.arrivals import HEAD, Level, judge, level
from benchmarks.figures import slope

from rerankd.bench.load import Shot
from rerankd.core.types import Outcome


def shot(at, ms, depth=24):
    outcome = Outcome.RERANKED if depth == 24 else Outcome.PARTIAL if depth else Outcome.SKIPPED
    return Shot(
        intended=at,
        started=at,
        ended=at + ms / 1000,
        outcome=outcome,
        reason=None,
        depth=depth,
        candidates=24,
    )


def a_level(load, **changes):
    figures = dict.fromkeys(Level.__dataclass_fields__, 0.0)
    return Level(**{**figures, "load": load, "requests": 100, **changes})


def test_the_head_is_the_first_twelve_as_the_library_has_it():
    assert HEAD == 12


def test_an_answer_after_the_budget_and_its_grace_counts_for_nothing():
    shots = [shot(0.0, 100), shot(1.0, 270, depth=12), shot(1.7, 300)]
    found = level(0.8, 2.0, shots, [True, True, True], 250.0)
    assert found.in_time == pytest.approx((24 + 12) / 2.0)
    assert found.heads_in_time == pytest.approx(2 / 2.0)
    assert (found.reranked, found.partial, found.skipped) == pytest.approx((2 / 3, 1 / 3, 0))
    assert (found.p50_ms, found.most_ms) == pytest.approx((270, 300))
    assert found.depth == 20


@pytest.mark.parametrize(
    ("heads", "small", "held"), [(0.9, False, True), (0.89, False, False), (0.95, True, False)]
)
def test_a_small_model_owes_more_complete_heads(heads, small, held):
    rules = judge([a_level(0.8, heads=heads, depth=16, p99_ms=275)], 100.0, small=small)
    assert [rule.held for rule in rules] == [held, True, True]


def test_overload_is_held_to_what_the_capacity_allows():
    rules = judge([a_level(4.0, in_time=80, heads_in_time=6.7, p99_ms=276)], 100.0, small=False)
    assert [rule.held for rule in rules] == [True, True, False]
    rules = judge([a_level(4.0, in_time=79, heads_in_time=6.6, p99_ms=275)], 100.0, small=False)
    assert [rule.held for rule in rules] == [False, False, True]


def test_a_slope_is_that_of_the_line_of_least_squares():
    assert slope([(0, 1.0), (1, 3.0), (2, 5.0)]) == pytest.approx(2.0)
    assert slope([(1, 1.0), (1, 3.0)]) == 0.0
