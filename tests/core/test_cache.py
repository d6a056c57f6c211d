"""Scores are found again by whoever left them and by nobody else, and there are never more than allowed."""

import math
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rerankd.core.cache import CHARACTERS, ENTRY_BYTES, CachePolicy, ScoreCache, fingerprints
from rerankd.errors import ConfigError

SECRET = b"s" * 32
KEYS = st.integers(0, 7).map(lambda number: bytes([number]))


def key(*shared: str, text: str, secret: bytes = SECRET) -> bytes:
    (found,) = fingerprints(secret, shared, [text])
    return found


@given(st.integers(1, 5), st.lists(st.tuples(KEYS, st.booleans())))
def test_it_holds_the_scores_used_last_and_no_more(most: int, steps: list[tuple[bytes, bool]]) -> None:
    cache = ScoreCache(most)
    used: list[bytes] = []
    """What a list that is searched from its end would hold."""
    for number, (each, keeps) in enumerate(steps):
        was_there = each in used[-most:]
        if keeps:
            cache.keep(each, float(number))
        else:
            assert (cache.find([each])[0] is not None) == was_there
        if keeps or was_there:
            used = [*(one for one in used if one != each), each]
        used = used[-most:]
        assert cache.status().entries == len(used)


def test_a_score_is_the_last_that_was_kept() -> None:
    cache = ScoreCache(2)
    cache.keep(b"a", 1.0)
    cache.keep(b"a", 2.0)
    assert cache.find([b"a", b"b"]) == [2.0, None]
    status = cache.status()
    assert (status.hits, status.misses, status.entries) == (1, 1, 1)


@pytest.mark.parametrize("score", [math.nan, math.inf, -math.inf])
def test_what_is_no_number_is_not_kept(score: float) -> None:
    cache = ScoreCache(2)
    cache.keep(b"a", score)
    assert cache.find([b"a"]) == [None]


def test_what_is_cleared_is_gone_and_still_counted() -> None:
    cache = ScoreCache(2)
    cache.keep(b"a", 1.0)
    cache.find([b"a"])
    cache.clear()
    assert cache.find([b"a"]) == [None]
    assert (cache.status().hits, cache.status().misses, cache.status().size_bytes) == (1, 1, 0)


def test_an_entry_takes_no_more_memory_than_is_said() -> None:
    cache = ScoreCache(1_000_000)
    tracemalloc.start()
    try:
        # two sizes: the table's growth shows in one of them
        for count in (5_000, 25_000):
            for number in range(count):
                cache.keep(number.to_bytes(16), number + 0.5)
            assert tracemalloc.get_traced_memory()[0] <= count * ENTRY_BYTES
    finally:
        tracemalloc.stop()


@given(st.lists(st.text(), min_size=1), st.lists(st.text(), min_size=1))
def test_only_the_same_parts_have_the_same_fingerprint(one: list[str], other: list[str]) -> None:
    same = key(*one[:-1], text=one[-1]) == key(*other[:-1], text=other[-1])
    assert same == (one == other)


def test_where_one_part_ends_and_the_next_begins_counts() -> None:
    assert key("ab", "c", text="d") != key("a", "bc", text="d")
    assert key("a", text="bc") != key("ab", text="c")


def test_another_secret_gives_other_fingerprints() -> None:
    assert key("a", text="b") != key("a", text="b", secret=b"t" * 32)


def test_half_of_a_surrogate_pair_has_a_fingerprint_too() -> None:
    assert key("a", text="\ud800") != key("a", text="\ud801")


def test_no_more_of_a_request_is_hashed_than_takes_a_moment() -> None:
    half = "x" * (CHARACTERS // 2)
    assert len(list(fingerprints(SECRET, ["q"], ["a", half, half, "b"]))) == 2
    assert len(list(fingerprints(SECRET, ["q"], ["a"] * CHARACTERS))) < CHARACTERS / 99


def test_a_number_of_scores_below_nothing_is_refused() -> None:
    assert CachePolicy().scores == 0
    with pytest.raises(ConfigError, match=r"CachePolicy\.scores"):
        CachePolicy(scores=-1)
