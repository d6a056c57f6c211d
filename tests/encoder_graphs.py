"""Small BERT-like rerankers as ONNX graphs, node for node as exporters write them, with random weights."""

from pathlib import Path
from typing import Literal

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import QuantType, quantize_dynamic

VOCABULARY, WIDTH, HEADS, INNER, LONGEST = 50, 16, 4, 32, 64
LOWEST = float(np.finfo(np.float32).min)


class Encoder:
    """Writes one graph. The options are what differs between exporters, or what must not be rewritten."""

    def __init__(
        self,
        *,
        layers: int = 2,
        scaled: Literal["scores", "both"] = "both",
        shapes: Literal["computed", "stored"] = "computed",
        mask: Literal["padding", "causal", "none"] = "padding",
        bias: bool = True,
        pooled: Literal["first", "second", "mean"] = "first",
    ) -> None:
        self.scaled, self.shapes, self.bias = scaled, shapes, bias
        self.dice = np.random.default_rng(7)
        self.nodes: list[onnx.NodeProto] = []
        self.stored: list[onnx.TensorProto] = []
        words, places = self.weight(VOCABULARY, WIDTH), self.weight(LONGEST, WIDTH)
        kinds = self.weight(2, WIDTH)
        looked_up = self.add(
            self.op("Gather", words, "input_ids"), self.op("Gather", kinds, "token_type_ids")
        )
        length = self.op(
            "Unsqueeze",
            self.op("Gather", self.op("Shape", "input_ids"), self.ints(1, scalar=True)),
            self.ints(0),
        )
        looked_up = self.add(looked_up, self.op("Slice", places, self.ints(0), length, self.ints(0)))
        hidden = self.normalised(looked_up)
        self.mask = {"padding": self.padding, "causal": self.causal, "none": lambda: ""}[mask]()
        for _ in range(layers):
            hidden = self.layer(hidden)
        if pooled == "mean":
            first = self.op("ReduceMean", hidden, axes=[1], keepdims=0)
        else:
            at = self.ints(["first", "second"].index(pooled), scalar=True)
            first = self.op("Gather", hidden, at, axis=1)
        pool = self.op("Tanh", self.linear(first, WIDTH, WIDTH))
        self.nodes.append(helper.make_node("Identity", [self.linear(pool, WIDTH, 1)], ["logits"]))

    def save(self, path: Path, *, dynamic: bool = False) -> Path:
        names = ["input_ids", "attention_mask", "token_type_ids"]
        graph = helper.make_graph(
            self.nodes,
            "encoder",
            [helper.make_tensor_value_info(name, TensorProto.INT64, ["n", "s"]) for name in names],
            [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n", 1])],
            self.stored,
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 14)], ir_version=8)
        onnx.checker.check_model(model)
        if not dynamic:
            onnx.save(model, str(path))
            return path
        plain = onnx.save(model, str(path.with_suffix(".fp32.onnx")))
        assert plain is None
        quantize_dynamic(path.with_suffix(".fp32.onnx"), path, weight_type=QuantType.QInt8)
        return path

    # -- layers -----------------------------------------------------------------------------------------

    def layer(self, x: str) -> str:
        query, key, value = (self.linear(x, WIDTH, WIDTH) for _ in range(3))
        q = self.op("Transpose", self.split(query, x), perm=[0, 2, 1, 3])
        v = self.op("Transpose", self.split(value, x), perm=[0, 2, 1, 3])
        k = self.op("Transpose", self.split(key, x), perm=[0, 2, 3, 1])
        if self.scaled == "both":  # as PyTorch's scaled_dot_product_attention is exported
            size = self.op("Slice", self.op("Shape", q), self.ints(-1), self.ints(2**63 - 1))
            root = self.op("Sqrt", self.op("Cast", size, to=TensorProto.FLOAT))
            share = self.op("Sqrt", self.op("Div", self.numbers(1.0), root))
            q, k = self.op("Mul", q, share), self.op("Mul", k, share)
            scores = self.op("MatMul", q, k)
        else:
            scores = self.op("Div", self.op("MatMul", q, k), self.numbers((WIDTH / HEADS) ** 0.5))
        scores = self.add(scores, self.mask) if self.mask else scores
        rows = self.op("MatMul", self.op("Softmax", scores, axis=-1), v)
        turned = self.op("Transpose", rows, perm=[0, 2, 1, 3])
        context = self.op("Reshape", turned, self.shape(x, [WIDTH]))
        x = self.normalised(self.add(self.linear(context, WIDTH, WIDTH), x))
        inner = self.linear(x, WIDTH, INNER)
        erf = self.op("Erf", self.op("Div", inner, self.numbers(2**0.5)))
        inner = self.op("Mul", self.op("Mul", inner, self.add(erf, self.numbers(1.0))), self.numbers(0.5))
        return self.normalised(self.add(self.linear(inner, INNER, WIDTH), x))

    def split(self, rows: str, x: str) -> str:
        return self.op("Reshape", rows, self.shape(x, [HEADS, WIDTH // HEADS]))

    def shape(self, x: str, ends: list[int]) -> str:
        if self.shapes == "stored":
            return self.ints(0, 0, *ends)
        sizes = [self.op("Gather", self.op("Shape", x), self.ints(axis, scalar=True)) for axis in (0, 1)]
        sizes = [self.op("Unsqueeze", each, self.ints(0)) for each in sizes]
        return self.op("Concat", *sizes, *(self.ints(each) for each in ends), axis=0)

    def linear(self, x: str, width: int, out: int) -> str:
        product = self.op("MatMul", x, self.weight(width, out))
        return self.add(self.weight(out), product) if self.bias else product

    def normalised(self, x: str) -> str:
        centred = self.op("Sub", x, self.op("ReduceMean", x, axes=[-1]))
        squares = self.op("Pow", centred, self.numbers(2.0))
        spread = self.op("Sqrt", self.add(self.op("ReduceMean", squares, axes=[-1]), self.numbers(1e-12)))
        return self.add(
            self.op("Mul", self.op("Div", centred, spread), self.weight(WIDTH)), self.weight(WIDTH)
        )

    def padding(self) -> str:
        kept = self.op("Cast", self.op("Unsqueeze", "attention_mask", self.ints(1, 2)), to=TensorProto.FLOAT)
        return self.op("Mul", self.op("Sub", self.numbers(1.0), kept), self.numbers(LOWEST))

    def causal(self) -> str:
        above = np.triu(np.full((LONGEST, LONGEST), -1e4, np.float32), 1)
        length = self.op(
            "Unsqueeze",
            self.op("Gather", self.op("Shape", "attention_mask"), self.ints(1, scalar=True)),
            self.ints(0),
        )
        ends = self.op("Concat", length, length, axis=0)
        return self.op("Slice", self.store(above), self.ints(0, 0), ends, self.ints(0, 1))

    # -- nodes ------------------------------------------------------------------------------------------

    def op(self, operator: str, *inputs: str, **attributes) -> str:
        name = f"/{operator}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, inputs, [name], name=name, **attributes))
        return name

    def add(self, left: str, right: str) -> str:
        return self.op("Add", left, right)

    def weight(self, *shape: int) -> str:
        return self.store((self.dice.standard_normal(shape) / 2).astype(np.float32))

    def store(self, values: np.ndarray) -> str:
        name = f"stored_{len(self.stored)}"
        self.stored.append(numpy_helper.from_array(values, name))
        return name

    def ints(self, *values: int, scalar: bool = False) -> str:
        return self.constant(np.array(values[0] if scalar else values, np.int64))

    def numbers(self, value: float) -> str:
        return self.constant(np.array(value, np.float32))

    def constant(self, values: np.ndarray) -> str:
        name = f"/Constant_{len(self.nodes)}"
        self.nodes.append(helper.make_node("Constant", [], [name], value=numpy_helper.from_array(values)))
        return name
