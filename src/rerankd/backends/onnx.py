"""Scores with ONNX Runtime, on the CPU or on CUDA.

On the CPU one unpadded pair a run is the fastest: one session of one thread, shared by as many worker
threads as there are usable cores. Measured on two cores with the embedded int8 model and 24 candidates of
83 tokens in the mean and up to 402, as CPU time a query; memory is that of the process, with runs of 512
tokens among them:

    arena                       469 ms      stays at 222 MB
    no arena                    485 ms      peaks of 290 to 390 MB
    arena, shrunk at each run   466 ms      peaks of 270 to 320 MB
    x64quantprecision           777 ms      so only where the CPU needs it to be right

so the arena stays on and is never shrunk. Inputs that are constant (mask, types) are slices of one array:
that saves some microseconds of a run of 16 ms, and holds the interpreter lock for as much less.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import onnxruntime as ort  # type: ignore[import-untyped]
from numpy.typing import NDArray
from onnxruntime.capi import onnxruntime_pybind11_state as native  # type: ignore[import-untyped]

from rerankd.backends.cpu import int8_path, overflows_int8, usable_cores
from rerankd.backends.devices import CPU, Device
from rerankd.backends.failures import translated, words
from rerankd.core.ports import ScorerTraits, Stop
from rerankd.core.types import Activation, Pair
from rerankd.errors import BackendError, DeviceLost

__all__ = ["OnnxScorer", "evaluate"]

_log = logging.getLogger(__name__)

CUDA_BATCH_TOKENS = 16_384
"""Padded tokens of one run on CUDA: enough to fill the device, little enough to end soon."""

CUDA_WARM_UP_TOKENS = (16, 64, 128, 256, 512)
"""Lengths that are run once on CUDA, where the first run of a kind loads kernels and makes room in the arena."""

_INPUTS = ("input_ids", "attention_mask", "token_type_ids")
_SLOWER = ["SkipLayerNormFusion"]
"""What ONNX Runtime fuses to its own disadvantage: on the CPU the fused node takes 280 us for 72 rows of 384, an
addition and a layer normalisation 43."""
_TYPES = {"tensor(int64)": np.int64, "tensor(int32)": np.int32}
_QUIET = 4  # fatal only: an ended run is no error, and errors are raised anyway
_ERRORS: tuple[type[Exception], ...] = (
    *(each for each in vars(native).values() if isinstance(each, type) and issubclass(each, Exception)),
    RuntimeError,
    ValueError,
    MemoryError,
)
"""What the library raises; its own exceptions share no base class."""


@dataclass(frozen=True, slots=True)
class _Input:
    name: str
    dtype: Any


class OnnxScorer:
    """The `Scorer` port over one ONNX Runtime session. Thread-safe."""

    def __init__(
        self,
        session: ort.InferenceSession,
        *,
        model: str,
        device: Device = CPU,
        concurrency: int = 1,
        batch_invariant: bool = False,
        activation: Activation = "sigmoid",
        pad_id: int = 0,
        alone: bool = False,
    ) -> None:
        """`pad_id` fills the rows of shorter pairs where pairs share a run; `alone`: they never may.

        Raises `BackendError` naming the model when the graph is not that of a reranker: with an input that is
        not known, or with more than one score for a pair.
        """
        self._session: ort.InferenceSession | None = session
        self._inputs = _inputs(session, model)
        self._output = _output(session)
        self._pad_id = pad_id
        self._together = batch_invariant and not alone
        self._constants: dict[tuple[int, Any], NDArray[Any]] = {}
        self._traits = ScorerTraits(
            model=model,
            device=str(device),
            concurrency=concurrency,
            batch_invariant=batch_invariant,
            max_batch_tokens=CUDA_BATCH_TOKENS if self._together and device.kind == "cuda" else 0,
            interruptible=True,
            activation=activation,
            local=True,
        )

    @classmethod
    def load(
        cls,
        path: Path,
        *,
        model: str,
        device: Device = CPU,
        concurrency: int = 0,
        batch_invariant: bool = False,
        activation: Activation = "sigmoid",
        pad_id: int = 0,
        lean: bytes | None = None,
        unfused: bool = False,
    ) -> Self:
        """Open the file and run it once, on CUDA at several lengths.

        `concurrency` 0: as many runs at once as suit the device.

        `lean`: the file's graph in the form that `rerankd.models.rewriting` gives it, to be run instead.
        `unfused`: leave out what ONNX Runtime's optimiser makes slower on a CPU; scores change by rounding.

        Raises `BackendError` naming the file when it cannot be loaded, when the device's provider does not
        start, or when it does not give one score a pair.
        """
        session = _open(path, device, lean, unfused)
        scorer = cls(
            session,
            model=model,
            device=device,
            concurrency=concurrency or (usable_cores() if device.kind == "cpu" else 1),
            batch_invariant=batch_invariant,
            activation=activation,
            pad_id=pad_id,
            alone=lean is not None,
        )
        try:
            scorer._run([[0, 0, 0, 0]], [[0, 0, 0, 0]], ort.RunOptions())
            if device.kind == "cuda":
                scorer._warm_up()
        except BackendError as error:
            raise BackendError(f"{path}: {error}") from error
        _log.info("model %s: loaded on %s%s", model, device, "" if lean is None else ", in its lean form")
        return scorer

    @property
    def traits(self) -> ScorerTraits:
        return self._traits

    def score(self, pairs: Sequence[Pair], stop: Stop) -> list[float]:
        """One logit a pair, in order; fewer once `stop` has fired, which ends a run between two of its nodes.

        Pairs share a run where the file is batch-invariant; else each has its own. Raises `OutOfMemory`,
        `DeviceLost` or `BackendError`; none carries text.
        """
        groups = [pairs] if self._together and pairs else [[pair] for pair in pairs]
        run = _Interruptible(stop)
        scores: list[float] = []
        for group in groups:
            options = run.begin()
            if options is None:
                break
            ids, types = [_ids(pair) for pair in group], [pair.type_ids for pair in group]
            try:
                scores += self._run(ids, types, options)
            except BackendError:
                if stop.stopped:
                    break
                raise
        return scores

    def close(self) -> None:
        self._session = None  # a run under way holds its own reference

    def _warm_up(self) -> None:
        """Run one pair of each length and, where pairs share a run, two of unequal length. Raises `DeviceLost`."""
        for tokens in CUDA_WARM_UP_TOKENS:
            for lengths in ((tokens,), (tokens, tokens - 1)) if self._together else ((tokens,),):
                try:
                    self._run([[0] * each for each in lengths], [None] * len(lengths), ort.RunOptions())
                except DeviceLost:
                    raise
                except BackendError as error:  # a model of shorter texts, or little memory: scoring will tell
                    _log.info("warmed up to less than %d tokens: %s", tokens, error)
                    return

    def _run(
        self, ids: Sequence[Sequence[int]], types: Sequence[Sequence[int] | None], options: ort.RunOptions
    ) -> list[float]:
        session = self._session
        if session is None:
            raise BackendError("the scorer is closed")
        options.log_severity_level = _QUIET
        feed = {each.name: self._fill(each, ids, types) for each in self._inputs}
        try:
            (result,) = session.run([self._output], feed, options)
        except _ERRORS as error:
            raise translated(error, len(ids)) from error
        if result.size != len(ids):
            raise BackendError(
                f"the graph's output {self._output!r} has shape {result.shape} for {len(ids)} pair(s):"
                " a reranker gives one score a pair"
            )
        return [float(score) for score in result.reshape(-1)]

    def _fill(
        self, each: _Input, ids: Sequence[Sequence[int]], types: Sequence[Sequence[int] | None]
    ) -> NDArray[Any]:
        if each.name == "input_ids":
            return _rows(ids, self._pad_id, each.dtype)
        if each.name == "attention_mask" and len(ids) == 1:
            return self._constant(1, len(ids[0]), each.dtype)
        if each.name == "attention_mask":
            longest = max(map(len, ids))
            lengths = np.array([[len(row)] for row in ids])
            return (np.arange(longest)[None, :] < lengths).astype(each.dtype)
        if len(ids) == 1 and types[0] is None:
            return self._constant(0, len(ids[0]), each.dtype)
        return _rows(
            [[0] * len(row) if given is None else given for row, given in zip(ids, types, strict=True)],
            0,
            each.dtype,
        )

    def _constant(self, value: int, length: int, dtype: Any) -> NDArray[Any]:
        """A row of one value: the start of a longer one that is made once. ONNX Runtime only reads it."""
        row = self._constants.get((value, dtype))
        if row is None or row.shape[1] < length:
            row = np.full((1, max(512, length)), value, dtype)
            self._constants[value, dtype] = row  # two threads may both make it; either will do
        return row[:, :length]


class _Interruptible:
    """Lets a `Stop` end whichever run is under way. Run options stay latched, so each run has its own."""

    def __init__(self, stop: Stop) -> None:
        self._stop = stop
        self._options: ort.RunOptions | None = None
        stop.on_stop(self._end)

    def begin(self) -> ort.RunOptions | None:
        """Options for the next run; None when there is none to be."""
        self._options = options = ort.RunOptions()
        # a stop that fired before the line above has ended the run before, but is seen here
        return None if self._stop.stopped else options

    def _end(self) -> None:
        if self._options is not None:
            self._options.terminate = True


def evaluate(graph: bytes, output: str, tokens: int) -> NDArray[Any]:
    """Run a small graph once, with inputs of ones for so many tokens. Raises `BackendError`."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = _QUIET
    try:
        session = ort.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
        feed = {each.name: np.ones((1, tokens), each.dtype) for each in _inputs(session, "a part of it")}
        (values,) = session.run([output], feed)
    except _ERRORS as error:
        raise BackendError(f"a part of the graph cannot be run: {words(error)}") from error
    return np.asarray(values)


def _open(path: Path, device: Device, lean: bytes | None, unfused: bool) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.enable_mem_pattern = False  # it is planned for each shape, and nearly every pair has its own
    options.enable_cpu_mem_arena = True
    options.log_severity_level = _QUIET
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.inter_op.allow_spinning", "0")
    providers: list[Any] = ["CPUExecutionProvider"]
    if device.kind == "cuda":
        if hasattr(ort, "preload_dlls"):
            ort.preload_dlls()  # CUDA and cuDNN as the pip packages of NVIDIA install them
        providers.insert(0, ("CUDAExecutionProvider", {"device_id": str(device.index)}))
    elif overflows_int8(int8_path()):
        options.add_session_config_entry("session.x64quantprecision", "1")
    without = {"disabled_optimizers": _SLOWER} if unfused else {}
    try:
        session = ort.InferenceSession(
            str(path) if lean is None else lean, options, providers=providers, **without
        )
    except _ERRORS as error:
        raise BackendError(f"{path}: cannot be loaded on {device}: {words(error)}") from error
    if device.kind == "cuda" and "CUDAExecutionProvider" not in session.get_providers():
        raise BackendError(f"{path}: cannot be loaded on {device}: CUDA or cuDNN is missing or too old")
    return session


def _inputs(session: ort.InferenceSession, model: str) -> tuple[_Input, ...]:
    found = []
    for each in session.get_inputs():
        if each.name not in _INPUTS or each.type not in _TYPES:
            raise BackendError(
                f"{model}: the graph wants an input {each.name!r} of {each.type};"
                f" known are {', '.join(_INPUTS)} of {', '.join(_TYPES)}"
            )
        found.append(_Input(each.name, _TYPES[each.type]))
    return tuple(found)


def _output(session: ort.InferenceSession) -> str:
    names = [each.name for each in session.get_outputs()]
    return "logits" if "logits" in names else str(names[0])


def _ids(pair: Pair) -> Sequence[int]:
    if pair.ids is None:
        raise BackendError("a pair came without token ids")
    return pair.ids


def _rows(rows: Sequence[Sequence[int]], fill: int, dtype: Any) -> NDArray[Any]:
    if len(rows) == 1:
        return np.asarray(rows[0], dtype)[None, :]
    filled = np.full((len(rows), max(map(len, rows))), fill, dtype)
    for at, row in enumerate(rows):
        filled[at, : len(row)] = row
    return filled
