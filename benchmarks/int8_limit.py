"""What this machine reaches in integer products by themselves: the limit of any int8 model on ONNX Runtime."""

import math
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import onnxruntime as ort  # type: ignore[import-untyped]

__all__ = ["SHAPES", "Limit"]

SHAPES = ((512, 384, 1536), (512, 1536, 384), (1024, 1024, 1024))
"""Rows, then the weights' shape: those of the carried model's widest products, and a large square."""
BURST_SECONDS = 0.012


def product(rows: int, inner: int, outer: int) -> bytes:
    """A graph of one `MatMulInteger` with stored int8 weights, of uint8 activations as in the carried models."""
    from onnx import TensorProto, helper, numpy_helper

    weights = np.random.default_rng(7).integers(-127, 128, (inner, outer), np.int8)
    graph = helper.make_graph(
        [helper.make_node("MatMulInteger", ["a", "b"], ["c"])],
        "product",
        [helper.make_tensor_value_info("a", TensorProto.UINT8, [rows, inner])],
        [helper.make_tensor_value_info("c", TensorProto.INT32, [rows, outer])],
        [numpy_helper.from_array(weights, "b")],
    )
    # an old form, so that every ONNX Runtime that the product allows can read it
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return bytes(made.SerializeToString())


class Limit:
    """One product, for each worker in a session of its own with one thread."""

    def __init__(self, shape: tuple[int, int, int], workers: int) -> None:
        self.shape = shape
        self.operations = 2 * math.prod(shape)
        options = ort.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        graph, dice = product(*shape), np.random.default_rng(8)
        self._sessions = [
            ort.InferenceSession(graph, options, providers=["CPUExecutionProvider"]) for _ in range(workers)
        ]
        self._rows = dice.integers(0, 256, shape[:2], np.uint8)
        begun = time.perf_counter()
        for session in self._sessions:
            session.run(None, {"a": self._rows})
        taken = (time.perf_counter() - begun) / workers
        self._runs = max(1, round(BURST_SECONDS / taken))

    def reached(self, pool: ThreadPoolExecutor, workers: int, bursts: int) -> float:
        """GOPS of so many workers together: the best of the bursts, in each of which all run at once."""
        return max(self._burst(pool, workers) for _ in range(bursts))

    def _burst(self, pool: ThreadPoolExecutor, workers: int) -> float:
        together = threading.Barrier(workers)

        def run(session: Any) -> float:
            together.wait()
            begun = time.perf_counter()
            for _ in range(self._runs):
                session.run(None, {"a": self._rows})
            return time.perf_counter() - begun

        taken = pool.map(run, self._sessions[:workers])
        return sum(self._runs * self.operations / each for each in taken) / 1e9
