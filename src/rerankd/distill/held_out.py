"""How well a student agrees with its teacher on questions that it was not trained on."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rerankd.distill.lessons import tensors

if TYPE_CHECKING:
    from rerankd.distill.lessons import Lesson

__all__ = ["Agreement", "agreement", "scores_of_network"]


@dataclass(frozen=True, slots=True)
class Agreement:
    """Student and teacher on the same pairs."""

    questions: int
    correlation: float
    """Pearson's, over all logits."""
    squared_error: float
    """Mean, of the logits."""
    same_first: float
    """The share of questions whose first text is the teacher's."""
    pairs_in_order: float
    """The share of pairs of texts of a question that stand in the teacher's order (1 + Kendall's tau, halved)."""


def agreement(student: Sequence[Sequence[float]], teacher: Sequence[Sequence[float]]) -> Agreement:
    """Of logits, question by question. NaN where nothing can be said."""
    own = [logit for question in student for logit in question]
    wanted = [logit for question in teacher for logit in question]
    same = agreed = compared = 0
    for got, right in zip(student, teacher, strict=True):
        same += got.index(max(got)) == right.index(max(right))
        for one in range(len(right)):
            for other in range(one):
                if right[one] != right[other]:
                    compared += 1
                    agreed += (got[one] > got[other]) == (right[one] > right[other])
    count = len(own) or math.nan
    return Agreement(
        questions=len(teacher),
        correlation=_correlation(own, wanted),
        squared_error=sum((a - b) ** 2 for a, b in zip(own, wanted, strict=True)) / count,
        same_first=same / (len(teacher) or math.nan),
        pairs_in_order=agreed / (compared or math.nan),
    )


def _correlation(one: Sequence[float], other: Sequence[float]) -> float:
    import statistics

    try:
        return statistics.correlation(one, other)
    except statistics.StatisticsError:  # fewer than two, or all the same
        return math.nan


def scores_of_network(network: Any, lessons: "Sequence[Lesson]") -> list[list[float]]:
    """Logits of each lesson's texts."""
    import torch

    network.eval()
    found = []
    with torch.no_grad():
        for lesson in lessons:
            inputs, _ = tensors([lesson])
            found.append(network(**inputs).reshape(-1).tolist())
    return found
