"""The ranking rule, sentence by sentence."""

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rerankd.core.ranking import cut, is_score, order, sigmoid

# few different values, so that there are ties; and everything that a model may answer instead of a number
LOGITS = st.lists(
    st.none() | st.sampled_from([-1.0, -0.0, 0.0, 1.0, math.nan, math.inf, -math.inf]) | st.floats(),
    max_size=30,
)
SCORES = st.lists(st.none() | st.floats(0, 1), max_size=30)


def scored(logits: list[float | None]) -> list[int]:
    return [i for i, logit in enumerate(logits) if logit is not None and math.isfinite(logit)]


@given(LOGITS)
def test_the_order_is_a_permutation_none_lost_and_none_doubled(logits: list[float | None]) -> None:
    assert sorted(order(logits)) == list(range(len(logits)))


@given(LOGITS)
def test_an_unscored_candidate_keeps_exactly_its_own_slot(logits: list[float | None]) -> None:
    positions, with_score = order(logits), set(scored(logits))
    assert all(positions[i] == i for i in range(len(logits)) if i not in with_score)


@given(LOGITS)
def test_scored_candidates_fill_the_slots_of_scored_ones_best_first_and_ties_in_retrieval_order(
    logits: list[float | None],
) -> None:
    slots = scored(logits)
    filled = [order(logits)[slot] for slot in slots]
    assert sorted(filled) == slots
    for before, after in pairwise(filled):
        high, low = logits[before], logits[after]
        assert high is not None
        assert low is not None
        assert high > low or (high == low and before < after)


@given(LOGITS)
def test_a_value_that_is_not_finite_counts_as_no_score(logits: list[float | None]) -> None:
    finite = [logit if logit is not None and math.isfinite(logit) else None for logit in logits]
    assert order(logits) == order(finite)


@given(LOGITS)
def test_the_callers_list_is_never_changed(logits: list[float | None]) -> None:
    before = list(map(repr, logits))
    order(logits)
    assert list(map(repr, logits)) == before


@given(st.lists(st.floats(-10, 10), max_size=20), st.integers(0, 20))
def test_with_a_scored_prefix_it_is_reranking_at_that_depth(values: list[float], unscored: int) -> None:
    tail = list(range(len(values), len(values) + unscored))
    assert order([*values, *[None] * unscored]) == order(values) + tail


@given(st.integers(0, 30))
def test_with_nothing_scored_it_is_the_retrieval_order(count: int) -> None:
    assert order([None] * count) == list(range(count))


@given(LOGITS, st.integers(0, 29))
def test_it_does_not_matter_to_the_others_where_a_candidate_without_score_stands(
    logits: list[float | None], place: int
) -> None:
    place = min(place, len(logits))
    with_one_more = [*logits[:place], None, *logits[place:]]
    moved = [i - (i > place) for i in order(with_one_more) if i != place]
    assert moved == order(logits)


def test_a_score_that_nothing_was_made_of_is_none() -> None:
    assert is_score(0.0)
    assert not any(is_score(value) for value in (None, math.nan, math.inf, -math.inf))


@given(SCORES, st.none() | st.floats(0, 1), st.none() | st.integers(1, 40))
def test_min_score_removes_scored_candidates_only_and_then_top_k_cuts(
    scores: list[float | None], low: float | None, top_k: int | None
) -> None:
    positions = order(scores)
    kept = cut(positions, scores, min_score=low, top_k=top_k)
    allowed = [i for i in positions if low is None or (s := scores[i]) is None or s >= low]
    assert kept == allowed[: len(allowed) if top_k is None else top_k]


def test_without_limits_nothing_is_cut() -> None:
    assert cut([2, 0, 1], [0.1, 0.2, None]) == [2, 0, 1]


def test_top_k_counts_what_min_score_has_left() -> None:
    assert cut([0, 1, 2], [0.1, 0.9, 0.8], min_score=0.5, top_k=2) == [1, 2]


@given(st.floats(allow_nan=False))
def test_the_sigmoid_is_within_0_and_1_for_any_logit(logit: float) -> None:
    assert 0.0 <= sigmoid(logit) <= 1.0


@given(st.floats(allow_nan=False), st.floats(allow_nan=False))
def test_the_sigmoid_never_turns_two_logits_round(one: float, other: float) -> None:
    low, high = sorted((one, other))
    assert sigmoid(low) <= sigmoid(high)


@pytest.mark.parametrize(("logit", "score"), [(0.0, 0.5), (1000.0, 1.0), (-1000.0, 0.0), (math.log(3), 0.75)])
def test_the_sigmoid_of_known_logits(logit: float, score: float) -> None:
    assert sigmoid(logit) == pytest.approx(score)
