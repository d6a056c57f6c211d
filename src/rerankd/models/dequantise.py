"""An int8 ONNX file turned back into numbers: as a graph in half precision, or as a checkpoint for PyTorch.

Dynamic quantisation stores every weight as an integer with a scale and a zero point, so `(stored - zero) * scale`
is what the file computes with. When the file runs, activations are quantised too; here they are not. So logits
differ from the file's own by up to about 0.5, and are the nearer ones to what the model was trained to give.

Needs the `onnx` package. https://onnxruntime.ai/docs/performance/model-optimizations/quantization.html
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from rerankd.errors import BackendError

if TYPE_CHECKING:
    import onnx

__all__ = ["Bert", "bert_of", "graph_of", "half_graph_of", "weights_of"]

_STORED = "_quantized"
_SUFFIXES = (_STORED, "_scale", "_zero_point")
_TURNED = "_Transposed"
_ANONYMOUS = "onnx::"
_LAYER = "bert.encoder.layer."

Weights = dict[str, NDArray[Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Bert:
    """A BERT cross-encoder with one score a pair."""

    config: Mapping[str, Any]
    """As `config.json` has it."""
    weights: Mapping[str, NDArray[np.float32]]
    """As `BertForSequenceClassification` names and shapes them."""


def graph_of(path: Path) -> "onnx.ModelProto":
    """The same graph with its weights as fp32, and nothing quantised.

    Raises `BackendError` naming the file for one that was not quantised dynamically, or in a way not known here.
    """
    model = _read(path)
    graph = model.graph
    stored = _stored(model)
    producers = {name: node for node in graph.node for name in node.output}
    readers = {name: node for node in graph.node for name in node.input}
    made: Weights = {}
    replaced: dict[str, onnx.NodeProto] = {}
    try:
        for node in graph.node:
            if node.op_type == "DequantizeLinear":
                weight = node.input[1].removesuffix("_scale")
                made[weight] = _real(stored, weight)
                replaced[node.output[0]] = _lookup(producers[node.input[0]], weight, node)
            elif node.op_type == "MatMulInteger":
                weight = node.input[1].removesuffix(_STORED)
                made[weight] = _real(stored, weight)
                scaled = readers[
                    readers[node.output[0]].output[0]
                ]  # through a cast, the product with the scales
                replaced[scaled.output[0]] = _product(producers[node.input[0]].input[0], weight, scaled)
    except KeyError as error:
        raise BackendError(f"{path}: was quantised in a way that cannot be undone: no {error}") from None
    if not replaced:
        raise BackendError(f"{path}: was not quantised dynamically")
    _rewire(graph, replaced, made)
    return model


def half_graph_of(path: Path) -> "onnx.ModelProto":
    """The same graph with weights and activations in fp16, for CUDA; inputs and scores stay as they are."""
    # its package puts its own folder on the search path when it is imported, at the end
    from onnxruntime.transformers.float16 import convert_float_to_float16  # type: ignore[import-untyped]

    return convert_float_to_float16(graph_of(path), keep_io_types=True)  # type: ignore[no-any-return]


def bert_of(path: Path) -> Bert:
    """The weights of a BERT, under the names that they had before it was exported.

    Raises `BackendError` naming the file for a graph of another kind, or with more than one score a pair.
    """
    model = _read(path)
    stored = _stored(model)
    weights = {
        name: value
        for name, value in stored.items()
        if name.startswith(("bert.", "classifier.")) and not name.endswith(_SUFFIXES)
    }
    try:
        for name in stored:
            if name.startswith("bert.embeddings.") and name.endswith(_STORED):
                weights[name.removesuffix(_STORED)] = _real(stored, name.removesuffix(_STORED))
        for name, node in _products(model.graph.node):
            # a product is (in, out), a linear layer's weight (out, in)
            weights[_module(name, node)] = _real(stored, name).T
        words = weights["bert.embeddings.word_embeddings.weight"]
        wide = weights[f"{_LAYER}0.intermediate.dense.weight"]
        labels = len(weights["classifier.bias"])
        config = _config(
            layers=len({name.split(".")[3] for name in weights if name.startswith(_LAYER)}),
            vocabulary=len(words),
            hidden=words.shape[1],
            wide=len(wide),
            positions=len(weights["bert.embeddings.position_embeddings.weight"]),
            types=len(weights["bert.embeddings.token_type_embeddings.weight"]),
            heads=_heads(model, stored),
        )
    except (KeyError, IndexError) as error:
        raise BackendError(f"{path}: is not the graph of a dynamically quantised BERT: no {error}") from None
    if labels != 1:
        raise BackendError(f"{path}: has {labels} labels; a reranker gives one score a pair")
    return Bert(config=config, weights={name: np.ascontiguousarray(each) for name, each in weights.items()})


def weights_of(path: Path) -> tuple[Weights, "onnx.ModelProto"]:
    """Every weight under its name in PyTorch, a linear layer's as (out, in); and the graph.

    Raises `BackendError` naming the file for one that was not quantised dynamically, or in a way not known here.
    """
    model = _read(path)
    stored = _stored(model)
    weights = {name: value for name, value in stored.items() if not name.endswith(_SUFFIXES)}
    products = dict(_products(model.graph.node))
    try:
        for name in (each.removesuffix(_STORED) for each in stored if each.endswith(_STORED)):
            real = _real(stored, name)
            if name in products:
                weights[_layer(name, products[name])] = np.ascontiguousarray(real.T)
            else:
                weights[name] = real
    except KeyError as error:
        raise BackendError(f"{path}: was quantised in a way that cannot be undone: no {error}") from None
    if not products:
        raise BackendError(f"{path}: was not quantised dynamically")
    return weights, model


def _layer(weight: str, node: "onnx.NodeProto") -> str:
    """A turned weight keeps its name; one of three dimensions' product is named after its node, as /a/b/MatMul."""
    if not weight.startswith(_ANONYMOUS):
        return weight.removesuffix(_TURNED)
    return node.name.removeprefix("/").removesuffix("/MatMul_quant").replace("/", ".") + ".weight"


def _read(path: Path) -> "onnx.ModelProto":
    import onnx
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

    try:
        return onnx.load(str(path), load_external_data=False)
    except (OSError, DecodeError) as error:
        raise BackendError(f"{path}: cannot be read as an ONNX file: {type(error).__name__}") from error


def _stored(model: "onnx.ModelProto") -> Weights:
    from onnx import numpy_helper

    return {each.name: numpy_helper.to_array(each) for each in model.graph.initializer}


def _real(stored: Weights, name: str) -> NDArray[np.float32]:
    """What the integers stand for. One scale a tensor, or one a column."""
    whole, scale, zero = (stored[f"{name}{part}"].astype(np.float32) for part in _SUFFIXES)
    return np.asarray((whole - zero) * scale, np.float32)


def _product(left: str, weight: str, instead_of: "onnx.NodeProto") -> "onnx.NodeProto":
    from onnx import helper

    return helper.make_node("MatMul", [left, weight], list(instead_of.output), name=instead_of.name)


def _lookup(gather: "onnx.NodeProto", weight: str, instead_of: "onnx.NodeProto") -> "onnx.NodeProto":
    from onnx import helper

    if gather.op_type != "Gather" or gather.input[0] != weight + _STORED:
        raise KeyError(f"Gather from {weight}")
    node = helper.make_node("Gather", [weight, gather.input[1]], list(instead_of.output), name=gather.name)
    node.attribute.extend(gather.attribute)
    return node


def _rewire(graph: "onnx.GraphProto", replaced: "Mapping[str, onnx.NodeProto]", made: Weights) -> None:
    """Put the new nodes where the old ones were, and drop what nobody reads any more."""
    from onnx import numpy_helper

    nodes = [next((replaced[name] for name in node.output if name in replaced), node) for node in graph.node]
    read = {each.name for each in graph.output}
    kept: list[onnx.NodeProto] = []
    for node in reversed(nodes):  # a graph's nodes stand in the order in which they can be computed
        if read.intersection(node.output):
            kept.append(node)
            read.update(node.input)
    weights = [each for each in graph.initializer if each.name in read and each.name not in made]
    weights += [numpy_helper.from_array(value, name) for name, value in made.items() if name in read]
    del graph.node[:], graph.initializer[:]
    graph.node.extend(reversed(kept))
    graph.initializer.extend(weights)


def _products(nodes: "Any") -> "Iterator[tuple[str, onnx.NodeProto]]":
    for node in nodes:
        if node.op_type == "MatMulInteger":
            yield node.input[1].removesuffix(_STORED), node


def _module(weight: str, node: "onnx.NodeProto") -> str:
    """The exporter kept the names of the pooler and the classifier, and named the others after their node."""
    if not weight.startswith(_ANONYMOUS):
        return weight
    return (
        "bert." + node.name.removeprefix("/bert/").removesuffix("/MatMul_quant").replace("/", ".") + ".weight"
    )


def _heads(model: "onnx.ModelProto", stored: Weights) -> int:
    """How many heads attention has, from the shape that its keys are given: (batch, tokens, heads, size)."""
    from onnx import numpy_helper

    constants = dict(stored)
    for node in model.graph.node:
        if node.op_type == "Constant" and node.attribute:
            constants[node.output[0]] = numpy_helper.to_array(node.attribute[0].t)
    for node in model.graph.node:
        if node.op_type == "Concat" and len(node.input) == 4 and ".0/attention/self/" in node.name:
            return int(constants[node.input[2]].reshape(-1)[0])
    raise KeyError("number of attention heads")


def _config(
    *, layers: int, vocabulary: int, hidden: int, wide: int, positions: int, types: int, heads: int
) -> dict[str, Any]:
    return {
        "architectures": ["BertForSequenceClassification"],
        "model_type": "bert",
        "vocab_size": vocabulary,
        "hidden_size": hidden,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "intermediate_size": wide,
        "max_position_embeddings": positions,
        "type_vocab_size": types,
        "hidden_act": "gelu",
        "layer_norm_eps": 1e-12,
        "pad_token_id": 0,
        "id2label": {"0": "LABEL_0"},
        "label2id": {"LABEL_0": 0},
    }
