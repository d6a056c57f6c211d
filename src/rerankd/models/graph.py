"""Reads from an ONNX file what must be known before it is run, without running or fully parsing it.

Field numbers: https://github.com/onnx/onnx/blob/main/onnx/onnx.proto
"""

import mmap
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from rerankd.errors import BackendError
from rerankd.models.protobuf import NUMBER, fields

__all__ = ["DISTILLED", "Graph", "Precision", "read_graph"]

Precision = Literal["int8", "fp16", "fp32"]

DISTILLED = "rerankd distill"
"""The producer of a student."""

_MODEL_PRODUCER, _MODEL_GRAPH, _MODEL_FUNCTIONS = 2, 7, 25
_GRAPH_NODE, _GRAPH_INITIALIZER, _GRAPH_SPARSE = 1, 5, 15
_FUNCTION_NODE = 7
_NODE_OPERATOR, _NODE_ATTRIBUTE = 4, 5
_ATTRIBUTE_TENSOR, _ATTRIBUTE_GRAPH, _ATTRIBUTE_TENSORS, _ATTRIBUTE_GRAPHS = 5, 6, 10, 11
_ATTRIBUTE_SPARSE, _ATTRIBUTE_SPARSES = 22, 23
_SPARSE_VALUES, _SPARSE_INDICES = 1, 2
_TENSOR_TYPE, _TENSOR_EXTERNAL, _TENSOR_LOCATION = 2, 13, 14
_TENSOR_VALUES = (4, 5, 7, 9, 10, 11)
_TYPE_FLOAT16, _TYPE_BFLOAT16 = 10, 16
_TYPE_INT8 = (2, 3)


@dataclass(frozen=True, slots=True, kw_only=True)
class Graph:
    """What matters about a graph."""

    precision: Precision
    """What most of its weights are stored in."""
    dynamic: bool
    """Whether activations are quantised with scales taken from the whole run, so that batch-mates matter."""
    producer: str = ""
    """What made the file, as it says itself."""


@dataclass(slots=True)
class _Seen:
    graphs: int = 0
    nodes: int = 0
    external: bool = False
    producer: bytes = b""
    operators: set[bytes] = field(default_factory=set)
    bytes_by_type: dict[int, int] = field(default_factory=dict)


def read_graph(path: Path) -> Graph:
    """Look into an ONNX file.

    Raises `BackendError` naming the file when it is cut short, is no ONNX file, or keeps weights in other
    files: those would be read from wherever the graph points to, unverified.
    """
    seen = _Seen()
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            _model(data, seen)
    except OSError as error:
        raise BackendError(f"{path}: cannot be read: {error.strerror}") from error
    except (ValueError, IndexError, RecursionError) as error:
        raise BackendError(f"{path}: is cut short or not an ONNX file") from error
    if not seen.graphs or not seen.nodes:
        raise BackendError(f"{path}: is cut short or not an ONNX file")
    if seen.external:
        raise BackendError(f"{path}: keeps weights outside the file; only single-file ONNX is loaded")
    weights = seen.bytes_by_type
    int8 = sum(weights.get(kind, 0) for kind in _TYPE_INT8)
    half = weights.get(_TYPE_FLOAT16, 0) + weights.get(_TYPE_BFLOAT16, 0)
    rest = sum(weights.values()) - int8 - half
    precision: Precision = "int8" if int8 > max(half, rest) else "fp16" if half > rest else "fp32"
    dynamic = any(name.startswith(b"DynamicQuantize") for name in seen.operators)
    return Graph(
        precision="int8" if dynamic else precision,
        dynamic=dynamic,
        producer=seen.producer.decode("utf-8", "replace"),
    )


def _model(data: mmap.mmap, seen: _Seen) -> None:
    for number, at, end in fields(data, 0, len(data)):
        if number == _MODEL_GRAPH:
            seen.graphs += 1
            _graph(data, at, end, seen)
        elif number == _MODEL_PRODUCER:
            seen.producer = data[at:end]
        elif number == _MODEL_FUNCTIONS:
            for inner, start, stop in fields(data, at, end):
                if inner == _FUNCTION_NODE:
                    _node(data, start, stop, seen)


def _graph(data: mmap.mmap, at: int, end: int, seen: _Seen) -> None:
    for number, start, stop in fields(data, at, end):
        if number == _GRAPH_NODE:
            _node(data, start, stop, seen)
        elif number == _GRAPH_INITIALIZER:
            _tensor(data, start, stop, seen)
        elif number == _GRAPH_SPARSE:
            _sparse(data, start, stop, seen)


def _node(data: mmap.mmap, at: int, end: int, seen: _Seen) -> None:
    seen.nodes += 1
    for number, start, stop in fields(data, at, end):
        if number == _NODE_OPERATOR:
            seen.operators.add(data[start:stop])
        elif number == _NODE_ATTRIBUTE:
            _attribute(data, start, stop, seen)


def _attribute(data: mmap.mmap, at: int, end: int, seen: _Seen) -> None:
    for number, start, stop in fields(data, at, end):
        if number in (_ATTRIBUTE_TENSOR, _ATTRIBUTE_TENSORS):
            _tensor(data, start, stop, seen)
        elif number in (_ATTRIBUTE_GRAPH, _ATTRIBUTE_GRAPHS):
            _graph(data, start, stop, seen)
        elif number in (_ATTRIBUTE_SPARSE, _ATTRIBUTE_SPARSES):
            _sparse(data, start, stop, seen)


def _sparse(data: mmap.mmap, at: int, end: int, seen: _Seen) -> None:
    for number, start, stop in fields(data, at, end):
        if number in (_SPARSE_VALUES, _SPARSE_INDICES):
            _tensor(data, start, stop, seen)


def _tensor(data: mmap.mmap, at: int, end: int, seen: _Seen) -> None:
    kind = 0
    for number, start, stop in fields(data, at, end):
        if number == _TENSOR_TYPE:
            kind = start
        elif number == _TENSOR_EXTERNAL or (number == _TENSOR_LOCATION and start != 0):
            seen.external = True
        elif number in _TENSOR_VALUES and stop != NUMBER:
            seen.bytes_by_type[kind] = seen.bytes_by_type.get(kind, 0) + (stop - start)
