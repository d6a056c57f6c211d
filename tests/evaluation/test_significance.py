"""Differences are those of the queries, their intervals and p-values those of the two tests."""

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rerankd.evaluation.significance import difference

VALUES = st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=40)


@settings(max_examples=25, deadline=None)
@given(VALUES)
def test_the_mean_lies_in_its_interval_and_the_interval_among_the_differences(
    values: list[tuple[float, float]],
) -> None:
    found = difference(*map(list, zip(*values, strict=True)))
    gained = [after - before for before, after in values]
    assert found.mean == pytest.approx(sum(gained) / len(gained), abs=1e-9)
    assert min(gained) - 1e-9 <= found.low <= found.mean + 1e-9
    assert found.mean - 1e-9 <= found.high <= max(gained) + 1e-9
    assert 0 < found.p <= 1


@settings(max_examples=25, deadline=None)
@given(VALUES)
def test_the_other_way_round_it_is_as_significant(values: list[tuple[float, float]]) -> None:
    first, second = map(list, zip(*values, strict=True))
    there, back = difference(first, second), difference(second, first)
    assert there.mean == -back.mean
    assert there.p == back.p


def test_the_p_value_is_that_of_all_ways_to_swap_the_names() -> None:
    gained = [0.5, 0.2, -0.1, 0.4, 0.3, 0.05, 0.6, -0.2]
    observed = abs(sum(gained))
    ways = list(itertools.product((1, -1), repeat=len(gained)))
    exact = sum(
        abs(sum(sign * gain for sign, gain in zip(signs, gained, strict=True))) >= observed - 1e-12
        for signs in ways
    ) / len(ways)
    assert difference([0.0] * 8, gained).p == pytest.approx(exact, abs=0.02)


def test_equal_systems_do_not_differ() -> None:
    found = difference([0.3, 0.7], [0.3, 0.7])
    assert (found.mean, found.low, found.high, found.p) == (0, 0, 0, 1)
    assert not found.significant


def test_the_same_gain_on_many_queries_is_significant_and_on_three_it_cannot_be() -> None:
    assert difference([0.1] * 20, [0.3] * 20).significant
    assert not difference([0.1] * 3, [0.3] * 3).significant


def test_the_same_values_give_the_same_figures() -> None:
    first, second = [0.1, 0.5, 0.9, 0.2], [0.2, 0.4, 1.0, 0.6]
    assert difference(first, second) == difference(first, second)


def test_more_queries_than_are_held_at_once_are_compared_all_the_same() -> None:
    found = difference([0.0] * 3_000, [0.0, 1.0] * 1_500)
    assert found.mean == 0.5
    assert found.high - found.low == pytest.approx(4 * 0.5 / 3_000**0.5, rel=0.1)


@pytest.mark.parametrize("values", [([], []), ([0.1], [0.1, 0.2])])
def test_values_that_are_not_in_pairs_are_refused(values: tuple[list[float], list[float]]) -> None:
    with pytest.raises(ValueError, match="as many values"):
        difference(*values)
