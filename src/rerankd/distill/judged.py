"""What teacher and student do to a collection with judgements: the teacher may be wrong, and the student right."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rerankd.evaluation.collection import Collection
    from rerankd.evaluation.evaluate import Reranks
    from rerankd.evaluation.run import Run

__all__ = ["Judged", "judged"]

_MEASURE = "ndcg@10"
_DEPTH = 24
"""As `rerankd evaluate` has it."""


@dataclass(frozen=True, slots=True)
class Judged:
    """Mean nDCG@10 of three orders of the same texts."""

    dataset: str
    queries: int
    depth: int
    """The first so many texts of the retrieval order were reranked."""
    retrieval: float
    teacher: float
    student: float


def judged(
    collection: "Collection",
    run: "Run",
    teacher: "Reranks",
    student: "Reranks",
    told: Callable[[float], None] = lambda done: None,
) -> Judged:
    """`told` hears the share that is done. Raises `ConfigError` where ir-measures is not installed."""
    from rerankd.evaluation.evaluate import evaluate

    first, second = (
        evaluate(
            collection,
            run,
            each,
            depth=_DEPTH,
            measures=(_MEASURE,),
            progress=lambda done, total, half=half: told((half + done / total) / 2),  # type: ignore[misc]
        )
        for half, each in enumerate((teacher, student))
    )
    return Judged(
        dataset=collection.name,
        queries=len(first.judged),
        depth=_DEPTH,
        retrieval=first.retrieval()[_MEASURE],
        teacher=first.reranked()[_MEASURE],
        student=second.reranked()[_MEASURE],
    )
