"""Takes heads and feed-forward units out of a network, those first that are missed least.

What goes is chosen, and what stays is adapted, in closed form: the output matrix of each block is solved anew by
least squares, so that the block's output on sample pairs stays as near as it can. That is the optimal brain surgeon
on groups of weights, as in ZipLM (Kurtic et al., 2023). It needs no training, which then starts from a network that
nearly is the teacher.
"""

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from rerankd.distill.lessons import Lesson
from rerankd.distill.student import Student

__all__ = ["narrowed"]

_UNITS = 32
"""Feed-forward units that go together; multiples of it suit the kernels."""
_HEAD_COST = 96.0
"""Of a head, in feed-forward units: 64 for its multiplications, the rest for its softmax and copies."""
_LAST_HEAD_COST, _LAST_UNIT_COST = 40.0, 0.05
"""In the last layer, which works for one token: its keys and values are of all tokens, and little else is."""
_ROWS = 1_024
"""Tokens whose products are added up at once."""
_DAMPING = 1e-3
"""Of the mean square of an activation: so far the least squares lean towards small weights."""


class _Block:
    """The heads or the units of a layer, and the matrix that adds up what they give."""

    def __init__(self, inner: int, group: int, cost: float) -> None:
        self.group, self.cost = group, cost
        self.kept = torch.arange(inner // group)
        """Groups of inputs."""
        self.gram = torch.zeros(inner + 1, inner + 1, dtype=torch.float64)
        self.seen: list[Tensor] = []
        self.stream = 0.0
        """Sum of the squares of what the output is added to, and with it."""
        self.weight = self.inverse = torch.empty(0)
        self.going = torch.empty(0, dtype=torch.long)
        self.loss = 0.0

    def see(self, given: Tensor) -> None:
        rows = given.reshape(-1, given.shape[-1])
        self.seen.append(torch.cat([rows, torch.ones(len(rows), 1)], dim=1))  # a constant input: the bias
        if sum(map(len, self.seen)) >= _ROWS:
            self._add()

    def _add(self) -> None:
        rows = torch.cat(self.seen)
        self.gram += (rows.T @ rows).double()
        self.seen.clear()

    def prepare(self, weight: Tensor, bias: Tensor) -> None:
        if self.seen:
            self._add()
        ridge = torch.full((len(self.gram),), _DAMPING * float(self.gram.diagonal()[:-1].mean()))
        ridge[-1] = 0.0
        self.inverse = torch.linalg.inv(self.gram + ridge.double().diag())
        self.weight = torch.cat([weight, bias[:, None]], dim=1).double()
        self.choose()

    def choose(self) -> None:
        """Whose loss, the others making it good, is least: one head, or the weakest units one by one."""
        size = self.group
        if size == 1:
            losses = self.weight[:, :-1].square().sum(0) / self.inverse.diagonal()[:-1]
            self.going = losses.argsort()[:_UNITS].sort().values
        else:
            starts = range(0, len(self.kept) * size, size)
            losses = torch.stack([self._loss(torch.arange(at, at + size)) for at in starts])
            at = int(losses.argmin()) * size
            self.going = torch.arange(at, at + size)
        self.loss = float(self._loss(self.going))

    def _loss(self, places: Tensor) -> Tensor:
        weight = self.weight[:, places]
        own = self.inverse[places][:, places]
        loss: Tensor = (weight @ torch.linalg.solve(own, weight.T)).diagonal().sum()
        return loss

    @property
    def price(self) -> float:
        """What its output would lose, as a share of what it is added to, for the cost that would be saved."""
        return self.loss / self.stream / self.saving

    @property
    def saving(self) -> float:
        return self.cost * len(self.going) / self.group

    @property
    def open(self) -> bool:
        return len(self.kept) * self.group > len(self.going)

    def drop(self) -> None:
        gone = self.going
        stay = torch.ones(len(self.inverse), dtype=torch.bool)
        stay[gone] = False
        pull = torch.linalg.solve(self.inverse[gone][:, gone], self.inverse[gone][:, stay])
        self.weight = self.weight[:, stay] - self.weight[:, gone] @ pull
        self.inverse = self.inverse[stay][:, stay] - self.inverse[stay][:, gone] @ pull
        self.kept = self.kept[stay[:-1].reshape(-1, self.group)[:, 0]]
        self.choose()


def narrowed(student: Student, lessons: Sequence[Lesson], keep: float) -> Student:
    """A student with about the share `keep` of the layers' cost; `lessons` are what it is to stay good at."""
    last = len(student.shape.units) - 1
    heads = [
        _Block(layer.inner, layer.head, _LAST_HEAD_COST if at == last else _HEAD_COST)
        for at, layer in enumerate(student.blocks)
    ]
    units = [
        _Block(layer.up.out_features, 1, _LAST_UNIT_COST if at == last else 1.0)
        for at, layer in enumerate(student.blocks)
    ]
    _watch(student, heads, units, lessons)
    blocks = [*heads, *units]
    spare = (1 - keep) * sum(len(block.kept) * block.cost for block in blocks)
    while spare > 0 and (open_ := [block for block in blocks if block.open]):
        best = min(open_, key=lambda block: block.price)
        spare -= best.saving
        best.drop()
    return _built(student, heads, units)


def _watch(
    student: Student, heads: Sequence[_Block], units: Sequence[_Block], lessons: Sequence[Lesson]
) -> None:
    """Run the pairs, one at a time so that no padding is learnt from."""

    def seen(module: torch.nn.Module, block: _Block, *, stream: bool) -> torch.utils.hooks.RemovableHandle:
        def look(module: torch.nn.Module, given: tuple[Tensor, ...]) -> None:
            if stream:
                block.stream += float(given[0].square().sum())
            else:
                block.see(given[0])

        return module.register_forward_pre_hook(look)

    hooks = []
    for layer, attention, feed in zip(student.blocks, heads, units, strict=True):
        hooks += [seen(layer.out, attention, stream=False), seen(layer.attended, attention, stream=True)]
        hooks += [seen(layer.down, feed, stream=False), seen(layer.fed, feed, stream=True)]
    with torch.no_grad():
        for lesson in lessons:
            for ids, types in zip(lesson.ids, lesson.types, strict=True):
                row = torch.tensor([ids])
                student(row, torch.ones_like(row), torch.tensor([types]))
    for hook in hooks:
        hook.remove()
    for layer, attention, feed in zip(student.blocks, heads, units, strict=True):
        attention.prepare(layer.out.weight.detach(), layer.out.bias.detach())
        feed.prepare(layer.down.weight.detach(), layer.down.bias.detach())


def _built(student: Student, heads: Sequence[_Block], units: Sequence[_Block]) -> Student:
    shape = replace(
        student.shape,
        heads=tuple(len(block.kept) for block in heads),
        units=tuple(len(block.kept) for block in units),
    )
    state = dict(student.state_dict())
    for at, (attention, feed) in enumerate(zip(heads, units, strict=True)):
        name, layer = f"layers.{at}", student.blocks[at]
        inner = (attention.kept[:, None] * layer.head + torch.arange(layer.head)).flatten()
        for kind in ("weight", "bias"):
            for part in ("query", "key", "value"):
                state[f"{name}.{part}.{kind}"] = state[f"{name}.{part}.{kind}"][inner]
            state[f"{name}.up.{kind}"] = state[f"{name}.up.{kind}"][feed.kept]
        for own, block in (("out", attention), ("down", feed)):
            state[f"{name}.{own}.weight"] = block.weight[:, :-1].float()
            state[f"{name}.{own}.bias"] = block.weight[:, -1].float()
    smaller = Student(shape)
    smaller.load_state_dict(state)
    smaller.words.weight.requires_grad = student.words.weight.requires_grad
    return smaller
