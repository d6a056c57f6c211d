"""How good an order is."""

import math
from collections.abc import Iterable, Mapping, Sequence

__all__ = ["first_place", "ndcg"]


def ndcg(order: Sequence[str], grades: Mapping[str, int], *, depth: int = 10) -> float:
    """nDCG at `depth`, from 0 to 1: linear gains, discounted by log2(rank + 1), over those of the best order.

    As Järvelin and Kekäläinen define it and trec_eval computes it. It needs no package, unlike
    `rerankd.evaluation.measures`, with which a test compares it.
    """
    best = _gain(sorted(grades.values(), reverse=True)[:depth])
    return _gain(grades.get(key, 0) for key in order[:depth]) / best if best else 0.0


def first_place(order: Iterable[str], grades: Mapping[str, int]) -> int | None:
    """The rank, from 1, of the first passage that has the best grade of all; None when none is there."""
    top = max(grades.values(), default=0)
    return next((rank for rank, key in enumerate(order, 1) if grades.get(key) == top), None)


def _gain(grades: Iterable[int]) -> float:
    return sum(grade / math.log2(rank + 1) for rank, grade in enumerate(grades, 1))
