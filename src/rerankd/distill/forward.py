"""The student's run over a batch while it learns: on the GPU if there is one, in bfloat16 where that is multiplied
natively, and pairs of like length together, so that little of the work is padding.

On an AMD EPYC (Zen 4) bfloat16 took 0.62 of the time of fp32, and moved the logits by 0.02 (root of the mean
square), a fiftieth of what a narrowed student is off by.
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

from rerankd.backends.cpu import multiplies_bfloat16
from rerankd.distill.lessons import Lesson, padded

__all__ = ["Place", "here", "logits_of"]

_PARTS = 4
"""Runs a batch. More of them save little padding and leave little to do at once."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where the training runs, and how it multiplies."""

    device: str
    """As torch names it."""
    half: bool
    """In bfloat16; weights, sums and losses stay fp32."""

    def multiplying(self) -> AbstractContextManager[Any]:
        import torch

        return torch.autocast(self.device, dtype=torch.bfloat16, enabled=self.half)


def here() -> Place:
    """The best that this machine has."""
    import torch

    if torch.cuda.is_available():
        return Place("cuda", torch.cuda.is_bf16_supported())
    return Place("cpu", multiplies_bfloat16())


def logits_of(student: Any, batch: Sequence[Lesson], place: Place) -> Any:
    """Logits of shape (questions, texts), in fp32; every question of the batch has as many texts."""
    import torch

    ids = [row for lesson in batch for row in lesson.ids]
    types = [row for lesson in batch for row in lesson.types]
    order = sorted(range(len(ids)), key=lambda at: len(ids[at]))
    size = -(-len(order) // _PARTS)
    logits = []
    for first in range(0, len(order), size):
        part = order[first : first + size]
        inputs = padded([ids[at] for at in part], [types[at] for at in part])
        with place.multiplying():
            logits.append(
                student(**{name: each.to(place.device) for name, each in inputs.items()}).reshape(-1)
            )
    back = torch.empty(len(order), dtype=torch.long)
    back[torch.tensor(order)] = torch.arange(len(order))
    return torch.cat(logits).float()[back.to(place.device)].reshape(len(batch), -1)
