"""A student out of the int8 file that an earlier run has exported, to go on training with it."""

from pathlib import Path
from typing import TYPE_CHECKING

from rerankd.errors import BackendError
from rerankd.models.dequantise import weights_of

if TYPE_CHECKING:
    import onnx

    from rerankd.distill.student import Student

__all__ = ["student_of_onnx"]

_NAMED = ("words.", "places.", "kinds.", "embedded.", "layers.", "pooler.", "classifier.")
_LINEAR = ("query", "key", "value", "out", "up", "down")


def student_of_onnx(path: Path) -> "Student":
    """The student with the weights of the file, as near as int8 kept them.

    Raises `BackendError` naming the file for a graph that `export` has not written.
    """
    import torch

    from rerankd.distill.student import Shape, made

    weights, model = weights_of(path)
    layers = sum(name.startswith("layers.") and name.endswith(".query.bias") for name in weights)
    for part in (
        _LINEAR
    ):  # the exporter names what is in the last layer without it, since that one runs for one token
        if f"{part}.weight" in weights:
            weights[f"layers.{layers - 1}.{part}.weight"] = weights[f"{part}.weight"]
    try:
        head = _head(model)
        words = weights["words.weight"]
        shape = Shape(
            vocabulary=len(words),
            positions=len(weights["places.weight"]),
            types=len(weights["kinds.weight"]),
            width=words.shape[1],
            head=head,
            heads=tuple(len(weights[f"layers.{number}.query.bias"]) // head for number in range(layers)),
            units=tuple(len(weights[f"layers.{number}.up.bias"]) for number in range(layers)),
            epsilon=_epsilon(model),
        )
        state = {name: torch.tensor(each) for name, each in weights.items() if name.startswith(_NAMED)}
        return made(shape, state)
    except (KeyError, RuntimeError) as error:
        raise BackendError(f"{path}: is no student of rerankd distill: {error}") from None


def _head(model: "onnx.ModelProto") -> int:
    """The width of a head, from the shape that keys are given: (pairs, tokens, heads, width)."""
    from onnx import numpy_helper

    constants = {each.output[0]: each for each in model.graph.node if each.op_type == "Constant"}
    for node in model.graph.node:
        if node.op_type == "Concat" and len(node.input) == 4:
            return int(numpy_helper.to_array(constants[node.input[3]].attribute[0].t).reshape(-1)[0])
    raise KeyError("width of a head")


def _epsilon(model: "onnx.ModelProto") -> float:
    for node in model.graph.node:
        if node.op_type == "LayerNormalization":
            return float(next(each.f for each in node.attribute if each.name == "epsilon"))
    raise KeyError("layer normalisation")
