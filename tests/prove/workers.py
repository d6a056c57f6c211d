"""Row 5: after the deadline no worker goes on for long, and none begins what will not be ready."""

import random
import time
from collections.abc import Iterator
from typing import Any

import rerankd
from rerankd.core.estimate import Estimate
from rerankd.core.events import Event, RunEnded
from rerankd.errors import BackendError
from tests.prove.line import Line, percentile, seconds
from tests.prove.real import real_load, real_reranker
from tests.prove.simulated import simulated

__all__ = ["measure"]


def measure(quick: bool) -> Iterator[Line]:
    seen = simulated(quick)
    yield Line(
        5,
        "work begun although it was predicted not to end in time, in virtual time",
        "0",
        f"{seen.misfits} of {seen.begun:,}",
        seen.misfits == 0,
    )
    loaded = real_load(quick)
    if loaded is None:
        yield Line(
            5, "a worker is free again after a deadline", "p99 ≤ 15 ms", "the model is not installed", None
        )
        return
    yield Line(
        5,
        "the same with the real model at 70 % and 400 % load",
        "0",
        f"{loaded.misfits} of {loaded.begun:,}",
        loaded.misfits == 0,
    )
    try:
        with real_reranker() as reranker:
            yield _freed(reranker, 30 if quick else 1_000)
    except BackendError as error:
        yield Line(5, "a worker is free again after a deadline", "p99 ≤ 15 ms", str(error), False)


class _Hopeful:
    """Thinks that all work takes a third of its time: else nothing that a deadline cuts off would be begun."""

    def __init__(self, estimate: Estimate) -> None:
        self._estimate = estimate

    def seconds(self, weight: float, now: float, runs: int = 1) -> float:
        return self._estimate.seconds(weight, now, runs) / 3

    def __getattr__(self, name: str) -> Any:
        return getattr(self._estimate, name)


def _freed(reranker: rerankd.Reranker, count: int) -> Line:
    """Long texts, so that the deadline falls into the middle of a run: how long until nobody is busy."""
    workers = reranker._engine.workers
    assert workers is not None
    costs = workers._scheduler.costs
    costs.running = _Hopeful(costs.running)  # type: ignore[assignment]
    draw = random.Random(3)
    texts = [" ".join(draw.choices(_WORDS, k=400)) for _ in range(8)]
    late = []
    stopped = _Stops(reranker)
    for _ in range(count):
        budget = draw.uniform(0.06, 0.45)
        began = time.monotonic()
        reranker.rerank("when will the parcel arrive", texts, budget_ms=budget * 1000)
        while reranker.status().busy:
            time.sleep(0.0002)
        late.append(max(0.0, time.monotonic() - began - budget))
    worst = percentile(late, 0.99)
    return Line(
        5,
        "both workers free again after a deadline in the middle of runs of 512 tokens",
        "p99 ≤ 15 ms",
        f"p50 {seconds(percentile(late, 0.5))}, p99 {seconds(worst)}, max {seconds(max(late))}"
        f" of {count:,} ({stopped.count:,} runs stopped)",
        worst <= 0.015 and stopped.count > count / 2,
        timed=True,
    )


class _Stops:
    """Counts the runs that were ended because nobody waited for them."""

    def __init__(self, reranker: rerankd.Reranker) -> None:
        self.count = 0
        reranker._observers += (self,)

    def on(self, event: Event) -> None:
        self.count += isinstance(event, RunEnded) and event.result == "dropped" and event.seconds > 0


_WORDS = ("parcel", "another", "depot", "monday", "after", "nobody", "delivered", "refund", "address")
