import random

import pytest

from rerankd.distill.pairs import _chosen, groups_of
from rerankd.distill.policy import DistillPolicy


@pytest.mark.parametrize("seed", range(20))
def test_the_first_two_more_of_ten_two_from_deeper_and_a_stranger(seed: int) -> None:
    ranked = list(range(500, 600))
    chosen = _chosen(ranked, 10_000, DistillPolicy(), random.Random(seed))
    assert chosen[0] == 500
    assert all(501 <= place < 510 for place in chosen[1:3])
    assert all(510 <= place < 600 for place in chosen[3:5])
    assert len(chosen) == len(set(chosen)) == 6
    assert 0 <= chosen[5] < 10_000


def test_what_the_ranking_lacks_are_strangers() -> None:
    policy = DistillPolicy(near=2, deep=3, strangers=2)
    assert len(set(_chosen([4], 50, policy, random.Random(1)))) == 7
    assert sorted(_chosen([2, 0], 3, policy, random.Random(1))) == [0, 1, 2]


def test_without_strangers_all_are_of_the_ranking() -> None:
    policy = DistillPolicy(near=1, deep=0, strangers=0)
    assert _chosen([7, 3, 1], 50, policy, random.Random(1)) == (7,)


def test_the_best_text_of_bm25_is_in_each_group() -> None:
    texts = [f"text number {at} about {'tea' if at % 2 else 'bikes'}" for at in range(40)]
    texts[13] = "an otter swims in the river"
    heard: list[int] = []
    found = list(groups_of(["where does the otter swim", "tea"], texts, DistillPolicy(), heard.append))
    assert [group.query for group in found] == ["where does the otter swim", "tea"]
    assert found[0].texts[0] == 13
    assert found[1].texts[0] % 2 == 1
    assert heard == [2]
    assert found == list(groups_of(["where does the otter swim", "tea"], texts, DistillPolicy()))
