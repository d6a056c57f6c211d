"""The carried int8 ONNX file, written as an fp32 BERT checkpoint for PyTorch.

The file was made by dynamic quantisation: every weight matrix is stored as int8 with a scale and a zero
point, so `(stored - zero_point) * scale` gives back what the file computes with. When the ONNX file runs,
activations are quantised too, and in fp32 they are not: logits differ by up to about 0.5, rarely more.
"""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import numpy_helper
from transformers import BertConfig, BertForSequenceClassification

__all__ = ["dequantise"]

Weights = dict[str, NDArray[Any]]
_EMBEDDINGS = tuple(
    f"bert.embeddings.{kind}_embeddings.weight" for kind in ("word", "token_type", "position")
)


def dequantise(source: Path, target: Path) -> None:
    """Write a folder that `CrossEncoder(target)` loads. Raises if one weight is missing or left over."""
    stored: Weights = {}
    graph = onnx.load(str(source / "model.onnx")).graph
    for tensor in graph.initializer:
        stored[tensor.name] = numpy_helper.to_array(tensor)

    weights = {name: value for name, value in stored.items() if _is_plain(name)}
    for name in _EMBEDDINGS:
        weights[name] = _restore(stored, name)
    for node in graph.node:
        if node.op_type == "MatMulInteger":
            name = node.input[1].removesuffix("_quantized")
            # ONNX multiplies by (in, out), PyTorch stores (out, in).
            weights[_torch_name(name, node.name)] = _restore(stored, name).T

    config = BertConfig(
        hidden_size=384,
        num_hidden_layers=12,
        num_attention_heads=12,
        intermediate_size=1536,
        num_labels=1,
        architectures=["BertForSequenceClassification"],
    )
    model = BertForSequenceClassification(config)
    expected = {name: tuple(value.shape) for name, value in model.state_dict().items()}
    model.load_state_dict(
        {
            name: torch.tensor(np.ascontiguousarray(_fit(value, expected[name])))
            for name, value in weights.items()
        },
        strict=True,
    )
    target.mkdir(parents=True, exist_ok=True)
    for name in ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.txt"):
        shutil.copyfile(source / name, target / name)
    model.save_pretrained(target)


def _is_plain(name: str) -> bool:
    return name.startswith(("bert.", "classifier.")) and not name.endswith(
        ("_quantized", "_scale", "_zero_point")
    )


def _restore(stored: Weights, name: str) -> NDArray[Any]:
    value, scale, zero = (
        stored[f"{name}_{part}"].astype(np.float32) for part in ("quantized", "scale", "zero_point")
    )
    return (value - zero) * scale


def _torch_name(weight: str, node: str) -> str:
    """The exporter kept the names of the pooler and the classifier, and named the others after their node."""
    if not weight.startswith("onnx::"):
        return weight
    return "bert." + node.removeprefix("/bert/").removesuffix("/MatMul_quant").replace("/", ".") + ".weight"


def _fit(value: NDArray[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    """The square pooler is right as it is; the classifier's single row may lie the other way round."""
    return value if value.shape == shape else value.T
