"""Batches hold as many tokens as they may, padding included, and depend on nothing but the lengths."""

from hypothesis import given
from hypothesis import strategies as st

from rerankd.bulk.grouping import token_batches

LENGTHS = st.lists(st.integers(1, 600), max_size=80)


@given(LENGTHS, st.integers(0, 2_000))
def test_every_pair_is_in_one_batch_and_no_batch_is_too_large(lengths: list[int], most: int) -> None:
    batches = token_batches(lengths, most)
    assert sorted(position for batch in batches for position in batch) == list(range(len(lengths)))
    for batch in batches:
        longest = max(lengths[position] for position in batch)
        assert len(batch) == 1 or len(batch) * longest <= most


@given(LENGTHS)
def test_without_a_budget_each_pair_is_alone_and_the_longest_comes_first(lengths: list[int]) -> None:
    batches = token_batches(lengths, 0)
    found = [lengths[position] for batch in batches for position in batch]
    assert len(batches) == len(lengths)
    assert found == sorted(lengths, reverse=True)


def test_pairs_of_like_length_share_a_batch() -> None:
    assert token_batches([2, 9, 2, 10, 3], 20) == [[3, 1], [4, 0, 2]]
