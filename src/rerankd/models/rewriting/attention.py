"""Finds the attention of a BERT-like encoder in a graph, and computes it with fewer copies.

Exporters write four transpositions, a mask and computed shapes for each layer. A pair that is alone in its run
needs no mask; and ONNX Runtime's `FusedMatMul` reads the heads where the projections have put them, so that only
the result is transposed.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from rerankd.models.rewriting.model import Model, Node, node

__all__ = ["Attention", "find", "replace"]

_HEADS_FIRST = (0, 2, 1, 3)
_HEADS_FIRST_TURNED = (0, 2, 3, 1)
_TURNED = (0, 1, 3, 2)


@dataclass(frozen=True, slots=True, kw_only=True)
class Attention:
    """One layer's: softmax(scale · Q·Kᵀ + mask)·V for each head."""

    query: str
    """The projection, biased: a row a token, the heads beside each other."""
    key: str
    value: str
    context: str
    """The result, in the same form."""
    heads: int
    head_size: int
    scale: float
    mask: str | None
    """What is added before the softmax."""

    @property
    def width(self) -> int:
        return self.heads * self.head_size


@dataclass(frozen=True, slots=True)
class _Heads:
    source: str
    heads: int
    size: int


def find(model: Model) -> list[Attention]:
    """Every attention of the graph in its order; all or none, since a graph is known or it is not."""
    found = []
    for softmax in model.nodes:
        if softmax.operator == "Softmax":
            match = _match(model, softmax)
            if match is None:
                return []
            found.append(match)
    return found


def _match(model: Model, softmax: Node) -> Attention | None:
    if softmax.ints.get("axis", -1) not in (-1, 3):
        return None
    scores, mask = softmax.inputs[0], None
    added = _made(model, scores, "Add")
    if added is not None:
        scores, mask = added.inputs
        if not _is_product(model, scores):
            scores, mask = mask, scores
    product, *factors = _unscaled(model, scores)
    multiplied = _made(model, product, "MatMul")
    if multiplied is None:
        return None
    left, *left_factors = _unscaled(model, multiplied.inputs[0])
    right, *right_factors = _unscaled(model, multiplied.inputs[1])
    query, key = _heads(model, left), _turned_heads(model, right)
    end = _end(model, softmax)
    if query is None or key is None or end is None:
        return None
    context, value = end
    if not (query.heads, query.size) == (key.heads, key.size) == (value.heads, value.size):
        return None
    width = query.heads * query.size
    if not all(_is_projection(model, each.source, width) for each in (query, key, value)):
        return None
    scale = 1.0
    for name, inverse in (*factors, *left_factors, *right_factors):
        factor = _scalar(model, name, query.size)
        if not factor:
            return None
        scale *= 1 / factor if inverse else factor
    return Attention(
        query=query.source,
        key=key.source,
        value=value.source,
        context=context,
        heads=query.heads,
        head_size=query.size,
        scale=scale,
        mask=mask,
    )


def replace(model: Model, attention: Attention) -> None:
    """Compute the same context another way. Holds for one unpadded pair a run."""
    heads, size, context = attention.heads, attention.head_size, attention.context
    end = model.maker(context)
    assert end is not None
    split = model.store(f"lean/heads/{heads}x{size}", (-1, heads, size))
    joined = model.store(f"lean/tokens/{heads * size}", (1, -1, heads * size))
    names = {
        each: f"{context}/lean/{each}" for each in ("q", "k", "v", "scores", "weights", "rows", "turned")
    }
    sources = {"q": attention.query, "k": attention.key, "v": attention.value}
    added = [node("Reshape", (source, split), (names[each],)) for each, source in sources.items()]
    added += [
        node(
            "FusedMatMul",
            (names["q"], names["k"]),
            (names["scores"],),
            contributed=True,
            alpha=attention.scale,
            transA=0,
            transB=1,
            transBatchA=1,
            transBatchB=1,
        ),
        node("Softmax", (names["scores"],), (names["weights"],), axis=-1),
        node(
            "FusedMatMul",
            (names["weights"], names["v"]),
            (names["rows"],),
            contributed=True,
            alpha=1.0,
            transA=0,
            transB=0,
            transBatchA=0,
            transBatchB=1,
        ),
        node("Transpose", (names["rows"],), (names["turned"],), perm=(1, 0, 2)),
        node("Reshape", (names["turned"], joined), (context,)),
    ]
    end.outputs = [f"{context}/replaced"]
    model.insert(end, added)


# -- the parts of the pattern -------------------------------------------------------------------------------


def _made(model: Model, name: str, operator: str) -> Node | None:
    made = model.maker(name)
    return made if made is not None and (made.operator, made.domain) == (operator, "") else None


def _is_product(model: Model, name: str) -> bool:
    return _made(model, _unscaled(model, name)[0], "MatMul") is not None


_Factor = tuple[str, bool]


def _unscaled(model: Model, name: str) -> "tuple[str, *tuple[_Factor, ...]]":
    """What is multiplied and divided by scalars; the scalars, and whether it is divided by them."""
    factors: list[_Factor] = []
    while (made := model.maker(name)) is not None and made.operator in ("Mul", "Div"):
        left, right = made.inputs
        if _can_be_scalar(model, right):
            factors.append((right, made.operator == "Div"))
            name = left
        elif made.operator == "Mul" and _can_be_scalar(model, left):
            factors.append((left, False))
            name = right
        else:
            break
    return name, *factors


def _can_be_scalar(model: Model, name: str) -> bool:
    stored = model.constant(name)
    if stored is not None:
        return math.prod(stored.shape) == 1
    made = model.maker(name)
    return made is not None and made.operator in ("Sqrt", "Cast", "Div")


def _scalar(model: Model, name: str, head_size: int) -> float | None:
    """A scalar that depends on nothing but the size of a head, which exporters compute at every run."""
    values = model.values(name)
    if values is not None:
        return float(values.reshape(-1)[0]) if values.size == 1 else None
    made = model.maker(name)
    if made is None:
        return None
    if made.operator in ("Slice", "Gather"):
        return float(head_size) if _takes_last_of_heads(model, made) else None
    operands = [_scalar(model, each, head_size) for each in made.inputs]
    if any(each is None for each in operands):
        return None
    known = [each for each in operands if each is not None]
    if made.operator == "Cast":
        return known[0]
    if made.operator == "Sqrt":
        return math.sqrt(known[0]) if known[0] >= 0 else None
    if made.operator == "Div":
        return known[0] / known[1] if known[1] else None
    return known[0] * known[1] if made.operator == "Mul" else None


def _takes_last_of_heads(model: Model, made: Node) -> bool:
    """Whether this takes the last number of the shape of something that is split into heads."""
    shape = _made(model, made.inputs[0], "Shape")
    at = model.values(made.inputs[1])
    if shape is None or at is None or at.size != 1 or int(at.reshape(-1)[0]) not in (-1, 3):
        return False
    return _heads(model, shape.inputs[0]) is not None


def _heads(model: Model, name: str, perm: Sequence[int] = _HEADS_FIRST) -> _Heads | None:
    """(1, tokens, width) split into heads, which become the second axis."""
    turned = _made(model, name, "Transpose")
    if turned is None or turned.lists.get("perm") != tuple(perm):
        return None
    split = _made(model, turned.inputs[0], "Reshape")
    if split is None:
        return None
    sizes = _last_two(model, split.inputs[1])
    return None if sizes is None else _Heads(split.inputs[0], *sizes)


def _turned_heads(model: Model, name: str) -> _Heads | None:
    """The same with tokens and the head's numbers exchanged, at once or one after the other."""
    at_once = _heads(model, name, _HEADS_FIRST_TURNED)
    if at_once is not None:
        return at_once
    turned = _made(model, name, "Transpose")
    if turned is None or turned.lists.get("perm") != _TURNED:
        return None
    return _heads(model, _unscaled(model, turned.inputs[0])[0]) if not _factors(model, turned) else None


def _factors(model: Model, turned: Node) -> bool:
    return len(_unscaled(model, turned.inputs[0])) > 1


def _last_two(model: Model, shape: str) -> tuple[int, int] | None:
    values = model.values(shape)
    if values is not None:
        sizes = [int(each) for each in values.reshape(-1)]
    else:
        joined = _made(model, shape, "Concat")
        if joined is None:
            return None
        sizes = []
        for each in joined.inputs:
            value = model.values(each)
            sizes.append(int(value.reshape(-1)[0]) if value is not None and value.size == 1 else 0)
    if len(sizes) != 4 or sizes[2] <= 0 or sizes[3] <= 0:
        return None
    return sizes[2], sizes[3]


def _end(model: Model, softmax: Node) -> tuple[str, _Heads] | None:
    """The context that the weights lead to, and the values that they weigh."""
    multiplied = _only_user(model, softmax.outputs[0], "MatMul")
    if multiplied is None or multiplied.inputs[0] != softmax.outputs[0]:
        return None
    value = _heads(model, multiplied.inputs[1])
    turned = _only_user(model, multiplied.outputs[0], "Transpose")
    if value is None or turned is None or turned.lists.get("perm") != _HEADS_FIRST:
        return None
    joined = _only_user(model, turned.outputs[0], "Reshape")
    return None if joined is None or joined.inputs[0] != turned.outputs[0] else (joined.outputs[0], value)


def _only_user(model: Model, name: str, operator: str) -> Node | None:
    users = [each for each in model.users(name) if each.operator != "Shape"]
    return users[0] if len(users) == 1 and users[0].operator == operator else None


def _is_projection(model: Model, name: str, width: int) -> bool:
    """Whether each row has as many numbers as all heads: the bias says so, and that they are fp32."""
    added = _made(model, name, "Add")
    stored = [model.constant(each) for each in added.inputs] if added is not None else []
    return any(each is not None and each.shape == (width,) and each.is_float for each in stored)
