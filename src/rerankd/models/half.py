"""The carried int8 file in half precision, for CUDA: made once, kept in the data folder.

int8 with scales taken at run time is slower on CUDA than fp16, and less exact (0.07 times the speed of fp32 in
sentence-transformers' own table: https://sbert.net/docs/cross_encoder/usage/efficiency.html). So where neither the
hub nor its cache has another form of the model, the carried one is turned back into numbers.

A folder appears as a whole or not at all, and its name has the digest of what it was made from in it.
"""

import json
import logging
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from rerankd.errors import BackendError
from rerankd.models.digest import sha256_of, short
from rerankd.models.locate import TOKENIZER
from rerankd.models.lock import TrustLock
from rerankd.models.registry import Carried, KnownModel

__all__ = ["CHECKPOINT_FILES", "GRAPH", "half_checkpoint", "half_graph", "write_checkpoint"]

_log = logging.getLogger(__name__)

GRAPH = "model.onnx"
CHECKPOINT_FILES = ("config.json", "model.safetensors", TOKENIZER)

_Write = Callable[[Path, Path], None]
"""Writes into the second path what it makes of the ONNX file at the first."""


def half_graph(known: KnownModel, data_dir: Path | None, *, make: bool) -> Path | None:
    """The folder with `model.onnx` in fp16 and `tokenizer.json`; None: it is not there and was not made.

    Raises `BackendError` when it should be made and cannot be.
    """
    return _folder(known, data_dir, "onnx-fp16", _write_graph if make else None)


def half_checkpoint(known: KnownModel, data_dir: Path | None, *, make: bool) -> Path | None:
    """The same for the folder with `config.json`, `model.safetensors` and `tokenizer.json`."""
    return _folder(known, data_dir, "torch-fp16", _write_half_checkpoint if make else None)


def write_checkpoint(onnx: Path, folder: Path, *, half: bool) -> None:
    """`config.json` and `model.safetensors` of a dynamically quantised BERT, in fp16 or fp32.

    Raises `BackendError` naming the file for another kind of graph.
    """
    import numpy as np
    from safetensors.numpy import save_file

    from rerankd.models.dequantise import bert_of

    bert = bert_of(onnx)
    kind = np.float16 if half else np.float32
    weights = {name: value.astype(kind) for name, value in bert.weights.items()}
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    config = {**bert.config, "torch_dtype": "float16" if half else "float32"}
    (folder / "config.json").write_text(json.dumps(config, indent=1), encoding="utf-8")


def _write_half_checkpoint(onnx: Path, folder: Path) -> None:
    write_checkpoint(onnx, folder, half=True)


def _write_graph(onnx: Path, folder: Path) -> None:
    from rerankd.models.dequantise import half_graph_of

    (folder / GRAPH).write_bytes(half_graph_of(onnx).SerializeToString())


def _folder(known: KnownModel, data_dir: Path | None, form: str, write: _Write | None) -> Path | None:
    carried = known.carried
    if carried is None or data_dir is None:
        return None
    parent = data_dir / "models" / f"{known.id.replace('/', '--')}-{carried.onnx.sha256[:12]}"
    folder = parent / form
    if not folder.is_dir():
        if write is None:
            return None
        _make(known, carried, data_dir, folder, write)
    return folder


def _make(known: KnownModel, carried: Carried, data_dir: Path, folder: Path, write: _Write) -> None:
    source = _source(known, carried)
    try:
        folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix=folder.name, dir=folder.parent))
        try:
            write(source / carried.onnx.name, scratch)
            shutil.copyfile(source / carried.tokenizer.name, scratch / TOKENIZER)
            TrustLock(data_dir).forget(str(folder.resolve()))
            _place(scratch, folder)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
    except ImportError as error:
        raise BackendError(
            f"{known.id}: its fp16 form cannot be made: pip install 'rerankd[gpu]' ({error})"
        ) from error
    except OSError as error:
        raise BackendError(f"{folder}: cannot be written: {error.strerror or error}") from error
    _log.info("model %s: its carried file was turned into %s, once", known.id, folder)


def _place(scratch: Path, folder: Path) -> None:
    try:
        os.rename(scratch, folder)
    except OSError:
        if not folder.is_dir():  # else another process was quicker
            raise


def _source(known: KnownModel, carried: Carried) -> Path:
    """The folder of the carried files, which are held to their digests: what is made of them is trusted later."""
    from importlib.metadata import PackageNotFoundError, distribution  # slow to import

    try:
        folder = Path(str(distribution(carried.package).locate_file(carried.folder)))
    except PackageNotFoundError:
        raise BackendError(
            f"{known.id}: its fp16 form is made from package {carried.package}, which is not installed"
            f" (pip install 'rerankd[{carried.extra}]')"
        ) from None
    for each in (carried.onnx, carried.tokenizer):
        seen = sha256_of(folder / each.name)
        if seen != each.sha256:
            raise BackendError(
                f"{folder / each.name}: has sha256 {short(seen)}, not {short(each.sha256)} as its package"
                f" {carried.package} carries it; install that anew"
            )
    return folder
