"""Every candidate gets a score, scored ones keep theirs, and none is larger than the one before."""

import itertools
import math

from hypothesis import given
from hypothesis import strategies as st

from rerankd.core.falling import falling, on_one_scale, retrieval_scores


def test_retrieval_scores_fall_from_one_towards_zero() -> None:
    assert retrieval_scores(4) == [1.0, 0.75, 0.5, 0.25]
    assert retrieval_scores(0) == []


def test_with_nothing_scored_the_scores_are_those_of_the_retrieval_order() -> None:
    assert falling([None, None]) == [1.0, 0.5]
    assert falling([]) == []


def test_a_gap_between_two_scores_is_filled_on_a_straight_line() -> None:
    assert falling([0.9, None, None, 0.6]) == [0.9, 0.8, 0.7, 0.6]


def test_rounding_does_not_make_a_line_rise_by_its_last_bit() -> None:
    filled = falling([-1.7976931348623155e308, *[None] * 5, -1.7976931348623157e308], raw=True)
    assert all(high >= low for high, low in itertools.pairwise(filled))


def test_before_the_first_score_stands_that_score() -> None:
    assert falling([None, None, 0.4]) == [0.4, 0.4, 0.4]


def test_after_the_last_score_it_falls_towards_zero() -> None:
    assert falling([0.8, None, None, None]) == [0.8, 0.8 * 0.75, 0.8 * 0.5, 0.8 * 0.25]


def test_after_the_last_raw_logit_it_falls_by_small_steps() -> None:
    assert falling([2.0, -3.0, None, None], raw=True) == [2.0, -3.0, -3.0001, -3.0002]


def test_it_falls_even_below_a_logit_in_which_such_a_step_is_lost() -> None:
    high, low = falling([1e300, None], raw=True)
    assert low < high


@given(
    st.lists(st.none() | st.floats(allow_nan=False, allow_infinity=False)),
    st.booleans(),
)
def test_scores_never_rise_and_none_is_changed(scores: list[float | None], raw: bool) -> None:
    known = [score if raw else abs(score) for score in scores if score is not None]
    known.sort(reverse=True)
    places = iter(known)
    ordered = [None if score is None else next(places) for score in scores]
    filled = falling(ordered, raw=raw)
    assert len(filled) == len(ordered)
    assert all(high >= low for high, low in itertools.pairwise(filled))
    assert all(given is None or given == value for given, value in zip(ordered, filled, strict=True))
    assert not any(math.isnan(value) for value in filled)


def test_scores_of_two_models_are_dealt_out_anew_and_a_gap_stays_one() -> None:
    assert on_one_scale([0.2, None, 0.9, 0.5]) == [0.9, None, 0.5, 0.2]
    assert on_one_scale([0.9, 0.5, None]) == [0.9, 0.5, None]
