"""Lengths in tokens are guessed from characters, within the window, and never by reading the text."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rerankd.core.lengths import CHARACTERS_PER_TOKEN, USUAL, Density, PerToken, estimated_tokens
from rerankd.core.types import Text

QUERY = Text("which of these is it then")


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


# -- what is learned -------------------------------------------------------------------------------------------


def taught(
    per_token: float, *, letter: str = "a", texts: int = 200, now: float = 0.0, window: int = 512
) -> Density:
    """What has seen texts of 40 to 1,039 characters through a tokenizer with so many characters a token."""
    density = Density()
    for number in range(texts):
        text = Text(letter * (40 + number * 37 % 1_000))
        tokens = int(len(QUERY) / per_token) + int(len(text) / per_token) + 3
        density.observe(QUERY, [(text, min(window, tokens))], max_tokens=window, now=now)
    return density


@pytest.mark.parametrize("per_token", [1.5, 3.0, 4.5, 5.4, 9.0])
@pytest.mark.parametrize("letter", ["a", "ä"])
def test_lengths_are_guessed_as_the_texts_before_were_counted(per_token: float, letter: str) -> None:
    learned = taught(per_token, letter=letter).per_token(0.0)
    text = Text(letter * 400)
    guessed = estimated_tokens(QUERY, text, max_tokens=512, per_token=learned)
    assert guessed == pytest.approx(min(512, 3 + (len(QUERY) + len(text)) / per_token), rel=0.1)


def test_a_script_is_learned_by_itself() -> None:
    assert taught(3.0, letter="ä").per_token(0.0).ascii == USUAL.ascii
    assert taught(6.0).per_token(0.0).other == USUAL.other


def test_one_text_says_little_and_what_comes_later_counts_more() -> None:
    assert taught(9.0, texts=1).per_token(0.0).near(USUAL)
    density = taught(9.0)
    for _ in range(200):
        density.observe(QUERY, [(Text("a" * 900), 306)], max_tokens=512, now=0.0)
    assert density.per_token(0.0).ascii == pytest.approx(3.0, rel=0.1)


@given(
    st.lists(
        st.tuples(
            st.text("aä 漢", max_size=3_000),
            st.lists(
                st.tuples(
                    st.one_of(st.text("aä漢", max_size=40), st.just("x" * 9_000)), st.integers(-5, 9_999)
                ),
                max_size=5,
            ),
            st.integers(4, 1_024),
            st.floats(0, 1e6),
        ),
        max_size=20,
    ),
    st.floats(0, 2e6),
)
def test_whatever_a_tokenizer_counts_the_guess_stays_within_bounds(
    seen: list[tuple[str, list[tuple[str, int]], int, float]], now: float
) -> None:
    """1 to 12 characters a token; and the same observations teach the same."""
    densities = Density(), Density()
    for query, counted, window, at in seen:
        for density in densities:
            density.observe(
                Text(query), [(Text(text), tokens) for text, tokens in counted], max_tokens=window, now=at
            )
    learned = densities[0].per_token(now)
    assert all(1.0 <= each <= 12.0 for each in learned)
    assert learned == densities[1].per_token(now)
    assert 1 <= estimated_tokens(QUERY, Text("a" * 777), max_tokens=128, per_token=learned) <= 128


def test_that_texts_are_longer_than_usual_is_doubted_when_none_comes_and_that_they_are_shorter_is_not() -> (
    None
):
    """Else small budgets would be refused for ever because of texts that nobody sends any more."""
    longer, shorter = taught(1.5), taught(9.0)
    assert longer.per_token(0.0).ascii < 2
    assert longer.per_token(30.0).ascii == pytest.approx((longer.per_token(0.0).ascii + USUAL.ascii) / 2)
    assert longer.per_token(600.0).near(USUAL)
    assert shorter.per_token(600.0) == shorter.per_token(0.0)


def test_of_a_text_that_was_cut_only_that_it_is_longer_than_guessed_is_learned() -> None:
    as_guessed, longer = Density(), Density()
    for _ in range(200):
        as_guessed.observe(QUERY, [(Text("a" * 5_000), 512)], max_tokens=512, now=0.0)
        longer.observe(QUERY, [(Text("a" * 1_500), 512)], max_tokens=512, now=0.0)
    assert as_guessed.per_token(0.0) == USUAL
    assert longer.per_token(0.0).ascii == pytest.approx(3.0, rel=0.1)


def test_a_query_that_was_cut_teaches_nothing() -> None:
    density = Density()
    density.observe(Text("a" * 5_000), [(Text("a" * 40), 300)] * 200, max_tokens=512, now=0.0)
    assert density.per_token(0.0) == USUAL


def test_near_is_within_two_per_cent_of_both() -> None:
    assert PerToken(5.0, 2.0).near(PerToken(5.09, 2.0))
    assert not PerToken(5.0, 2.0).near(PerToken(5.0, 2.1))
