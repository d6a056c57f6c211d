"""Scores for clients that sort by score: every candidate gets one, and they never rise along an answer."""

import itertools
import math
from collections.abc import Sequence

__all__ = ["falling", "on_one_scale", "retrieval_scores"]

_STEP = 1e-4
"""Small beside the differences of logits that matter, and large enough to survive rounding to float32."""


def retrieval_scores(count: int) -> list[float]:
    """Scores of an answer in retrieval order: from 1 towards 0, `1 - i/n` for the i-th of n from 0."""
    return [1.0 - i / count for i in range(count)]


def on_one_scale(scores: Sequence[float | None]) -> list[float | None]:
    """The scores of an answer's candidates by the model that scored all of them, dealt out anew, best first.

    For a cascade, whose answer is sorted by the scores of two models: each slot has the score that it had before
    the larger model changed who holds it. Without one this changes nothing.
    """
    best_first = iter(sorted((score for score in scores if score is not None), reverse=True))
    return [None if score is None else next(best_first) for score in scores]


def falling(scores: Sequence[float | None], *, raw: bool = False) -> list[float]:
    """Fill the gaps of unscored candidates, given an answer's scores in answer order.

    Between two scored ones, on a straight line from one to the other; before the first, its score; after the
    last, `last * (1 - j/(m + 1))` for the j-th of m, which stays within [0, 1]. For raw logits, where zero is
    no floor, `last - j * 0.0001` instead. With nothing scored: the retrieval scores.

    Such a score says where a candidate stands and nothing else: a threshold on it means nothing.
    """
    known = [i for i, score in enumerate(scores) if score is not None]
    if not known:
        return retrieval_scores(len(scores))
    first, last = known[0], known[-1]
    filled = [score if score is not None else 0.0 for score in scores]
    filled[:first] = [filled[first]] * first
    for left, right in itertools.pairwise(known):
        _line(filled, left, right)
    _tail(filled, last, raw=raw)
    return filled


def _line(filled: list[float], left: int, right: int) -> None:
    high, low = filled[left], filled[right]
    for i in range(left + 1, right):
        share = (i - left) / (right - left)
        # as a weighted mean: the difference of two large scores could overflow; rounding may neither pass an end
        # nor rise again by the last bit
        filled[i] = min(filled[i - 1], max(low, high * (1 - share) + low * share))


def _tail(filled: list[float], last: int, *, raw: bool) -> None:
    missing = len(filled) - last - 1
    for j in range(1, missing + 1):
        if raw:
            # a logit so large that the step is lost in it falls by the least that a float can
            filled[last + j] = min(filled[last] - j * _STEP, math.nextafter(filled[last + j - 1], -math.inf))
        else:
            filled[last + j] = filled[last] * (1 - j / (missing + 1))
