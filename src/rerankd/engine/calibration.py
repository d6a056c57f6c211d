"""Times a freshly loaded model, so that the first request can be predicted."""

from collections.abc import Sequence

from rerankd.core.estimate import pair_weight
from rerankd.core.ports import Clock, Model
from rerankd.core.types import Pair, Text
from rerankd.engine.stop import StopSignal

__all__ = ["PROBE_QUERY", "PROBE_TEXT", "Calibration", "calibrate"]

_WORDS = (8, 160)
"""Lengths of the two texts that are timed: a line through both gives the fixed and the growing cost."""
_REPEATS = 3
"""The quickest of so many runs counts: the first ones pay for warming up."""

PROBE_QUERY = Text("how long does this take")
PROBE_TEXT = Text(" ".join(["calibration"] * _WORDS[0]))
"""A pair of our own, for warming up and for probing a circuit: no caller's text, no caller pays."""


class Calibration:
    """What was measured: `(weight, seconds)` of runs and of encodings."""

    __slots__ = ("encodings", "refiner", "runs")

    def __init__(self) -> None:
        self.refiner: Calibration | None = None
        """The same of the larger model of a cascade."""
        self.runs: list[tuple[float, float]] = []
        self.encodings: list[tuple[float, float]] = []


def calibrate(model: Model, clock: Clock) -> Calibration:
    """Run the model at two lengths. Raises what the model raises: one that cannot do this is not ready.

    Remote scorers are not called: their first requests cost money and tell little about the next ones.
    """
    result = Calibration()
    if model.refiner is not None:
        result.refiner = calibrate(model.refiner, clock)
    if not model.scorer.traits.local or model.scorer.traits.unit != "pair":
        return result
    for words in _WORDS:
        pair = _pair(model, words)
        seconds = min(_timed_run(model, pair, clock) for _ in range(_REPEATS))
        result.runs.append((pair_weight(pair.tokens), seconds))
    if model.tokenizer is not None:
        result.encodings.extend(_timed_encoding(model, count, clock) for count in (1, 12))
    return result


def _pair(model: Model, words: int) -> Pair:
    if model.tokenizer is None:
        return Pair(PROBE_QUERY, _text(words), words)
    return model.tokenizer.encode(PROBE_QUERY, [_text(words)], max_tokens=model.max_tokens)[0][0]


def _timed_run(model: Model, pair: Pair, clock: Clock) -> float:
    began = clock.now()
    model.scorer.score([pair], StopSignal())
    return clock.now() - began


def _timed_encoding(model: Model, count: int, clock: Clock) -> tuple[float, float]:
    assert model.tokenizer is not None
    texts: Sequence[Text] = [_text(60)] * count
    began = clock.now()
    model.tokenizer.encode(PROBE_QUERY, texts, max_tokens=model.max_tokens)
    return float(sum(len(text) for text in texts)), clock.now() - began


def _text(words: int) -> Text:
    return Text(" ".join(["calibration"] * words))
