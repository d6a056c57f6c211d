"""The quick performance report: a few figures beside what they should be, in under a minute.

    make bench
    python -m benchmarks.quick --json

It informs and never fails: on a busy or small machine a missed figure is no fault of the code.
"""

import argparse
import asyncio
import json
import os
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import islice
from statistics import median

import rerankd
from benchmarks.figures import FIRST_ANSWER, FIRST_ANSWER_SECONDS, started
from benchmarks.workloads import MIXED, Request, requests, token_summary
from rerankd.settings import Settings

__all__: list[str] = []

TICK_SECONDS = 0.005
IMPORT = "import time; t = time.perf_counter(); import rerankd; print((time.perf_counter() - t) * 1e3)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    name: str
    value: float
    unit: str = "ms"
    at_most: float | None = None
    """What it should be; None: for information."""
    note: str = ""

    @property
    def verdict(self) -> str:
        if self.at_most is None:
            return ""
        return f"{'ok' if self.value <= self.at_most else 'MISSED'} (at most {self.at_most:g})"


@dataclass(frozen=True, slots=True)
class Lives:
    """What a saturated second was like."""

    lags_ms: list[float]
    overshoots_ms: list[float]
    depths: list[float]
    outcomes: dict[str, int]


def main() -> None:
    parser = argparse.ArgumentParser(prog="benchmarks.quick", description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--queries", type=int, default=30)
    parser.add_argument("--seconds", type=float, default=10.0, help="how long the model is kept saturated")
    parser.add_argument("--budget-ms", type=float, default=100.0)
    arguments = parser.parse_args()
    figures = []
    load, cores = os.getloadavg()[0], os.cpu_count() or 1
    if not arguments.json:
        busy = (
            "  Others are busy here: the figures are worse than they should be." if load > cores / 4 else ""
        )
        print(f"Load average before: {load:.1f} on {cores} cores.{busy}", flush=True)
    with tempfile.TemporaryDirectory() as data_dir:
        for figure in measure(arguments, Settings.load(data_dir=data_dir).uncached()):
            figures.append(figure)
            if not arguments.json:
                print(
                    f"{figure.name:46} {figure.value:9.1f} {figure.unit:3} {figure.verdict:22} {figure.note}",
                    flush=True,
                )
    if arguments.json:
        print(json.dumps([{**asdict(figure), "verdict": figure.verdict} for figure in figures], indent=1))


def measure(arguments: argparse.Namespace, settings: Settings) -> Iterator[Figure]:
    taken = [float(started(IMPORT)) for _ in range(5)]
    yield Figure(name="import rerankd", value=median(taken), at_most=150, note="median of 5 processes")

    begun = time.perf_counter()
    started(FIRST_ANSWER)
    yield Figure(
        name="from nothing to the first answer",
        value=(time.perf_counter() - begun) * 1e3,
        at_most=FIRST_ANSWER_SECONDS * 1e3,
        note="a new process, its model and one query",
    )

    with rerankd.open(settings=settings, require_model=True) as reranker:
        loaded = reranker.status()
        yield Figure(
            name="loading the model",
            value=(loaded.load_seconds or 0) * 1e3,
            at_most=5_000,
            note=loaded.model or "",
        )
        elapsed = []
        for request in islice(requests(MIXED), arguments.queries + 2):
            elapsed.append(reranker.rerank(request.query, request.texts, budget_ms=None).elapsed_ms)
        elapsed = sorted(elapsed[2:])
        note = f"{len(MIXED.words)} candidates, {token_summary(MIXED)}, {loaded.workers} workers"
        yield Figure(name="a query, all of it scored: p50", value=percentile(elapsed, 50), note=note)
        yield Figure(name="a query, all of it scored: p95", value=percentile(elapsed, 95))

    lives = asyncio.run(saturate(settings, arguments.seconds, arguments.budget_ms))
    asked = len(lives.overshoots_ms)
    outcomes = ", ".join(f"{count} {outcome}" for outcome, count in sorted(lives.outcomes.items()))
    yield Figure(
        name="event-loop lag, model saturated: p99",
        value=percentile(lives.lags_ms, 99),
        at_most=10,
        note=f"{len(lives.lags_ms)} ticks",
    )
    yield Figure(name="event-loop lag, model saturated: max", value=max(lives.lags_ms), at_most=25)
    yield Figure(
        name="past the deadline, model saturated: p99.9",
        value=percentile(lives.overshoots_ms, 99.9),
        at_most=10,
        note=f"{asked} requests with {arguments.budget_ms:g} ms each: {outcomes}",
    )
    yield Figure(
        name="depth there, in the mean",
        value=100 * sum(lives.depths) / asked,
        unit="%",
        note="of 24 candidates",
    )


async def saturate(settings: Settings, seconds: float, budget_ms: float) -> Lives:
    """More callers than the machine can serve, and a clock on their event loop."""
    lives = Lives([], [], [], {})
    async with rerankd.open(settings=settings, require_model=True) as reranker:
        end = time.perf_counter() + seconds
        callers = [caller(reranker, requests(MIXED, seed), budget_ms, end, lives) for seed in range(12)]
        await asyncio.gather(clock(end, lives), *callers)
    return lives


async def clock(end: float, lives: Lives) -> None:
    while (begun := time.perf_counter()) < end:
        await asyncio.sleep(TICK_SECONDS)
        lives.lags_ms.append((time.perf_counter() - begun - TICK_SECONDS) * 1e3)


async def caller(
    reranker: rerankd.Reranker, asked: Iterator[Request], budget_ms: float, end: float, lives: Lives
) -> None:
    while time.perf_counter() < end:
        request = next(asked)
        begun = time.perf_counter()
        ranking = await reranker.arerank(request.query, request.texts, budget_ms=budget_ms)
        took = (time.perf_counter() - begun) * 1e3
        lives.overshoots_ms.append(max(0.0, took - budget_ms))
        lives.depths.append(ranking.depth / ranking.candidates_total)
        lives.outcomes[ranking.outcome] = lives.outcomes.get(ranking.outcome, 0) + 1
        # An answer that was refused at once must not turn the callers into a busy loop.
        await asyncio.sleep(max(0.0, (budget_ms - took) / 1e3))


def percentile(values: list[float], percent: float) -> float:
    """The nearest rank: a value that was really measured."""
    ordered = sorted(values)
    return ordered[max(0, -(-len(ordered) * percent // 100).__trunc__() - 1)]


if __name__ == "__main__":
    main()
