"""What might make a pair faster, each against what is done now, in turns within one process.

    python -m benchmarks.attempts                     all of them: some ten minutes, on an idle machine
    python -m benchmarks.attempts io-binding nice     these only
    python -m benchmarks.attempts --quick             a few turns of each, to see that it runs

A ratio says how many times as fast the attempt is, as the median of the turns: by the time that all workers take
together for a request's pairs, already encoded. For `nice` and `pinned`, which are about the event loop beside busy
workers, it says how many times as short the loop's 99th percentile of lag is, and beside it how many times as many
pairs were scored.
"""

import argparse
import asyncio
import math
import os
import random
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import cycle, islice
from statistics import median
from typing import Any
from unittest.mock import patch

import numpy as np
import onnxruntime as ort  # type: ignore[import-untyped]

from benchmarks.machine import RESULTS, machine, save
from benchmarks.others import Others, cores
from benchmarks.peers.files import carried
from benchmarks.workloads import MIXED, WORKLOADS, Request, Workload, requests
from rerankd.backends.onnx import OnnxScorer
from rerankd.bench.percentiles import percentile
from rerankd.core.types import Pair, Text
from rerankd.engine.stop import StopSignal
from rerankd.reranker import Reranker
from rerankd.settings import Settings
from rerankd.wiring import load_model

__all__ = ["ATTEMPTS"]

LENGTHS = [each for each in WORKLOADS if each.name in ("mixed", "equal-20", "equal-55")]
TOGETHER = 8
"""Pairs of equal length in one run."""
NICE = 5
CALLERS, BUDGET_MS = 4, 250.0
TICK_SECONDS, PAUSE_SECONDS = 0.005, 0.01

Score = Callable[[Sequence[Pair]], list[float]]


# -- the time of a pair -----------------------------------------------------------------------------------------


def load(**changed: bool) -> Any:
    """The default model as the product loads it, but for these session options."""
    made = ort.InferenceSession

    def session(model: Any, options: Any, *arguments: Any, **named: Any) -> Any:
        for name, value in changed.items():
            setattr(options, name, value)
        return made(model, options, *arguments, **named)

    settings = Settings.load().uncached()
    with patch.object(ort, "InferenceSession", session):
        return load_model(settings.model, settings.data_dir)


def plain(scorer: OnnxScorer) -> Score:
    return lambda pairs: scorer.score(pairs, StopSignal(math.inf))


def bound(scorer: OnnxScorer) -> Score:
    """Inputs and output through an IO binding, one for each thread."""
    session, local = scorer._session, threading.local()
    assert session is not None

    def score(pairs: Sequence[Pair]) -> list[float]:
        if not hasattr(local, "binding"):
            local.binding = session.io_binding()
        binding, found = local.binding, []
        for pair in pairs:
            assert pair.ids is not None
            binding.clear_binding_inputs()
            binding.clear_binding_outputs()
            for each in scorer._inputs:
                binding.bind_cpu_input(each.name, scorer._fill(each, [pair.ids], [pair.type_ids]))
            binding.bind_output(scorer._output)
            session.run_with_iobinding(binding, ort.RunOptions())
            found.append(float(binding.copy_outputs_to_cpu()[0].reshape(-1)[0]))
        return found

    return score


class _New(OnnxScorer):
    """Makes every input anew."""

    def _constant(self, value: int, length: int, dtype: Any) -> Any:
        return np.full((1, length), value, dtype)


def made_anew(scorer: OnnxScorer) -> Score:
    again = object.__new__(_New)
    again.__dict__.update(scorer.__dict__)
    return plain(again)


def timed_pairs(now: Score, attempt: Score, asked: Sequence[Sequence[Pair]]) -> list[float]:
    """How many times as fast, a turn each; all workers take pairs as they become free."""
    ratios = []
    with ThreadPoolExecutor(cores()) as pool:
        for number, pairs in enumerate(asked):
            taken: dict[bool, float] = {}
            scores: dict[bool, list[float]] = {}
            for new in (True, False) if number % 2 else (False, True):
                score = attempt if new else now
                begun = time.perf_counter()
                scores[new] = [each for (each,) in pool.map(lambda pair, by=score: by([pair]), pairs)]
                taken[new] = time.perf_counter() - begun
            if not np.allclose(scores[True], scores[False], atol=1e-3):
                raise SystemExit("the attempt has other scores")
            if number >= 2:  # the first warm up
                ratios.append(taken[False] / taken[True])
    return ratios


def pairs_of(model: Any, workload: Workload, rounds: int) -> list[list[Pair]]:
    return [
        [
            pair
            for (pair,) in model.tokenizer.encode(
                Text(each.query), list(map(Text, each.texts)), max_tokens=model.max_tokens
            )
        ]
        for each in islice(requests(workload), rounds + 2)
    ]


def session_attempt(rounds: int, workloads: Sequence[Workload], make: Callable[[], Score]) -> dict[str, Any]:
    model = load()
    now, attempt = plain(model.scorer), make()
    return {each.name: _told(timed_pairs(now, attempt, pairs_of(model, each, rounds))) for each in workloads}


def io_binding(rounds: int, workloads: Sequence[Workload]) -> dict[str, Any]:
    return session_attempt(rounds, workloads, lambda: bound(load().scorer))


def new_inputs(rounds: int, workloads: Sequence[Workload]) -> dict[str, Any]:
    return session_attempt(rounds, workloads, lambda: made_anew(load().scorer))


def no_arena(rounds: int, workloads: Sequence[Workload]) -> dict[str, Any]:
    return session_attempt(rounds, workloads, lambda: plain(load(enable_cpu_mem_arena=False).scorer))


def memory_pattern(rounds: int, workloads: Sequence[Workload]) -> dict[str, Any]:
    return session_attempt(rounds, workloads, lambda: plain(load(enable_mem_pattern=True).scorer))


def together(rounds: int, workloads: Sequence[Workload]) -> dict[str, Any]:
    """Runs of eight pairs cut to one length, of the carried file as it is: the lean form takes one pair. On one
    thread. Their scores are not compared: those of the int8 file depend on who shares a run."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.enable_mem_pattern = False
    session = ort.InferenceSession(str(carried() / "model.onnx"), options, providers=["CPUExecutionProvider"])
    found, model = {}, load()
    for each in workloads:
        ratios = []
        for number, pairs in enumerate(pairs_of(model, each, rounds)):
            length = sorted(len(pair.ids or ()) for pair in pairs)[-TOGETHER]
            ids = [list(pair.ids or ())[:length] for pair in pairs if len(pair.ids or ()) >= length][
                :TOGETHER
            ]
            rows = np.array(ids, np.int64)
            taken = {}
            for new in (True, False) if number % 2 else (False, True):
                begun = time.perf_counter()
                for part in [rows] if new else np.split(rows, len(rows)):
                    types = np.zeros_like(part)
                    session.run(
                        None,
                        {"input_ids": part, "attention_mask": np.ones_like(part), "token_type_ids": types},
                    )
                taken[new] = time.perf_counter() - begun
            if number >= 2:
                ratios.append(taken[False] / taken[True])
        found[each.name] = _told(ratios)
    return found


# -- the event loop beside busy workers -------------------------------------------------------------------------


def nice(rounds: int, workloads: Sequence[Workload]) -> dict[str, Any]:
    """The workers give way to the event loop: a niceness of 5 for each of their threads. Linux only."""

    def give_way(thread: int, _: int) -> None:
        os.setpriority(os.PRIO_PROCESS, thread, NICE)

    return loop_attempt(rounds, give_way)


def pinned(rounds: int, workloads: Sequence[Workload]) -> dict[str, Any]:
    """Each worker on a core of its own; the event loop where it likes. Linux only."""
    mine = sorted(os.sched_getaffinity(0))

    def pin(thread: int, number: int) -> None:
        os.sched_setaffinity(thread, {mine[number % len(mine)]})

    return loop_attempt(rounds, pin)


def loop_attempt(rounds: int, change: Callable[[int, int], None]) -> dict[str, Any]:
    """Turns with the workers as they are, and with each thread changed once (what it cannot take back)."""
    model, lags, pairs = load(), [], []
    with opened(model, None) as now, opened(model, change) as attempt:
        for number in range(rounds + 1):
            taken: dict[bool, tuple[float, float]] = {}
            for new in (True, False) if number % 2 else (False, True):
                taken[new] = asyncio.run(_beside(attempt if new else now))
            if number:
                lags.append(taken[False][0] / taken[True][0])
                pairs.append(taken[True][1] / taken[False][1])
    return {"lag p99": _told(lags), "pairs": _told(pairs)}


@contextmanager
def opened(model: Any, change: Callable[[int, int], None] | None) -> Iterator[Reranker]:
    """A reranker whose worker threads have been changed."""
    before = set(threading.enumerate())
    with Reranker(lambda: model, name="attempt", require_model=True) as reranker:
        hired = [
            each for each in threading.enumerate() if each not in before and each.name == "rerankd-worker"
        ]
        if not hired:
            raise SystemExit("no worker was found")
        for number, thread in enumerate(hired):
            if change is not None and thread.native_id is not None:
                change(thread.native_id, number)
        yield reranker


async def _beside(reranker: Reranker, seconds: float = 3.0) -> tuple[float, float]:
    """How many milliseconds late a tick came (the 99th percentile) while callers never stop; the pairs scored."""
    loop, over, scored, lags = asyncio.get_running_loop(), False, 0, []

    async def caller(asked: Iterator[Request]) -> None:
        nonlocal scored
        while not over:
            request = next(asked)
            scored += (await reranker.arerank(request.query, request.texts, budget_ms=BUDGET_MS)).depth
            await asyncio.sleep(PAUSE_SECONDS)

    some = list(islice(requests(MIXED), 16))
    tasks = [
        asyncio.create_task(caller(cycle(random.Random(each).sample(some, 16)))) for each in range(CALLERS)
    ]
    ends = loop.time() + seconds
    while (begun := loop.time()) < ends:
        await asyncio.sleep(TICK_SECONDS)
        lags.append((loop.time() - begun - TICK_SECONDS) * 1000)
    over = True
    await asyncio.gather(*tasks)
    return max(1e-3, percentile(lags, 99)), max(1, scored)


# ---------------------------------------------------------------------------------------------------------------


def _told(ratios: Sequence[float]) -> dict[str, float]:
    return {"median": median(ratios), "least": min(ratios), "most": max(ratios)}


ATTEMPTS: Mapping[str, tuple[str, Callable[[int, Sequence[Workload]], dict[str, Any]]]] = {
    "io-binding": ("inputs and output through an IO binding", io_binding),
    "new-inputs": ("mask and types made anew for each pair, instead of slices of one array", new_inputs),
    "no-arena": ("no arena", no_arena),
    "memory-pattern": ("arena and memory pattern", memory_pattern),
    "together": (f"{TOGETHER} pairs of equal length in one run", together),
    "nice": (f"workers at niceness {NICE}, the event loop before them", nice),
    "pinned": ("each worker pinned to a core", pinned),
}


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="benchmarks.attempts", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "attempts", nargs="*", metavar="ATTEMPT", help=", ".join(ATTEMPTS) + "; all without it"
    )
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--quick", action="store_true", help="two turns of one length; says nothing")
    arguments = parser.parse_args()
    unknown = [each for each in arguments.attempts if each not in ATTEMPTS]
    if unknown:
        parser.error(f"no such attempt: {', '.join(unknown)}")
    rounds, workloads = (2, LENGTHS[1:2]) if arguments.quick else (arguments.rounds, LENGTHS)
    about, watch, found = machine(), Others(), {}
    print("| attempt | times as fast (least to most) |\n|---|---|", flush=True)
    for name in arguments.attempts or ATTEMPTS:
        title, measure = ATTEMPTS[name]
        found[name] = measure(rounds, workloads)
        cells = [
            f"{what}: {each['median']:.2f} ({each['least']:.2f} to {each['most']:.2f})"
            for what, each in found[name].items()
        ]
        print(f"| {title} | {'; '.join(cells)} |", flush=True)
    others = watch.share()
    print(f"\nOther programs took {others:.0%} of the machine meanwhile.")
    if not arguments.quick:
        save(RESULTS / "attempts.json", {"schema": 1, "machine": about, "others": others, "attempts": found})
    return 0


if __name__ == "__main__":
    sys.exit(main())
