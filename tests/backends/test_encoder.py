"""An encoder's `predict` is called as it always was, and nothing that it answers is believed unseen."""

import gc
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from rerankd.backends.encoder import EncoderScorer
from rerankd.core.types import Pair, Text
from rerankd.engine.stop import StopSignal
from rerankd.errors import BackendError

PAIRS = [Pair(Text("tea"), Text(text), 3) for text in ("green", "black")]


class Encoder:
    def __init__(self, answer: Any) -> None:
        self.answer = answer
        self.asked: list[Any] = []

    def predict(self, pairs: Any, **options: Any) -> Any:
        self.asked.append((pairs, options))
        return self.answer


def scorer(encoder: Any, batch_size: Callable[[], int] = lambda: 32) -> EncoderScorer:
    return EncoderScorer(encoder, name="hosts", device="cpu", batch_size=batch_size)


def test_all_pairs_go_into_one_call_as_plain_strings() -> None:
    encoder = Encoder([1.0, 2.0])
    scorer(encoder, lambda: 5).score(PAIRS, StopSignal())
    assert encoder.asked == [
        ([["tea", "green"], ["tea", "black"]], {"batch_size": 5, "show_progress_bar": False})
    ]
    assert {type(text) for pair in encoder.asked[0][0] for text in pair} == {str}


@pytest.mark.parametrize(
    "answer",
    [
        [1, 2],
        (1.0, 2.0),
        np.array([1.0, 2.0], dtype=np.float32),
        np.array([[1.0], [2.0]]),
        [np.float32(1), np.array(2.0)],
        [np.array([1.0]), np.array([2.0])],
    ],
)
def test_numbers_are_read_from_whatever_holds_them(answer: Any) -> None:
    encoder = Encoder(answer)
    assert scorer(encoder).score(PAIRS, StopSignal()) == [1.0, 2.0]


def test_numbers_that_are_not_finite_are_left_to_the_engine() -> None:
    encoder = Encoder([math.nan, math.inf])
    first, second = scorer(encoder).score(PAIRS, StopSignal())
    assert math.isnan(first)
    assert second == math.inf


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ([1.0], "1 scores for 2 pairs"),
        ([1.0, 2.0, 3.0], "3 scores for 2 pairs"),
        (None, "answered with a NoneType"),
        (0.5, "answered with a float"),
        (np.array(0.5), "answered with a ndarray"),
        ("ab", "answered with a str"),
        ({0: 1.0, 1: 2.0}, "answered with a dict"),
        ((0.5 for _ in PAIRS), "answered with a generator"),
        (["0.5", "0.6"], "gave a str as a score"),
        ([None, None], "gave a NoneType as a score"),
        ([1.0, object()], "gave a object as a score"),
        (np.zeros((2, 2)), "gave a ndarray as a score"),
    ],
)
def test_anything_else_is_an_error_that_names_what_was_seen_and_no_text(answer: Any, said: str) -> None:
    encoder = Encoder(answer)
    with pytest.raises(BackendError, match=said) as caught:
        scorer(encoder).score(PAIRS, StopSignal())
    assert "green" not in str(caught.value)


def test_it_is_held_like_a_remote_scorer_so_that_only_callers_pairs_reach_it() -> None:
    traits = scorer(Encoder([])).traits
    assert (traits.unit, traits.local, traits.concurrency) == ("query", False, 1)


def test_the_encoder_is_not_kept_alive() -> None:
    held = scorer(Encoder([1.0, 2.0]))
    gc.collect()
    with pytest.raises(BackendError, match="gone"):
        held.score(PAIRS, StopSignal())


def test_an_encoder_that_allows_no_weak_reference_is_kept() -> None:
    class Slotted:
        __slots__ = ()

        def predict(self, pairs: Any, **_: Any) -> Any:
            return [0.0] * len(pairs)

    held = scorer(Slotted())
    gc.collect()
    assert held.score(PAIRS, StopSignal()) == [0.0, 0.0]
    held.close()
