"""Requests of any number and size, made from the sample, the same every time."""

import itertools
import random
from collections.abc import Iterator, Sequence

from rerankd.core.types import Text
from rerankd.sample.questions import Passage, questions

__all__ = ["requests"]


def requests(candidates: int = 24, *, seed: int = 0) -> Iterator[tuple[Text, Sequence[Passage]]]:
    """Queries in turn, without end, each with so many candidates of mixed length (20 to 300 tokens).

    The query's own candidates come first, then other passages, drawn at random; beyond the corpus's size
    passages come again under other ids.
    """
    draw = random.Random(seed)
    known = {passage.id: passage for question in questions() for passage in question.candidates}
    for question in itertools.cycle(questions()):
        own = {passage.id for passage in question.candidates}
        others = [passage for key, passage in known.items() if key not in own]
        draw.shuffle(others)
        yield question.text, list(itertools.islice(_again((*question.candidates, *others)), candidates))


def _again(passages: Sequence[Passage]) -> Iterator[Passage]:
    yield from passages
    for turn in itertools.count(2):
        yield from (Passage(id=f"{passage.id}#{turn}", text=passage.text) for passage in passages)
