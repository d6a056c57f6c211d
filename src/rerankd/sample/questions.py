"""The sample's questions, each with its candidates in first-stage order and the judgements of them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import as_file, files

from rerankd.core.types import Text
from rerankd.evaluation.collection import read_collection
from rerankd.evaluation.run import choose_run, read_run

__all__ = ["Passage", "Question", "questions"]

FOLDER = "support"


@dataclass(frozen=True, slots=True, kw_only=True)
class Passage:
    """A retrieved passage; a reranker takes it as a candidate as it is."""

    id: str
    text: Text


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A query with what a first stage found for it."""

    id: str
    text: Text
    candidates: tuple[Passage, ...] = field(repr=False)
    """In retrieval order."""
    grades: Mapping[str, int] = field(repr=False)
    """Passage id → how well it answers: 2 it does, 1 in part. What is not listed does not."""


@cache
def questions() -> tuple[Question, ...]:
    """All questions, in the order of their file."""
    with as_file(files(__package__).joinpath(FOLDER)) as folder:
        collection = read_collection(folder)
        run = read_run(choose_run(folder), collection)
    return tuple(
        Question(
            id=query.id,
            text=query.text,
            candidates=tuple(
                Passage(id=key, text=collection.documents[key].text) for key in run.orders[query.id]
            ),
            grades=collection.judgements[query.id],
        )
        for query in collection.queries.values()
    )
