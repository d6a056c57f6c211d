"""The larger model decides only among what it has scored, and a better order replaces a complete worse one."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rerankd.core import cascade, ranking
from rerankd.core.cascade import CascadePolicy
from rerankd.errors import ConfigError

SCORES = st.one_of(st.none(), st.just(math.nan), st.integers(-9, 9).map(float), st.floats(-20, 20))
BOTH = st.lists(st.tuples(SCORES, SCORES), max_size=40)
POLICIES = st.builds(CascadePolicy, tier=st.integers(1, 9), depth=st.integers(0, 30), margin=st.floats(0, 30))


def rescored(both: list[tuple[float | None, float | None]]) -> set[int]:
    return {i for i, pair in enumerate(both) if all(map(ranking.is_score, pair))}


@given(BOTH)
def test_the_order_is_a_permutation_in_which_only_the_rescored_change_places(both) -> None:
    first, second = [a for a, _ in both], [b for _, b in both]
    before, after = ranking.order(first), cascade.order(first, second)
    assert sorted(after) == list(range(len(both)))
    moved = rescored(both)
    for was, now in zip(before, after, strict=True):
        assert (was in moved) == (now in moved), "they fill the slots that they held"
        if was not in moved:
            assert was == now


@given(BOTH)
def test_among_the_rescored_the_larger_model_decides_and_ties_stay_in_the_first_order(both) -> None:
    first, second = [a for a, _ in both], [b for _, b in both]
    moved = rescored(both)
    place = {position: at for at, position in enumerate(ranking.order(first))}
    among = [position for position in cascade.order(first, second) if position in moved]
    assert among == sorted(among, key=lambda position: (-second[position], place[position]))


WHOLE = st.integers(-9, 9).map(float)
"""Scores that stay as far apart on another scale: nothing is lost in rounding."""


@given(st.lists(st.tuples(st.floats(-20, 20), st.none() | WHOLE), max_size=40))
def test_scores_never_mix_whatever_the_scale_of_the_larger_model(both) -> None:
    first, second = [a for a, _ in both], [b for _, b in both]
    plain = cascade.order(first, second)
    for scale, shift in ((3.0, 1_000.0), (0.25, -1_000.0)):
        shifted = [None if each is None else shift + scale * each for each in second]
        assert cascade.order(first, shifted) == plain
    none = [None] * len(first)
    assert cascade.order(first, none) == ranking.order(first), "nothing rescored: the first pass's order"


@given(st.lists(SCORES, max_size=60), POLICIES)
def test_tiers_are_the_top_of_the_first_order_without_a_gap(first, policy) -> None:
    made = cascade.tiers(first, policy)
    chosen = [position for tier in made for position in tier]
    scored = [position for position in ranking.order(first) if ranking.is_score(first[position])]
    assert chosen == scored[: len(chosen)]
    assert all(len(tier) == policy.tier for tier in made[:-1])
    assert all(0 < len(tier) <= policy.tier for tier in made)
    assert len(chosen) != 1, "one alone cannot change places"
    assert not policy.depth or len(chosen) <= policy.depth
    for position in scored:
        if position not in chosen and len(chosen) > 1 and (not policy.depth or len(chosen) < policy.depth):
            assert first[position] <= first[scored[0]] - policy.margin, "left alone only where it is sure"


@given(st.lists(st.floats(-20, 20), min_size=2, max_size=40), st.data(), POLICIES)
def test_each_further_tier_only_reorders_a_longer_top(first, data, policy) -> None:
    """Whenever the deadline falls: below the last complete tier everything stands as the first pass left it."""
    second = data.draw(st.lists(st.floats(-20, 20), min_size=len(first), max_size=len(first)))
    before, known, top = ranking.order(first), [None] * len(first), 0
    for tier in cascade.tiers(first, policy):
        for position in tier:
            known[position] = second[position]
        top += len(tier)
        now = cascade.order(first, known)
        assert sorted(now[:top]) == sorted(before[:top])
        assert now[top:] == before[top:]
        values = [second[position] for position in now[:top]]
        assert values == sorted(values, reverse=True)


def test_where_the_small_model_is_sure_nothing_is_rescored() -> None:
    policy = CascadePolicy(margin=5.0)
    assert cascade.tiers([9.0, 3.9, 3.0], policy) == []
    assert cascade.tiers([9.0, 4.1, 3.0], policy) == [(0, 1)]
    assert cascade.tiers([3.0, 9.0, None, 4.1, 8.0], policy) == [(1, 4), (3,)]
    assert cascade.tiers([], policy) == []
    assert cascade.tiers([None, math.inf], policy) == []


@pytest.mark.parametrize("wrong", [{"tier": 0}, {"depth": -1}, {"margin": -0.1}, {"margin": math.nan}])
def test_a_wrong_policy_is_refused_by_name(wrong: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        CascadePolicy(**wrong)
