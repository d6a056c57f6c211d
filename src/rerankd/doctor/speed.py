"""How long answers take when nothing cuts them short.

100 queries with 24 candidates of mixed length each, one after another and without a deadline, so that all of
them are fully reranked: a latency that a deadline cut off says nothing about the machine.
"""

import asyncio
from collections.abc import Callable

from rerankd.bench.arrivals import Closed
from rerankd.bench.load import fire
from rerankd.bench.report import LoadReport, summarise
from rerankd.core.answer import Ranking
from rerankd.core.types import Outcome
from rerankd.doctor.check import Check, Profile
from rerankd.reranker import Reranker
from rerankd.sample.workload import requests

__all__ = ["CANDIDATES", "QUERIES", "measure_speed", "speed_checks"]

QUERIES = 100
CANDIDATES = 24
WARM_UP = 3
P50_MS = {Profile.GPU: 50.0}
P95_MS = 150.0
P99_MS = 250.0
QUERIES_A_MINUTE = 100.0

SLOW_CPU = "choose the small model (CROSS_ENCODER_MODEL=small), or give it more cores or fewer candidates"
SLOW_GPU = "look for other processes on the GPU (nvidia-smi), or choose a smaller model"


def measure_speed(
    reranker: Reranker, *, queries: int = QUERIES, done: Callable[[int], None] | None = None
) -> LoadReport:
    """Ask the queries, one after another, without a limit of time. `done` hears how many are done."""
    asked = requests(CANDIDATES)

    async def ask(number: int) -> Ranking:
        query, candidates = next(asked)
        return await reranker.arerank(query, candidates, budget_ms=None)

    return summarise(asyncio.run(fire(ask, queries, Closed(), warm_up=WARM_UP, done=done)))


def speed_checks(profile: Profile, seen: LoadReport) -> list[Check]:
    remedy = SLOW_GPU if profile is Profile.GPU else SLOW_CPU
    share = seen.outcomes[Outcome.RERANKED]
    reasons = "".join(f", {name}" for name in seen.reasons)
    a_minute = seen.throughput * 60
    return [
        Check.of(
            "Fully reranked",
            share == 1.0,
            f"{share:.0%} of {seen.requests} queries with {seen.candidates:.0f} candidates{reasons}",
            "see the log: without a deadline nothing but a broken model leaves one out",
        ),
        _latency(profile, "p50", seen, P50_MS.get(profile), remedy),
        _latency(profile, "p95", seen, P95_MS, remedy),
        _latency(profile, "p99", seen, P99_MS, remedy),
        Check.of(
            "Throughput",
            a_minute >= QUERIES_A_MINUTE,
            f"{a_minute:,.0f} queries a minute, wanted {QUERIES_A_MINUTE:.0f}",
            remedy,
        ),
    ]


def _latency(profile: Profile, name: str, seen: LoadReport, limit: float | None, remedy: str) -> Check:
    value = seen.latency_ms[name]
    if limit is None:
        return Check.none(f"Latency {name}", f"{value:.1f} ms, for information")
    return Check.of(f"Latency {name}", value < limit, f"{value:.1f} ms, wanted below {limit:.0f} ms", remedy)
