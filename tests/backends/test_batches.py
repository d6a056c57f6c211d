"""Pairs of similar length share a batch where that costs less than another batch, and none exceeds the budget."""

import random

import pytest

from rerankd.backends.batches import MOST_PAIRS, batches


def cost(lengths: list[int], chosen: list[list[int]], overhead: int) -> int:
    return sum(len(batch) * max(lengths[at] for at in batch) + overhead for batch in chosen)


def by_trying(lengths: list[int], most: int, overhead: int) -> int:
    """The least cost of all ways to cut the sorted lengths."""
    order = sorted(lengths)
    best = [0]
    for end in range(1, len(order) + 1):
        ways = [
            best[begin] + (end - begin) * order[end - 1] + overhead
            for begin in range(end)
            if (end - begin) * order[end - 1] <= most or end - begin == 1
        ]
        best.append(min(ways))
    return best[-1]


@pytest.mark.parametrize("seed", range(20))
def test_every_pair_is_in_one_batch_within_the_budget_and_the_cost_is_the_least(seed: int) -> None:
    draw = random.Random(seed)
    lengths = [draw.randint(1, 512) for _ in range(draw.randint(1, 40))]
    most, overhead = draw.choice([1, 600, 2_048, 100_000]), draw.choice([0, 64, 8_192])
    chosen = batches(lengths, most_tokens=most, overhead_tokens=overhead)
    assert sorted(at for batch in chosen for at in batch) == list(range(len(lengths)))
    for batch in chosen:
        assert len(batch) == 1 or len(batch) * max(lengths[at] for at in batch) <= most
    assert cost(lengths, chosen, overhead) == by_trying(lengths, most, overhead)


def test_without_overhead_only_equal_lengths_share_and_with_much_all_do() -> None:
    lengths = [9, 3, 9, 3, 4]
    assert batches(lengths, most_tokens=100, overhead_tokens=0) in (
        [[1, 3], [4], [0, 2]],
        [[3, 1], [4], [2, 0]],
    )
    assert batches(lengths, most_tokens=100, overhead_tokens=10_000) == [[1, 3, 4, 0, 2]]


def test_a_pair_that_no_budget_fits_has_a_batch_of_its_own() -> None:
    assert batches([512, 2, 700], most_tokens=10, overhead_tokens=100) == [[1], [0], [2]]


def test_nothing_makes_no_batch() -> None:
    assert batches([], most_tokens=10, overhead_tokens=1) == []


def test_a_batch_has_a_bounded_number_of_pairs() -> None:
    chosen = batches([1] * 1_000, most_tokens=100_000, overhead_tokens=64)
    assert max(map(len, chosen)) == MOST_PAIRS
