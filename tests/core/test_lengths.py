"""Lengths in tokens are guessed from characters, within the window, and never by reading the text."""

from hypothesis import given
from hypothesis import strategies as st

from rerankd.core.lengths import CHARACTERS_PER_TOKEN, estimated_tokens
from rerankd.core.types import Text


def guess(query: str, text: str, *, max_tokens: int = 512, max_chunks: int = 1) -> int:
    return estimated_tokens(Text(query), Text(text), max_tokens=max_tokens, max_chunks=max_chunks)


def test_a_longer_text_has_more_tokens() -> None:
    assert guess("q", "a" * 90) - guess("q", "a" * 45) == 45 / CHARACTERS_PER_TOKEN


def test_other_scripts_have_more_tokens_for_their_characters() -> None:
    assert guess("q", "猫" * 40) > guess("q", "a" * 40)


@given(st.integers(0, 10_000), st.integers(0, 100_000), st.integers(4, 1024), st.integers(1, 8))
def test_there_is_at_least_one_token_and_no_more_than_the_chunks_hold(
    query: int, text: int, max_tokens: int, max_chunks: int
) -> None:
    tokens = guess("a" * query, "b" * text, max_tokens=max_tokens, max_chunks=max_chunks)
    assert tokens in range(1, max_tokens * max_chunks + 1)


def test_the_query_takes_half_of_the_window_at_most() -> None:
    assert guess("a" * 10_000, "", max_tokens=100) < 60


def test_a_megabyte_is_no_longer_than_the_window() -> None:
    assert guess("q", "a" * 1_000_000) == 512
