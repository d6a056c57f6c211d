"""Batches to learn from: questions with all of their texts, of about the same length."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count, groupby
from typing import TYPE_CHECKING, Any

from rerankd.core.types import Text

if TYPE_CHECKING:
    from rerankd.distill.teacher import Scored
    from rerankd.models.pairs import PairTokenizer

__all__ = ["Lesson", "batches", "lessons_of", "padded", "passed", "tensors", "wanted_of"]

_WINDOW = 40
"""Batches among which questions are sorted by length: little padding, and still random."""


@dataclass(frozen=True, slots=True)
class Lesson:
    """A question with its texts, encoded, and the teacher's logits."""

    ids: list[list[int]]
    types: list[list[int]]
    logits: list[float]

    @property
    def longest(self) -> int:
        return max(map(len, self.ids))


def lessons_of(scored: "Sequence[Scored]", tokenizer: "PairTokenizer", max_tokens: int) -> list[Lesson]:
    """Encode every pair as the engine would."""
    lessons = []
    for query, texts, logits in scored:
        encoded = tokenizer.encode(Text(query), [Text(text) for text in texts], max_tokens=max_tokens)
        pairs = [chunks[0] for chunks in encoded]
        ids = [list(pair.ids or ()) for pair in pairs]
        types = [list(pair.type_ids or [0] * len(pair.ids or ())) for pair in pairs]
        lessons.append(Lesson(ids, types, list(logits)))
    return lessons


def batches(lessons: Sequence[Lesson], size: int, seed: int, first: int = 0) -> Iterator[list[Lesson]]:
    """Batches without an end from number `first`, each of lessons with as many texts and about as long.

    Every pass over the lessons has an order of its own, which `seed` and the number of the pass decide: a run that
    goes on at `first` sees what it would have seen without the stop.
    """
    for turn in count():
        cut = _cut(lessons, size, random.Random(f"{seed} {turn}"))
        yield from cut[first:]
        first = max(0, first - len(cut))


def passed(lessons: Sequence[Lesson], size: int) -> int:
    """Batches in one pass."""
    return len(_cut(lessons, size, random.Random(0)))


def _cut(lessons: Sequence[Lesson], size: int, chance: random.Random) -> list[list[Lesson]]:
    order = list(lessons)
    chance.shuffle(order)
    order.sort(key=lambda lesson: len(lesson.ids))  # stable: random among those with as many texts
    cut = []
    for _, alike in groupby(order, key=lambda lesson: len(lesson.ids)):
        same = list(alike)
        for start in range(0, len(same), size * _WINDOW):
            window = sorted(same[start : start + size * _WINDOW], key=lambda lesson: lesson.longest)
            cut += [window[at : at + size] for at in range(0, len(window), size)]
    chance.shuffle(cut)
    return cut


def tensors(batch: Sequence[Lesson]) -> tuple[dict[str, Any], Any]:
    """The network's inputs, and the teacher's logits of shape (questions, texts)."""
    inputs = padded(
        [row for lesson in batch for row in lesson.ids], [row for lesson in batch for row in lesson.types]
    )
    return inputs, wanted_of(batch)


def padded(ids: Sequence[list[int]], types: Sequence[list[int]]) -> dict[str, Any]:
    """The network's inputs for these pairs, all as long as the longest."""
    import torch

    longest = max(map(len, ids))
    return {
        "input_ids": torch.tensor([row + [0] * (longest - len(row)) for row in ids]),
        "attention_mask": torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in ids]),
        "token_type_ids": torch.tensor([row + [0] * (longest - len(row)) for row in types]),
    }


def wanted_of(batch: Sequence[Lesson]) -> Any:
    """The teacher's logits of shape (questions, texts)."""
    import torch

    return torch.tensor([lesson.logits for lesson in batch], dtype=torch.float32)
