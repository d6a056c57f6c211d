"""How many operations a pair's products take: counted from the graph, each as a multiplication and an addition.

A product of weights takes 2·M·N·K: M is the number of rows (tokens) that reach it, K and N are the weights' shape.
The rows are followed through the graph from the inputs on, so that what the lean form computes for the first token
alone counts once. The attention multiplies floats by floats, and is counted by itself.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from rerankd.models.rewriting.model import Model, Node

__all__ = ["INTEGER", "Operations", "count", "weight_types"]

INTEGER = ("MatMulInteger", "DynamicQuantizeMatMul", "MatMulIntegerToFloat")
"""Products of weights as integers, alone or with the quantising fused into them."""
_FLOAT = ("MatMul", "FusedMatMul", "Gemm")
_NO_ROWS = ("Constant", "Shape")
"""What these give is no row of tokens, whatever they read."""


@dataclass(frozen=True, slots=True)
class Operations:
    """Of one run of one pair."""

    integer: int
    """Of weights and activations of eight bits."""
    floating: int
    """Of the attention, and of what else is not quantised."""


def count(model: Model, tokens: int) -> Operations:
    """For a pair of so many tokens. Raises `ValueError` for a product whose shape the graph does not tell."""
    rows = dict.fromkeys(model.inputs, tokens)
    integer = floating = 0
    for node in model.nodes:
        if node.operator in INTEGER:
            integer += _of_weights(model, node, rows)
        elif node.operator in _FLOAT and model.constant(node.inputs[1]) is not None:
            floating += _of_weights(model, node, rows)
        elif node.operator in _FLOAT:
            floating += _of_heads(model, node, rows)
        # a scale and a zero point are one number for all rows: of several outputs only the first has rows
        rows[node.outputs[0]] = _rows(model, node, rows)
    return Operations(integer, floating)


def weight_types(model: Model) -> set[int]:
    """The element types, by ONNX's numbers, of the weights that are multiplied as integers."""
    found = (model.constant(node.inputs[1]) for node in model.nodes if node.operator in INTEGER)
    return {each.type for each in found if each is not None}


def _rows(model: Model, node: Node, rows: Mapping[str, int]) -> int:
    """How many rows the first output has; 0 for what is no activation."""
    given = [rows.get(name, 0) for name in node.inputs]
    if node.operator in _NO_ROWS or not given:
        return 0
    if node.operator == "Slice" and given[0]:
        return _kept(model, node, given[0])
    if node.operator == "Gather" and given[0]:
        at = model.values(node.inputs[1])
        return at.size if at is not None and node.ints.get("axis", 0) == 1 else given[0]
    # what a product or a new shape reads beside its rows are weights, keys or sizes
    return given[0] if node.operator in (*INTEGER, *_FLOAT, "Reshape") else max(given)


def _kept(model: Model, node: Node, rows: int) -> int:
    """Rows that a slice leaves."""
    starts, ends, axes = (model.values(name) for name in node.inputs[1:4])
    if starts is None or ends is None or axes is None or starts.size != 1 or int(axes.reshape(-1)[0]) != 1:
        raise ValueError(f"{node.outputs[0]}: what it cuts is not in the graph")
    first, last, _ = slice(int(starts.reshape(-1)[0]), int(ends.reshape(-1)[0])).indices(rows)
    return max(0, last - first)


def _of_weights(model: Model, node: Node, rows: Mapping[str, int]) -> int:
    weights = model.constant(node.inputs[1])
    if weights is None or len(weights.shape) != 2:
        raise ValueError(f"{node.outputs[0]}: its weights are no matrix in the graph")
    inner, outer = weights.shape
    return 2 * rows.get(node.inputs[0], 0) * inner * outer


def _of_heads(model: Model, node: Node, rows: Mapping[str, int]) -> int:
    """Queries by keys, or weights by values: each row by each row, over the width of all heads."""
    split = model.maker(node.inputs[1])
    sizes = model.values(split.inputs[1]) if split is not None and split.operator == "Reshape" else None
    if sizes is None or sizes.size != 3:
        raise ValueError(f"{node.outputs[0]}: is no attention of the lean form")
    left, right = (rows.get(name, 0) for name in node.inputs[:2])
    return 2 * left * right * int(sizes[1]) * int(sizes[2])
