"""An ONNX model as its parts: nodes that can be rewired, and everything else as the bytes that it had.

Field numbers: https://github.com/onnx/onnx/blob/main/onnx/onnx.proto
"""

import mmap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rerankd.models.protobuf import Part, delimited, fields, integers, number, signed, text

__all__ = ["Model", "Node", "UnsupportedGraphError", "node"]

_MODEL_IR, _MODEL_GRAPH, _MODEL_OPSET, _MODEL_FUNCTIONS = 1, 7, 8, 25
_GRAPH_NODE, _GRAPH_NAME, _GRAPH_INITIALIZER, _GRAPH_INPUT, _GRAPH_OUTPUT = 1, 2, 5, 11, 12
_GRAPH_SPARSE = 15
_NODE_INPUT, _NODE_OUTPUT, _NODE_NAME, _NODE_OPERATOR, _NODE_ATTRIBUTE, _NODE_DOMAIN = 1, 2, 3, 4, 5, 7
_ATTRIBUTE_NAME, _ATTRIBUTE_FLOAT, _ATTRIBUTE_INT, _ATTRIBUTE_TENSOR = 1, 2, 3, 5
_ATTRIBUTE_INTS, _ATTRIBUTE_TYPE = 8, 20
_ATTRIBUTE_GRAPHS = (6, 11)
_KIND_FLOAT, _KIND_INT = 1, 2
_TENSOR_DIMS, _TENSOR_TYPE, _TENSOR_FLOATS, _TENSOR_INTS, _TENSOR_NAME, _TENSOR_RAW = 1, 2, 4, 7, 8, 9
_VALUE_NAME = 1
_OPSET_DOMAIN, _OPSET_VERSION = 1, 2

_TYPES: Mapping[int, Any] = {1: np.float32, 2: np.uint8, 3: np.int8, 6: np.int32, 7: np.int64, 11: np.float64}
_FLOAT, _INT64 = 1, 7
_SMALL = 4_096
"""Tensors of more elements are weights: nobody asks for their values here."""

CONTRIBUTED = "com.microsoft"
"""The domain of ONNX Runtime's own operators."""


class UnsupportedGraphError(Exception):
    """The file has something that cannot be rewired here; it runs as it is."""


@dataclass(slots=True, eq=False)
class Node:
    """One operation. Tensors are named; an optional input that is left out is an empty name."""

    operator: str
    domain: str
    inputs: list[str]
    outputs: list[str]
    rest: bytes
    """Name, operator, domain and attributes as they stand in the file."""
    ints: dict[str, int] = field(default_factory=dict)
    lists: dict[str, tuple[int, ...]] = field(default_factory=dict)
    tensor: "Tensor | None" = None
    """The value of a constant."""

    def written(self) -> Sequence[Part]:
        names = [part for name in self.inputs for part in text(_NODE_INPUT, name)]
        names += [part for name in self.outputs for part in text(_NODE_OUTPUT, name)]
        return delimited(_GRAPH_NODE, (*names, self.rest))


@dataclass(slots=True, frozen=True)
class Tensor:
    """A constant's shape and type; its values only where they are few."""

    shape: tuple[int, ...]
    type: int
    values: NDArray[Any] | None

    @property
    def is_float(self) -> bool:
        return self.type == _FLOAT


def node(
    operator: str,
    inputs: Sequence[str],
    outputs: Sequence[str],
    *,
    contributed: bool = False,
    perm: Sequence[int] = (),
    alpha: float | None = None,
    **ints: int,
) -> Node:
    """A new node. Attributes other than `perm` and `alpha` are integers."""
    attributes = [_attribute(name, _KIND_INT, number(_ATTRIBUTE_INT, value)) for name, value in ints.items()]
    if perm:
        values = b"".join(number(_ATTRIBUTE_INTS, each) for each in perm)
        attributes.append(_attribute("perm", 7, values))
    if alpha is not None:
        encoded = bytes([_ATTRIBUTE_FLOAT << 3 | 5]) + np.float32(alpha).tobytes()
        attributes.append(_attribute("alpha", _KIND_FLOAT, encoded))
    domain = CONTRIBUTED if contributed else ""
    rest = [
        *text(_NODE_NAME, outputs[0]),
        *text(_NODE_OPERATOR, operator),
        *text(_NODE_DOMAIN, domain),
        *attributes,
    ]
    return Node(operator, domain, list(inputs), list(outputs), b"".join(rest), dict(ints))


class Model:
    """A model with one graph of plain nodes, that can be rewired and written again."""

    def __init__(self, data: bytes | mmap.mmap) -> None:
        """Keeps the file's bytes, or its mapping, which must not be closed.

        Raises `UnsupportedGraphError` for a graph with subgraphs, functions or sparse weights."""
        self._data = data
        self._header: list[Part] = []
        self._domains: set[str] = set()
        self.name = b""
        self.nodes: list[Node] = []
        self.inputs: dict[str, bytes] = {}
        self.outputs: dict[str, bytes] = {}
        self.tensors: dict[str, Tensor] = {}
        self._stored: dict[str, Part] = {}
        self._makers: dict[str, Node] = {}
        self._users: dict[str, list[Node]] = {}
        try:
            self._read(data)
        except (ValueError, IndexError, KeyError, UnicodeDecodeError) as error:
            raise UnsupportedGraphError(str(error)) from error
        self._index()

    # -- looking ----------------------------------------------------------------------------------------

    def maker(self, name: str) -> Node | None:
        """The node that makes a tensor; None for inputs and stored tensors."""
        return self._makers.get(name)

    def users(self, name: str) -> list[Node]:
        """The nodes that read a tensor."""
        return self._users.get(name, [])

    def constant(self, name: str) -> Tensor | None:
        """A stored tensor, or what a `Constant` node holds."""
        if name in self.tensors:
            return self.tensors[name]
        made = self.maker(name)
        return made.tensor if made is not None and made.operator == "Constant" else None

    def values(self, name: str) -> NDArray[Any] | None:
        """The values of a small constant."""
        found = self.constant(name)
        return None if found is None else found.values

    # -- changing ---------------------------------------------------------------------------------------

    def insert(self, before: Node, added: Iterable[Node]) -> None:
        """Nodes stay in an order in which each follows what it reads."""
        at = self.nodes.index(before)
        self.nodes[at:at] = added
        self._index()

    def store(self, name: str, values: Sequence[int]) -> str:
        """A list of integers as a tensor, stored once under its name."""
        if name not in self.tensors:
            raw = np.array(values, "<i8")
            self.tensors[name] = Tensor(raw.shape, _INT64, raw)
            self._stored[name] = b"".join(
                (
                    number(_TENSOR_DIMS, len(raw)),
                    number(_TENSOR_TYPE, _INT64),
                    *text(_TENSOR_NAME, name),
                    *delimited(_TENSOR_RAW, (raw.tobytes(),)),
                )
            )
        return name

    def above(self, names: Iterable[str]) -> set[str]:
        """The tensors that these are made of, themselves among them."""
        found: set[str] = set()
        waiting = list(names)
        while waiting:
            name = waiting.pop()
            if name in found or not name:
                continue
            found.add(name)
            made = self.maker(name)
            if made is not None:
                waiting += made.inputs
        return found

    def written(self, outputs: Iterable[str] | None = None) -> bytes:
        """The file for these tensors, by default the model's own outputs: only what they need."""
        wanted = {name: self.outputs.get(name, _value(name)) for name in outputs or self.outputs}
        needed = self.above(wanted)
        parts: list[Part] = []
        for each in self.nodes:
            if not needed.isdisjoint(each.outputs):
                parts += each.written()
        parts += delimited(_GRAPH_NAME, (self.name,))
        for field_, values in (
            (_GRAPH_INITIALIZER, self._stored),
            (_GRAPH_INPUT, self.inputs),
            (_GRAPH_OUTPUT, wanted),
        ):
            for name, raw in values.items():
                if name in needed:
                    parts += delimited(field_, (raw,))
        opsets = () if CONTRIBUTED in self._domains else _opset(CONTRIBUTED, 1)
        return b"".join((*self._header, *opsets, *delimited(_MODEL_GRAPH, parts)))

    def _index(self) -> None:
        self._makers = {output: each for each in self.nodes for output in each.outputs}
        self._users = {}
        for each in self.nodes:
            for name in each.inputs:
                self._users.setdefault(name, []).append(each)

    # -- reading ----------------------------------------------------------------------------------------

    def _read(self, data: bytes | mmap.mmap) -> None:
        for number_, at, end in fields(data, 0, len(data)):
            if number_ == _MODEL_GRAPH:
                self._read_graph(at, end)
            elif number_ == _MODEL_FUNCTIONS:
                raise UnsupportedGraphError("functions")
            elif number_ == _MODEL_IR:
                self._header.append(number(_MODEL_IR, at))
            elif number_ == _MODEL_OPSET:
                self._header += delimited(_MODEL_OPSET, (data[at:end],))
                domain = [data[a:b] for n, a, b in fields(data, at, end) if n == _OPSET_DOMAIN]
                self._domains.add(domain[0].decode() if domain else "")

    def _read_graph(self, at: int, end: int) -> None:
        data = self._data
        for number_, start, stop in fields(data, at, end):
            if number_ == _GRAPH_NODE:
                self.nodes.append(_node(data, start, stop))
            elif number_ == _GRAPH_INITIALIZER:
                name, tensor = _tensor(data, start, stop)
                self.tensors[name] = tensor
                self._stored[name] = memoryview(data)[start:stop]
            elif number_ in (_GRAPH_INPUT, _GRAPH_OUTPUT):
                values = self.inputs if number_ == _GRAPH_INPUT else self.outputs
                values[_text(data, start, stop, _VALUE_NAME)] = data[start:stop]
            elif number_ == _GRAPH_NAME:
                self.name = data[start:stop]
            elif number_ == _GRAPH_SPARSE:
                raise UnsupportedGraphError("sparse weights")


def _node(data: bytes | mmap.mmap, at: int, end: int) -> Node:
    made = Node("", "", [], [], b"")
    rest: list[Part] = []
    for number_, start, stop in fields(data, at, end):
        value = data[start:stop]
        if number_ == _NODE_INPUT:
            made.inputs.append(value.decode())
            continue
        if number_ == _NODE_OUTPUT:
            made.outputs.append(value.decode())
            continue
        if number_ == _NODE_OPERATOR:
            made.operator = value.decode()
        elif number_ == _NODE_DOMAIN:
            made.domain = value.decode()
        elif number_ == _NODE_ATTRIBUTE:
            _read_attribute(data, start, stop, made)
        rest += delimited(number_, (value,))
    made.rest = b"".join(rest)
    return made


def _read_attribute(data: bytes | mmap.mmap, at: int, end: int, made: Node) -> None:
    name = _text(data, at, end, _ATTRIBUTE_NAME)
    ints: list[int] = []
    for number_, start, stop in fields(data, at, end):
        if number_ in _ATTRIBUTE_GRAPHS:
            raise UnsupportedGraphError("subgraphs")
        if number_ == _ATTRIBUTE_INT:
            made.ints[name] = signed(start)
        elif number_ == _ATTRIBUTE_INTS:
            ints += integers(data, start, stop)
        elif number_ == _ATTRIBUTE_TENSOR:
            made.tensor = _tensor(data, start, stop)[1]
    if ints:
        made.lists[name] = tuple(ints)


def _tensor(data: bytes | mmap.mmap, at: int, end: int) -> tuple[str, Tensor]:
    name, kind, raw, floats = "", 0, b"", b""
    shape: list[int] = []
    ints: list[int] = []
    for number_, start, stop in fields(data, at, end):
        if number_ == _TENSOR_DIMS:
            shape += integers(data, start, stop)
        elif number_ == _TENSOR_TYPE:
            kind = start
        elif number_ == _TENSOR_NAME:
            name = data[start:stop].decode()
        elif stop - start > 8 * _SMALL:
            continue  # weights
        elif number_ == _TENSOR_RAW:
            raw = data[start:stop]
        elif number_ == _TENSOR_FLOATS:
            floats += data[start:stop]
        elif number_ == _TENSOR_INTS:
            ints += integers(data, start, stop)
    values: NDArray[Any] | None = None
    size = int(np.prod(shape, dtype=np.int64))
    if kind in _TYPES and size <= _SMALL:
        if raw:
            values = np.frombuffer(raw, np.dtype(_TYPES[kind]).newbyteorder("<"))
        elif floats and kind == _FLOAT:
            values = np.frombuffer(floats, "<f4")
        elif ints and kind == _INT64:
            values = np.array(ints, np.int64)
        if values is not None:
            values = values.reshape(shape) if values.size == size else None
    return name, Tensor(tuple(shape), kind, values)


def _text(data: bytes | mmap.mmap, at: int, end: int, wanted: int) -> str:
    return next(
        data[start:stop].decode() for number_, start, stop in fields(data, at, end) if number_ == wanted
    )


def _attribute(name: str, kind: int, value: bytes) -> bytes:
    parts = (*text(_ATTRIBUTE_NAME, name), value, number(_ATTRIBUTE_TYPE, kind))
    return b"".join(delimited(_NODE_ATTRIBUTE, parts))


def _value(name: str) -> bytes:
    return b"".join(text(_VALUE_NAME, name))


def _opset(domain: str, version: int) -> Sequence[Part]:
    return delimited(_MODEL_OPSET, (*text(_OPSET_DOMAIN, domain), number(_OPSET_VERSION, version)))
