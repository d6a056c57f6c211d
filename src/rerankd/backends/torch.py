"""Scores with PyTorch: safetensors checkpoints, made for CUDA; the same lines run on the CPU device.

The engine hands over up to `max_batch_tokens` at once; here they are split into batches of similar length where
that saves more padding than a batch costs. Two batches may be in flight, each on a lane (a CUDA stream) of its own,
so that copying and launching one hides behind the computing of the other; inputs are copied from pinned memory
without waiting. Half precision scores a pair within 2e-2 of fp32, whoever shares its batch, which the ranking takes
as batch-invariant.

A batch cannot be ended half-way: there are no nodes to stop between. The token budget is what keeps it short, and
none is begun once nobody waits.
"""

import contextlib
import logging
import math
import queue
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import torch

from rerankd.backends.batches import MOST_PAIRS, batches
from rerankd.backends.cpu import usable_cores
from rerankd.backends.devices import CPU, Device
from rerankd.backends.failures import translated, words
from rerankd.backends.token_budget import TokenBudget
from rerankd.backends.torch_checkpoint import WEIGHTS, check_files, config_of, network_of, precisions
from rerankd.core.ports import ScorerTraits, Stop
from rerankd.core.types import Activation, Pair
from rerankd.errors import BackendError, OutOfMemory

__all__ = ["TorchScorer"]

_log = logging.getLogger(__name__)

IN_FLIGHT = 2
"""Batches at once, on CUDA."""
MOST_TOKENS = 32_768
FEWEST_TOKENS = 1_024
BYTES_A_TOKEN = 96 * 1024
"""What a padded token needs of the device's memory while it is computed, generously: of a model of 384 hidden
units the widest layer holds 1536 values a token, and attention over 512 tokens 12 x 512, in fp32."""
MEMORY_SHARE = 0.5
"""How much of the free memory the batches in flight may need together; others may want some, too."""
CPU_TOKENS = 2_048
OVERHEAD_TOKENS = {"cuda": 8_192, "cpu": 64}
"""What a batch costs besides its tokens. On CUDA some two hundred launches, in which a large card computes so many
tokens of a small model; `make gpu-report` draws pairs a second over lengths and budgets, from which to judge it."""
WARM_UP_TOKENS = (8, 64, 128, 256, 512)

_FAILURES = (RuntimeError, MemoryError, IndexError)
"""What the library raises when a batch fails."""
_Flying = tuple["_Lane", list[int], torch.Tensor]
_Lane = torch.cuda.Stream | None
"""Where a batch is computed; None: on the CPU, where there is nothing to choose."""


class TorchScorer:
    """The `Scorer` port over one sequence-classification checkpoint. Thread-safe."""

    def __init__(
        self,
        network: torch.nn.Module,
        *,
        model: str,
        device: Device = CPU,
        max_batch_tokens: int = CPU_TOKENS,
        activation: Activation = "sigmoid",
        pad_id: int = 0,
        typed: bool = True,
    ) -> None:
        """`network` lies on the device already. `typed`: whether it takes token type ids."""
        self._network: torch.nn.Module | None = network
        self._device = torch.device(str(device))
        self._pad_id = pad_id
        self._typed = typed
        self._cuda = device.kind == "cuda"
        self._overhead = OVERHEAD_TOKENS[device.kind]
        self._lanes: queue.LifoQueue[_Lane] = queue.LifoQueue()
        self._budget = TokenBudget(max_batch_tokens)
        for _ in range(IN_FLIGHT):
            self._lanes.put(torch.cuda.Stream(self._device) if self._cuda else None)  # type: ignore[no-untyped-call]
        self._traits = ScorerTraits(
            model=model,
            device=str(device),
            concurrency=IN_FLIGHT if self._cuda else 1,
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
        dtypes: Sequence[torch.dtype] = (),
        max_batch_tokens: int = 0,
    ) -> Self:
        """Load `config.json` and `model.safetensors` of a folder, and run it at several lengths to warm it up.

        `dtypes`: to be tried in this order until scores are finite; empty: as `precisions` says. `max_batch_tokens`
        0: as the device's free memory allows. Neither pickles nor code of the checkpoint are ever loaded. Raises
        `BackendError` naming the file for anything that is no cross-encoder with one score a pair, and when it does
        not fit the device.
        """
        check_files(folder)
        config = config_of(folder)
        if device.kind == "cpu":
            torch.set_num_threads(usable_cores())
        try:
            dtypes = dtypes or precisions(device, getattr(config, "dtype", None))
            budget = max_batch_tokens or _budget(device)
        except (RuntimeError, AssertionError) as error:
            raise BackendError(f"{folder}: cannot be loaded on {device}: {words(error)}") from error
        for dtype in dtypes:
            scorer = cls(
                network_of(folder, config, device, dtype),
                model=model,
                device=device,
                max_batch_tokens=budget,
                activation=activation,
                pad_id=pad_id,
                typed=getattr(config, "type_vocab_size", 0) > 1,
            )
            if scorer._warm_up(max_tokens, full=device.kind == "cuda" or max_batch_tokens > 0):
                _log.info("model %s: loaded on %s as %s", model, device, str(dtype).removeprefix("torch."))
                return scorer
            scorer.close()
            _log.warning("model %s: scores as %s are not finite on %s", model, dtype, device)
        raise BackendError(f"{folder / WEIGHTS}: gives no finite scores on {device}")

    @property
    def traits(self) -> ScorerTraits:
        return self._traits

    def score(self, pairs: Sequence[Pair], stop: Stop) -> list[float]:
        """One logit a pair, in order; fewer once `stop` has fired.

        A batch that does not fit is split; only when a single pair does not fit, `OutOfMemory` is raised, else
        `DeviceLost` or `BackendError`; none carries text.
        """
        return self._score([_ids(pair) for pair in pairs], [pair.type_ids for pair in pairs], stop)

    def close(self) -> None:
        self._network = None  # a run under way holds its own reference
        if self._cuda:
            with contextlib.suppress(RuntimeError):  # a device that was lost
                torch.cuda.empty_cache()

    # -- batches ----------------------------------------------------------------------------------------

    def _score(
        self, ids: Sequence[Sequence[int]], types: Sequence[Sequence[int] | None], stop: Stop | None
    ) -> list[float]:
        scores = [math.nan] * len(ids)
        waiting = deque(self._split(range(len(ids)), ids))
        flying: deque[_Flying] = deque()
        try:
            while waiting or flying:
                if stop is not None and stop.stopped:
                    return []
                if not waiting:
                    self._land(flying.popleft(), scores)
                    continue
                lane = self._lane(flying, scores)
                positions = waiting.popleft()
                try:
                    logits = self._launch(
                        lane, [ids[at] for at in positions], [types[at] for at in positions]
                    )
                except _FAILURES as error:
                    self._give_way(error, [len(ids[at]) for at in positions])
                    waiting.extendleft(reversed(self._split(positions, ids)))
                else:
                    flying.append((lane, positions, logits))
        except _FAILURES as error:
            raise translated(error, len(ids)) from error
        finally:
            for lane, _, _ in flying:
                self._lanes.put(lane)
        return scores

    def _split(self, positions: Sequence[int], ids: Sequence[Sequence[int]]) -> list[list[int]]:
        lengths = [len(ids[at]) for at in positions]
        found = batches(lengths, most_tokens=self._budget.tokens, overhead_tokens=self._overhead)
        return [[positions[at] for at in batch] for batch in found]

    def _give_way(self, error: Exception, lengths: Sequence[int]) -> None:
        """A batch could not be begun. Where it ran out of memory, the next ones are smaller; else raise."""
        memory = isinstance(translated(error, len(lengths)), OutOfMemory)
        if memory and self._cuda:
            torch.cuda.empty_cache()  # what is free in pieces may be enough in one
        if not memory or len(lengths) == 1:
            raise error
        self._budget.ran_out(len(lengths) * max(lengths))

    def _lane(self, flying: deque[_Flying], scores: list[float]) -> _Lane:
        """A free lane. Whoever has batches in flight lands those first, so that no two wait for each other."""
        while True:
            with contextlib.suppress(queue.Empty):
                return self._lanes.get(block=not flying)
            self._land(flying.popleft(), scores)

    def _launch(
        self, lane: _Lane, ids: Sequence[Sequence[int]], types: Sequence[Sequence[int] | None]
    ) -> torch.Tensor:
        """Begin one batch; on CUDA this does not wait for it. One that fails leaves its lane free."""
        network = self._network
        try:
            if network is None:
                raise BackendError("the scorer is closed")
            with torch.inference_mode(), _on(lane):
                logits = network(**self._feed(ids, types)).logits
                if logits.shape != (len(ids), 1):
                    raise BackendError(f"the model gave {tuple(logits.shape)} for {len(ids)} pair(s)")
                return logits[:, 0].float()  # type: ignore[no-any-return]
        except BaseException:
            self._lanes.put(lane)
            raise

    def _land(self, flown: _Flying, scores: list[float]) -> None:
        """Wait for a batch, and write its scores down. The interpreter lock is free meanwhile."""
        lane, positions, logits = flown
        try:
            with _on(lane):
                for at, score in zip(positions, logits.tolist(), strict=True):
                    scores[at] = float(score)
            self._budget.went_well()
        finally:
            self._lanes.put(lane)

    def _feed(
        self, ids: Sequence[Sequence[int]], types: Sequence[Sequence[int] | None]
    ) -> dict[str, torch.Tensor]:
        """All inputs in one buffer, so that one copy takes them to the device."""
        longest = max(map(len, ids))
        host = torch.zeros((3, len(ids), longest), dtype=torch.int64, pin_memory=self._cuda)
        rows = host.numpy()
        rows[0] = self._pad_id
        for at, (row, kinds) in enumerate(zip(ids, types, strict=True)):
            rows[0, at, : len(row)] = row
            rows[1, at, : len(row)] = 1
            if kinds is not None:
                rows[2, at, : len(row)] = kinds
        on_device = host.to(self._device, non_blocking=True)
        feed = {"input_ids": on_device[0]}
        if any(
            len(row) < longest for row in ids
        ):  # without a mask the faster kernel is taken, and nothing waits
            feed["attention_mask"] = on_device[1]
        if self._typed:
            feed["token_type_ids"] = on_device[2]
        return feed

    def _warm_up(self, max_tokens: int, *, full: bool) -> bool:
        """Run at several lengths, on each lane; tells whether all scores are finite.

        One pair and, if `full`, a batch's fill of equal pairs, and one with a mask. A device that has not the
        memory for that begins with a smaller budget. Raises as `score` does.
        """
        scores: list[float] = []
        for _ in range(self._traits.concurrency):
            for tokens in WARM_UP_TOKENS:
                for lengths in self._trials(min(tokens, max_tokens), full=full):
                    scores += self._score(
                        [[self._pad_id] * each for each in lengths], [None] * len(lengths), None
                    )
            self._turn()
        return all(map(math.isfinite, scores))

    def _trials(self, length: int, *, full: bool) -> list[list[int]]:
        """The lengths of the pairs of each batch to be run with the longest of them so long."""
        fill = min(MOST_PAIRS, self._budget.tokens // length) if full else 1
        found = [[length]]
        if fill > 1:
            found.append([length] * fill)
            # one token less in one row makes a mask, which takes other kernels, and is too little to be split for
            found.append([length] * (fill - 1) + [max(1, length - 1)])
        return found

    def _turn(self) -> None:
        """Put the free lane that would be taken last on top: batches that come one by one all take the same."""
        for lane in [self._lanes.get() for _ in range(IN_FLIGHT)]:
            self._lanes.put(lane)


def _on(lane: _Lane) -> contextlib.AbstractContextManager[Any]:
    return contextlib.nullcontext() if lane is None else torch.cuda.stream(lane)


def _budget(device: Device) -> int:
    """Padded tokens of one batch, from the memory that is free now."""
    if device.kind == "cpu":
        return CPU_TOKENS
    free, _ = torch.cuda.mem_get_info(str(device))
    return _fitting(free)


def _fitting(free_bytes: int) -> int:
    fitting = int(free_bytes * MEMORY_SHARE / IN_FLIGHT / BYTES_A_TOKEN)
    return max(FEWEST_TOKENS, min(MOST_TOKENS, fitting))


def _ids(pair: Pair) -> Sequence[int]:
    if pair.ids is None:
        raise BackendError("a pair came without token ids")
    return pair.ids
