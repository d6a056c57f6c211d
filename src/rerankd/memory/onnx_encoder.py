"""The encoder of the memory with ONNX Runtime: the first token's last hidden state, normalised."""

import re
from pathlib import Path
from typing import Any, Self

import numpy as np
import onnxruntime as ort  # type: ignore[import-untyped]

from rerankd.backends.cpu import int8_path, overflows_int8
from rerankd.errors import BackendError
from rerankd.memory.embedder import Run, Vector
from rerankd.memory.vectors import DIMENSIONS
from rerankd.models.embedders import resolve_embedder
from rerankd.models.pairs import CHARACTERS_PER_TOKEN

__all__ = ["OnnxEncoder"]

_QUIET = 4
_INPUTS = {"input_ids", "attention_mask", "token_type_ids"}
_SURROGATE = re.compile("[\ud800-\udfff]")


class OnnxEncoder:
    """The `TextEncoder` port over one session of one thread, shared by the embedder's threads."""

    def __init__(self, id: str, onnx: Path, tokenizer: Path, *, max_tokens: int, query_prefix: str) -> None:
        """Raises `BackendError` naming the file that cannot be loaded."""
        self.id = id
        self._prefix = query_prefix
        self._characters = max_tokens * CHARACTERS_PER_TOKEN
        self._session = _session(onnx)
        self._inputs = [each.name for each in self._session.get_inputs()]
        if not set(self._inputs) <= _INPUTS:
            raise BackendError(f"{onnx}: wants other inputs than {', '.join(sorted(_INPUTS))}")
        self._output = self._session.get_outputs()[0].name
        self._tokenizer = _tokenizer(tokenizer, max_tokens)
        try:
            size = self.encode("a", query=False, run=Run()).shape
        except BackendError as error:
            raise BackendError(f"{onnx}: {error}") from None
        if size != (DIMENSIONS,):
            raise BackendError(f"{onnx}: gives vectors of shape {size}; the store keeps {DIMENSIONS} numbers")

    @classmethod
    def load(cls, name: str) -> Self:
        """The embedder of an id or a folder, its files found and verified."""
        files = resolve_embedder(name)
        return cls(
            files.id,
            files.onnx,
            files.tokenizer,
            max_tokens=files.max_tokens,
            query_prefix=files.query_prefix,
        )

    def encode(self, text: str, *, query: bool, run: Run) -> Vector:
        asked = ((self._prefix if query else "") + text)[: self._characters]
        # encode_batch, unlike encode, lets other threads run meanwhile
        encoding = self._tokenizer.encode_batch_fast([_SURROGATE.sub("\N{REPLACEMENT CHARACTER}", asked)])[0]
        ids = np.asarray([encoding.ids], np.int64)
        feed = {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}
        options = ort.RunOptions()
        options.log_severity_level = _QUIET

        def end() -> None:
            options.terminate = True

        run.end_native = end
        if run.ended:  # by somebody who did not see the line above
            raise BackendError("nobody waits for this text any more")
        try:
            (states,) = self._session.run(
                [self._output], {name: feed[name] for name in self._inputs}, options
            )
        except Exception as error:
            # its own exceptions share no base class; their words name nodes and shapes, never values
            raise BackendError(f"embedding failed: {' '.join(str(error).split())[:300]}") from error
        vector = states.reshape(-1, states.shape[-1])[0].astype(np.float32)
        norm = float(np.linalg.norm(vector))
        if not np.isfinite(norm) or norm == 0:
            raise BackendError("embedding failed: the vector is not finite or zero")
        return vector / norm

    def close(self) -> None:
        """The session goes with the last reference to it."""


def _session(path: Path) -> Any:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.enable_mem_pattern = False  # nearly every text has its own shape
    options.log_severity_level = _QUIET
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.inter_op.allow_spinning", "0")
    if overflows_int8(int8_path()):
        options.add_session_config_entry("session.x64quantprecision", "1")
    try:
        return ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise BackendError(f"{path}: cannot be loaded: {' '.join(str(error).split())[:300]}") from error


def _tokenizer(path: Path, max_tokens: int) -> Any:
    from tokenizers import Tokenizer

    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:
        raise BackendError(f"{path}: cannot be understood: {str(error)[:200]}") from error
    tokenizer.no_padding()
    tokenizer.enable_truncation(max_tokens)
    return tokenizer
