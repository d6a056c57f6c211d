"""Scores with PyTorch: safetensors checkpoints, made for CUDA; the same lines run on the CPU device.

On a GPU a run is a padded batch of pairs of similar length, up to `max_batch_tokens`. Two runs may be under way
at once, so that copying and tokenising one hides behind the computing of the other; inputs are copied from
pinned memory without waiting. Half precision scores a pair within 2e-2 of fp32, whoever shares its run, which
the ranking takes as batch-invariant.

A run cannot be ended half-way: there are no nodes to stop between. The token budget is what keeps it short.
"""

import json
import logging
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import torch
from transformers import AutoConfig, AutoModelForSequenceClassification
from transformers.utils import logging as library_log

from rerankd.backends.cpu import usable_cores
from rerankd.backends.devices import CPU, Device
from rerankd.core.ports import ScorerTraits, Stop
from rerankd.core.types import Activation, Pair
from rerankd.errors import BackendError, OutOfMemory

__all__ = ["TorchScorer"]

_log = logging.getLogger(__name__)

WEIGHTS = "model.safetensors"
CONFIG = "config.json"

_IN_FLIGHT = 2
_MOST_TOKENS = 32_768
_FEWEST_TOKENS = 1_024
_BYTES_A_TOKEN = 96 * 1024
"""What a padded token needs of the device's memory while it is computed, generously: of a model of 384 hidden
units the widest layer holds 1536 values a token, and attention over 512 tokens 12 x 512, in fp32."""
_MEMORY_SHARE = 0.5
"""How much of the free memory the runs in flight may need together; others may want some, too."""
_WARM_UP_TOKENS = (8, 64, 128, 256, 512)
_CPU_BATCH_TOKENS = 2_048
_MEMORY = re.compile(r"out of memory|failed to allocate|bad_alloc|can't allocate", re.IGNORECASE)


class TorchScorer:
    """The `Scorer` port over one sequence-classification checkpoint. Thread-safe."""

    def __init__(
        self,
        network: torch.nn.Module,
        *,
        model: str,
        device: Device = CPU,
        max_batch_tokens: int = _CPU_BATCH_TOKENS,
        activation: Activation = "sigmoid",
        pad_id: int = 0,
        typed: bool = True,
    ) -> None:
        """`network` lies on the device already. `typed`: whether it takes token type ids."""
        self._network: torch.nn.Module | None = network
        self._device = torch.device(str(device))
        self._pad_id = pad_id
        self._typed = typed
        self._pinned = device.kind == "cuda"
        self._traits = ScorerTraits(
            model=model,
            device=str(device),
            concurrency=_IN_FLIGHT if device.kind == "cuda" else 1,
            batch_invariant=True,
            max_batch_tokens=max_batch_tokens,
            interruptible=False,
            activation=activation,
            local=True,
        )

    @classmethod
    def load(
        cls,
        folder: Path,
        *,
        model: str,
        device: Device = CPU,
        activation: Activation = "sigmoid",
        pad_id: int = 0,
        max_tokens: int = 512,
    ) -> Self:
        """Load `config.json` and `model.safetensors` of a folder, and run it at several lengths to warm it up.

        Neither pickles nor code of the checkpoint are ever loaded. On CUDA the weights are fp16; on the CPU
        fp32, for half precision is slower there. Raises `BackendError` naming the file for anything that is no
        cross-encoder with one score a pair, and when it does not fit the device.
        """
        _check_files(folder)
        library_log.disable_progress_bar()  # type: ignore[no-untyped-call]
        try:
            config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        except (OSError, ValueError, KeyError) as error:
            raise BackendError(f"{folder / CONFIG}: cannot be used: {_words(error)}") from error
        if config.num_labels != 1:
            raise BackendError(
                f"{folder / CONFIG}: has {config.num_labels} labels; a reranker gives one score a pair"
            )
        try:
            network = AutoModelForSequenceClassification.from_pretrained(
                folder,
                config=config,
                local_files_only=True,
                trust_remote_code=False,
                use_safetensors=True,
                attn_implementation="sdpa",
                dtype=torch.float16 if device.kind == "cuda" else torch.float32,
            )
            network = network.eval().to(str(device))
        except (OSError, ValueError, KeyError, RuntimeError, AssertionError) as error:
            raise BackendError(
                f"{folder / WEIGHTS}: cannot be loaded on {device}: {_words(error)}"
            ) from error
        if device.kind == "cpu":
            torch.set_num_threads(usable_cores())
        scorer = cls(
            network,
            model=model,
            device=device,
            max_batch_tokens=_budget(device),
            activation=activation,
            pad_id=pad_id,
            typed=getattr(config, "type_vocab_size", 0) > 1,
        )
        for tokens in _WARM_UP_TOKENS:
            scorer._run([[pad_id] * min(tokens, max_tokens)], [None])
        _log.info("model %s: loaded on %s", model, device)
        return scorer

    @property
    def traits(self) -> ScorerTraits:
        return self._traits

    def score(self, pairs: Sequence[Pair], stop: Stop) -> list[float]:
        """One logit a pair, in order; nothing once `stop` has fired.

        Raises `OutOfMemory` or `BackendError`; neither carries text.
        """
        if stop.stopped or not pairs:
            return []
        return self._run([_ids(pair) for pair in pairs], [pair.type_ids for pair in pairs])

    def close(self) -> None:
        self._network = None  # a run under way holds its own reference
        if self._pinned:
            torch.cuda.empty_cache()

    def _run(self, ids: Sequence[Sequence[int]], types: Sequence[Sequence[int] | None]) -> list[float]:
        network = self._network
        if network is None:
            raise BackendError("the scorer is closed")
        feed = {
            "input_ids": self._rows(ids, self._pad_id),
            "attention_mask": self._rows([[1] * len(row) for row in ids], 0),
        }
        if self._typed:
            given = [[0] * len(row) if each is None else each for row, each in zip(ids, types, strict=True)]
            feed["token_type_ids"] = self._rows(given, 0)
        try:
            with torch.inference_mode():
                logits = network(**feed).logits
                if logits.shape != (len(ids), 1):
                    raise BackendError(f"the model gave {tuple(logits.shape)} for {len(ids)} pair(s)")
                # waits for the device; the interpreter lock is free meanwhile
                return [float(value) for value in logits[:, 0].float().tolist()]
        except (RuntimeError, MemoryError, IndexError) as error:
            raise _translated(error, len(ids)) from error

    def _rows(self, rows: Sequence[Sequence[int]], fill: int) -> torch.Tensor:
        longest = max(map(len, rows))
        filled = torch.full((len(rows), longest), fill, dtype=torch.int64, pin_memory=self._pinned)
        for number, row in enumerate(rows):
            filled[number, : len(row)] = torch.tensor(row, dtype=torch.int64)
        return filled.to(self._device, non_blocking=True)


def _check_files(folder: Path) -> None:
    """Before anything is loaded: what is missing or cut short is named."""
    for name in (CONFIG, WEIGHTS):
        if not (folder / name).is_file():
            raise BackendError(f"{folder / name}: is missing")
    path = folder / WEIGHTS
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        size = path.stat().st_size
        try:
            header: dict[str, Any] = json.loads(file.read(min(length, size)))
            ends = max(
                (each["data_offsets"][1] for name, each in header.items() if name != "__metadata__"),
                default=0,
            )
        except (ValueError, TypeError, KeyError, IndexError, AttributeError):
            raise BackendError(f"{path}: is cut short or no safetensors file") from None
    if size != 8 + length + ends:
        raise BackendError(f"{path}: is cut short: {size:,} bytes of {8 + length + ends:,}")


def _budget(device: Device) -> int:
    """Padded tokens of one run, from the memory that is free now."""
    if device.kind == "cpu":
        return _CPU_BATCH_TOKENS
    free, _ = torch.cuda.mem_get_info(str(device))
    fitting = int(free * _MEMORY_SHARE / _IN_FLIGHT / _BYTES_A_TOKEN)
    return max(_FEWEST_TOKENS, min(_MOST_TOKENS, fitting))


def _ids(pair: Pair) -> Sequence[int]:
    if pair.ids is None:
        raise BackendError("a pair came without token ids")
    return pair.ids


def _translated(error: Exception, pairs: int) -> BackendError:
    kind = OutOfMemory if isinstance(error, MemoryError) or _MEMORY.search(str(error)) else BackendError
    return kind(f"a run of {pairs} pair(s) failed: {_words(error)}")


def _words(error: Exception) -> str:
    """The library's own words: they name layers and shapes, never values."""
    return " ".join(str(error).split())[:300] or type(error).__name__
