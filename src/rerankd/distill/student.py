"""The student: a BERT whose layers may differ in their heads and feed-forward units.

Only what the score needs is computed. The score is read off the first token, so the last layer works on that token
alone: it loses nothing and costs a sixth. Query, key and value are projected apart, the form in which the exported
graph's attention is recognised and made lean (`models/rewriting`).
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from rerankd.errors import ConfigError

__all__ = [
    "Layer",
    "Shape",
    "Student",
    "imitated",
    "load",
    "made",
    "save",
    "some_layers",
    "spread",
    "student_of",
]


@dataclass(frozen=True, slots=True)
class Shape:
    """What is needed to build a student before its weights are there."""

    vocabulary: int
    positions: int
    types: int
    width: int
    head: int
    """The width of an attention head."""
    heads: tuple[int, ...]
    """Of each layer."""
    units: tuple[int, ...]
    """Feed-forward units of each layer."""
    epsilon: float


class Layer(nn.Module):
    """Self-attention and feed-forward, each added to its input and normalised."""

    def __init__(self, width: int, head: int, heads: int, units: int, epsilon: float) -> None:
        super().__init__()
        self.head, self.heads, self.inner = head, heads, head * heads
        self.query = nn.Linear(width, self.inner)
        self.key = nn.Linear(width, self.inner)
        self.value = nn.Linear(width, self.inner)
        self.out = nn.Linear(self.inner, width)
        self.attended = nn.LayerNorm(width, epsilon)
        self.up = nn.Linear(width, units)
        self.down = nn.Linear(units, width)
        self.fed = nn.LayerNorm(width, epsilon)

    def forward(self, hidden: Tensor, mask: Tensor, maps: list[Tensor] | None = None) -> Tensor:
        """`hidden`: (pairs, tokens, width). `mask`: (pairs, 1, 1, tokens), added to the attention's logits.
        `maps` takes where each head attends, as logits: (pairs, heads, tokens, tokens)."""
        return self._rest(hidden, hidden, mask, maps)

    def first(self, hidden: Tensor, mask: Tensor) -> Tensor:
        """The same for the first token only: (pairs, 1, width)."""
        return self._rest(hidden[:, :1], hidden, mask, None)

    def _rest(self, hidden: Tensor, context: Tensor, mask: Tensor, maps: list[Tensor] | None) -> Tensor:
        query, key, value = (
            part.view(part.shape[0], part.shape[1], self.heads, self.head).transpose(1, 2)
            for part in (self.query(hidden), self.key(context), self.value(context))
        )
        logits = query @ key.transpose(-1, -2) * self.head**-0.5 + mask
        if maps is not None:
            maps.append(logits)
        mixed = (logits.softmax(dim=-1) @ value).transpose(1, 2).flatten(2)
        hidden = self.attended(hidden + self.out(mixed))
        fed: Tensor = self.fed(hidden + self.down(functional.gelu(self.up(hidden))))
        return fed


class Student(nn.Module):
    """Token ids in, one logit a pair out."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.words = nn.Embedding(shape.vocabulary, shape.width)
        self.places = nn.Embedding(shape.positions, shape.width)
        self.kinds = nn.Embedding(shape.types, shape.width)
        self.embedded = nn.LayerNorm(shape.width, shape.epsilon)
        self.layers = nn.ModuleList(
            Layer(shape.width, shape.head, heads, units, shape.epsilon)
            for heads, units in zip(shape.heads, shape.units, strict=True)
        )
        self.pooler = nn.Linear(shape.width, shape.width)
        self.classifier = nn.Linear(shape.width, 1)

    @property
    def blocks(self) -> list[Layer]:
        return [cast("Layer", layer) for layer in self.layers]

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor,
        token_type_ids: Tensor,
        states: list[Tensor] | None = None,
        maps: list[Tensor] | None = None,
    ) -> Tensor:
        """Logits of shape (pairs, 1). `states` takes what each layer but the last gives, `maps` where it looks."""
        places = self.places.weight[: input_ids.shape[1]]
        hidden = self.embedded(self.words(input_ids) + self.kinds(token_type_ids) + places)
        mask = (1.0 - attention_mask[:, None, None, :].to(hidden.dtype)) * -1e4
        *before, last = self.blocks
        for layer in before:
            hidden = layer(hidden, mask, maps)
            if states is not None:
                states.append(hidden)
        logits: Tensor = self.classifier(self.pooler(last.first(hidden, mask)[:, 0]).tanh())
        return logits


def spread(layers: int, of: int) -> tuple[int, ...]:
    """Which of the teacher's layers the student begins with: evenly spread, the first and the last among them."""
    if not 1 <= layers <= of:
        raise ConfigError(f"--layers: the teacher has {of} layers, got {layers}")
    if layers == 1:
        return (of - 1,)
    return tuple(round(place * (of - 1) / (layers - 1) - 1e-9) for place in range(layers))


def imitated(layers: int, of: int) -> tuple[int, ...]:
    """After which of the teacher's layers (from 1) each of the student's should have come as far."""
    return tuple(round((place + 1) * of / layers) for place in range(layers))


def student_of(teacher: Any) -> Student:
    """The same network as the teacher, a `BertForSequenceClassification`. Its word embeddings are not trained:
    most words of a language are in nobody's texts."""
    config = teacher.config
    layers = config.num_hidden_layers
    shape = Shape(
        vocabulary=config.vocab_size,
        positions=config.max_position_embeddings,
        types=config.type_vocab_size,
        width=config.hidden_size,
        head=config.hidden_size // config.num_attention_heads,
        heads=(config.num_attention_heads,) * layers,
        units=(config.intermediate_size,) * layers,
        epsilon=config.layer_norm_eps,
    )
    return made(shape, _state(teacher.state_dict(), layers))


def some_layers(student: Student, layers: int) -> Student:
    """A student with so many of its layers, evenly spread, whole."""
    kept = spread(layers, len(student.layers))
    shape = replace(
        student.shape,
        heads=tuple(student.shape.heads[at] for at in kept),
        units=tuple(student.shape.units[at] for at in kept),
    )
    state = {name: value for name, value in student.state_dict().items() if not name.startswith("layers.")}
    for own, at in enumerate(kept):
        for name, value in student.layers[at].state_dict().items():
            state[f"layers.{own}.{name}"] = value
    return made(shape, state)


def load(path: Path) -> Student:
    """What `save` has written."""
    kept = torch.load(path, weights_only=True)
    return made(Shape(**kept["shape"]), kept["state"])


def save(student: Student, path: Path) -> None:
    """The file is whole or is not there."""
    partial = path.with_suffix(".partial")
    torch.save({"shape": asdict(student.shape), "state": student.state_dict()}, partial)
    partial.replace(path)


def made(shape: Shape, state: Mapping[str, Tensor]) -> Student:
    """A student with these weights. Raises `RuntimeError` where one is missing, or of another shape."""
    student = Student(shape)
    student.load_state_dict(state)
    student.words.weight.requires_grad = False
    return student


_EMBEDDINGS = {
    "words.weight": "word_embeddings.weight",
    "places.weight": "position_embeddings.weight",
    "kinds.weight": "token_type_embeddings.weight",
    "embedded.weight": "LayerNorm.weight",
    "embedded.bias": "LayerNorm.bias",
}
_LAYER = {
    "query": "attention.self.query",
    "key": "attention.self.key",
    "value": "attention.self.value",
    "out": "attention.output.dense",
    "attended": "attention.output.LayerNorm",
    "up": "intermediate.dense",
    "down": "output.dense",
    "fed": "output.LayerNorm",
}


def _state(teacher: Mapping[str, Tensor], layers: int) -> dict[str, Tensor]:
    state = {own: teacher[f"bert.embeddings.{name}"] for own, name in _EMBEDDINGS.items()}
    for kind in ("weight", "bias"):
        state[f"pooler.{kind}"] = teacher[f"bert.pooler.dense.{kind}"]
        state[f"classifier.{kind}"] = teacher[f"classifier.{kind}"]
        for number in range(layers):
            layer = f"bert.encoder.layer.{number}"
            for name, theirs in _LAYER.items():
                state[f"layers.{number}.{name}.{kind}"] = teacher[f"{layer}.{theirs}.{kind}"]
    return {name: value.detach().clone() for name, value in state.items()}
