"""The ranking rule.

1. The order is a permutation of the candidates: none lost, none doubled.
2. Scored candidates are sorted among themselves, best first, ties in retrieval order, and fill the slots that
   scored candidates held. An unscored candidate keeps exactly its own slot. With nothing scored this is the
   retrieval order; with a scored prefix it is reranking at that depth. Model scores are never compared with
   first-stage scores.
3. A score that is not finite counts as no score.
4. At the very end `min_score` removes scored candidates only, then `top_k` cuts.
"""

import math
from collections.abc import Sequence

__all__ = ["cut", "is_score", "order", "sigmoid"]


def is_score(value: float | None) -> bool:
    """Whether a model's value counts as a score."""
    return value is not None and math.isfinite(value)


def order(logits: Sequence[float | None]) -> list[int]:
    """Positions of the candidates in their new order, given each candidate's raw score or None."""
    slots = [i for i, logit in enumerate(logits) if is_score(logit)]
    # sorted() is stable, so ties stay in retrieval order
    best_first = sorted(slots, key=lambda i: -logits[i])  # type: ignore[operator]
    result = list(range(len(logits)))
    for slot, position in zip(slots, best_first, strict=True):
        result[slot] = position
    return result


def cut(
    positions: Sequence[int],
    scores: Sequence[float | None],
    *,
    min_score: float | None = None,
    top_k: int | None = None,
) -> list[int]:
    """Remove scored candidates below `min_score`, then all beyond `top_k`."""
    kept = [i for i in positions if min_score is None or not _below(scores[i], min_score)]
    return kept if top_k is None else kept[:top_k]


def sigmoid(logit: float) -> float:
    """The logistic function, without overflow at either end."""
    if logit >= 0:
        return 1.0 / (1.0 + math.exp(-logit))
    power = math.exp(logit)
    return power / (1.0 + power)


def _below(score: float | None, low: float) -> bool:
    return score is not None and score < low
