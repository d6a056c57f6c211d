"""Tiny ONNX rerankers, made on the spot. A pair's logit is a sum over its tokens, so padding would show."""

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

VOCABULARY = 64
TABLE = (np.arange(VOCABULARY, dtype=np.float32) - 20) / 7
TYPE_WEIGHT = np.float32(0.25)


def expected(ids, type_ids=None) -> float:
    """What `write_reranker`'s graph gives for one pair."""
    logit = float(sum(TABLE[i] for i in ids))
    return logit + float(TYPE_WEIGHT) * sum(type_ids or ())


def write_reranker(
    path: Path,
    *,
    types: bool = True,
    dtype: int = TensorProto.INT64,
    shape: str = "(n,1)",
    labels: int = 1,
    dynamic: bool = False,
    half: bool = False,
    extra_input: str = "",
    output: str = "logits",
    check: bool = True,
) -> Path:
    """`shape` of the output: "(n,1)" or "(n,)"; `dynamic`: with a DynamicQuantizeLinear node in it."""
    table = numpy_helper.from_array(TABLE.astype(np.float16) if half else TABLE, "table")
    nodes = [
        helper.make_node("Gather", ["table", "input_ids"], ["stored"]),
        helper.make_node("Cast", ["stored"], ["values"], to=TensorProto.FLOAT),
        helper.make_node("Cast", ["attention_mask"], ["mask"], to=TensorProto.FLOAT),
    ]
    terms = "values"
    if types:
        nodes += [
            helper.make_node("Cast", ["token_type_ids"], ["kinds"], to=TensorProto.FLOAT),
            helper.make_node("Mul", ["kinds", "weight"], ["weighted"]),
            helper.make_node("Add", ["values", "weighted"], ["both"]),
        ]
        terms = "both"
    if dynamic:
        nodes.append(helper.make_node("DynamicQuantizeLinear", [terms], ["quantised", "scale", "zero"]))
        nodes.append(helper.make_node("DequantizeLinear", ["quantised", "scale", "zero"], ["again"]))
        terms = "again"
    keep = 1 if shape == "(n,1)" else 0
    nodes += [
        helper.make_node("Mul", [terms, "mask"], ["kept"]),
        helper.make_node("ReduceSum", ["kept", "axis"], ["sum"], keepdims=keep),
    ]
    if labels > 1:
        nodes.append(helper.make_node("Tile", ["sum", "repeats"], [output]))
    else:
        nodes.append(helper.make_node("Identity", ["sum"], [output]))
    inputs = ["input_ids", "attention_mask", *(["token_type_ids"] if types else [])]
    inputs += [extra_input] if extra_input else []
    graph = helper.make_graph(
        nodes,
        "reranker",
        [helper.make_tensor_value_info(name, dtype, ["n", "s"]) for name in inputs],
        [helper.make_tensor_value_info(output, TensorProto.FLOAT, ["n", labels] if keep else ["n"])],
        [
            table,
            numpy_helper.from_array(np.array(TYPE_WEIGHT), "weight"),
            numpy_helper.from_array(np.array([1], np.int64), "axis"),
            numpy_helper.from_array(np.array([1, labels], np.int64), "repeats"),
        ],
    )
    return _save(graph, path, check)


def write_endless(path: Path) -> Path:
    """A graph that runs for hours when the first token is not 0."""
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["go"], ["go_on"]),
            helper.make_node("Add", ["at", "one"], ["next"]),
        ],
        "body",
        [
            helper.make_tensor_value_info("i", TensorProto.INT64, []),
            helper.make_tensor_value_info("go", TensorProto.BOOL, []),
            helper.make_tensor_value_info("at", TensorProto.FLOAT, [1, 1]),
        ],
        [
            helper.make_tensor_value_info("go_on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("next", TensorProto.FLOAT, [1, 1]),
        ],
        [numpy_helper.from_array(np.ones((1, 1), np.float32), "one")],
    )
    nodes = [
        helper.make_node("ReduceMax", ["input_ids"], ["highest"], keepdims=0),
        helper.make_node("Mul", ["highest", "many"], ["trips"]),
        helper.make_node("Loop", ["trips", "", "start"], ["logits"], body=body),
    ]
    graph = helper.make_graph(
        nodes,
        "endless",
        [helper.make_tensor_value_info("input_ids", TensorProto.INT64, ["n", "s"])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n", 1])],
        [
            numpy_helper.from_array(np.array(1 << 40, np.int64), "many"),
            numpy_helper.from_array(np.zeros((1, 1), np.float32), "start"),
        ],
    )
    return _save(graph, path)


def write_greedy(path: Path) -> Path:
    """A graph that wants terabytes when the first token is not 0."""
    nodes = [
        helper.make_node("ReduceMax", ["input_ids"], ["highest"], keepdims=0),
        helper.make_node("Mul", ["highest", "many"], ["size"]),
        helper.make_node("Add", ["size", "least"], ["sizes"]),
        helper.make_node("Expand", ["seed", "sizes"], ["huge"]),
        helper.make_node("ReduceMax", ["huge"], ["logits"], keepdims=1),
    ]
    graph = helper.make_graph(
        nodes,
        "greedy",
        [helper.make_tensor_value_info("input_ids", TensorProto.INT64, ["n", "s"])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [1])],
        [
            numpy_helper.from_array(np.array([1 << 42], np.int64), "many"),
            numpy_helper.from_array(np.array([1], np.int64), "least"),
            numpy_helper.from_array(np.zeros(1, np.float32), "seed"),
        ],
    )
    return _save(graph, path)


def _save(graph: onnx.GraphProto, path: Path, check: bool = True) -> Path:
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    if check:
        onnx.checker.check_model(model)
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(model, str(path))
    return path


def save_external(path: Path, source: Path) -> Path:
    """The same graph with its weights in another file."""
    model = onnx.load(str(source))
    onnx.save(
        model,
        str(path),
        save_as_external_data=True,
        location="weights.bin",
        size_threshold=0,
        convert_attribute=True,
    )
    return path
