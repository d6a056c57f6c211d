"""From a trained network to the files that rerankd loads: fp32 and dynamically quantised int8 ONNX."""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rerankd.errors import BackendError
from rerankd.models.graph import DISTILLED

__all__ = ["FP32", "INPUTS", "INT8", "export", "moved", "scores_of_graph"]

INT8 = "model.onnx"
"""What a CPU runs, and what is taken when the folder is named as a model."""
FP32 = "onnx/model.onnx"
"""Scales nothing by its batch-mates: batch-invariant, and the file for other devices."""
INPUTS = ("input_ids", "attention_mask", "token_type_ids")
_OPSET = 17
"""The lowest with LayerNormalization as one operator."""


def export(network: Any, tokenizer: Path, folder: Path) -> None:
    """Write both graphs and tokenizer.json. A file is whole or is not there; the int8 graph comes last."""
    folder.mkdir(parents=True, exist_ok=True)
    _tokenizer(tokenizer, folder / tokenizer.name)
    plain = folder / FP32
    plain.parent.mkdir(exist_ok=True)
    _graph(network, plain)
    _quantised(plain, folder / INT8)


def moved(source: Path, target: Path) -> None:
    """Put what `export` has written elsewhere on the same disk, the graph that makes the folder a model last."""
    (target / FP32).parent.mkdir(parents=True, exist_ok=True)
    files = [path for path in source.rglob("*") if path.is_file()]
    for path in sorted(files, key=lambda path: path == source / INT8):
        path.replace(target / path.relative_to(source))
    shutil.rmtree(source)


def _tokenizer(source: Path, target: Path) -> None:
    """Without the padding and truncation that a training run may have left in it."""
    declared = json.loads(source.read_text(encoding="utf-8"))
    if not isinstance(declared, dict) or "model" not in declared:
        raise BackendError(f"{source}: is no tokenizer")
    shutil.copyfile(source, target)


def _graph(network: Any, path: Path) -> None:
    import warnings

    import torch

    network.eval()
    one = torch.ones(1, 16, dtype=torch.long)
    partial = path.with_suffix(".partial")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the tracer's remarks on its own deprecation
        torch.onnx.export(
            network,
            (one, one, one),
            str(partial),
            input_names=list(INPUTS),
            output_names=["logits"],
            dynamic_axes={name: {0: "pairs", 1: "tokens"} for name in INPUTS} | {"logits": {0: "pairs"}},
            opset_version=_OPSET,
            dynamo=False,
        )
    partial.replace(path)


def _quantised(plain: Path, path: Path) -> None:
    """Signed weights with one scale a matrix, activations quantised at run time; the word embeddings too.

    The file says who made it: one that went on from a carried student is as large as that one, and would be taken
    for a damaged copy of it.
    """
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic  # type: ignore[import-untyped]

    partial = path.with_suffix(".partial")
    quantize_dynamic(plain, partial, weight_type=QuantType.QInt8)
    model = onnx.load(str(partial))
    model.producer_name = DISTILLED
    onnx.save(model, str(partial))
    partial.replace(path)


def scores_of_graph(path: Path, ids: Sequence[Sequence[int]], types: Sequence[Sequence[int]]) -> list[float]:
    """The logits of pairs, one a run, as the engine does it with a graph whose batch-mates would matter."""
    import numpy as np
    import onnxruntime as ort  # type: ignore[import-untyped]

    session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    logits = []
    for row, kinds in zip(ids, types, strict=True):
        values = (row, [1] * len(row), kinds)
        feed = {name: np.array([value], np.int64) for name, value in zip(INPUTS, values, strict=True)}
        logits.append(float(session.run(None, feed)[0].reshape(-1)[0]))
    return logits
