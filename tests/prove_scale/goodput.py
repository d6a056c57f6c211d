"""What N replicas do together, beside N times what one does; and what a request costs on its way through Serve."""

import asyncio
import statistics
import tempfile
from collections.abc import Iterator
from pathlib import Path

from rerankd.scale.replica import Replica
from tests.prove.line import Line
from tests.prove_scale.cluster import nodes, serving, settings
from tests.prove_scale.load import in_turns

__all__ = ["measure", "measure_overhead", "measure_real"]

PAIR = 0.05
CANDIDATES = 10
NUMBERS = (1, 2, 4, 8)


def measure(quick: bool) -> Iterator[Line]:
    seconds = 5.0 if quick else 15.0
    done: dict[int, float] = {}
    with nodes(workers=2, cpus=4) as cluster, tempfile.TemporaryDirectory() as folder:
        for number in NUMBERS:
            # two requests at each: while one is scored, the next is there
            given = settings(
                cluster.address,
                f"sleep/{PAIR}_n{number}",
                Path(folder),
                replicas=number,
                cpus=1.0,
                max_ongoing_requests=3,
            )
            cluster.deploy(given)
            with serving(given) as url:
                done[number] = _goodput(url, 4 * number, seconds)
    ideal = 1 / (PAIR * CANDIDATES)
    for number in NUMBERS:
        share = done[number] / done[1] / number
        yield Line(
            2,
            f"{number} replica(s) that sleep {PAIR * CANDIDATES * 1000:.0f} ms a request",
            ">= 0.95 N times one",
            f"{done[number]:.2f} a second: {share:.3f} N times one, {done[number] / ideal / number:.3f} of ideal",
            share >= 0.95,
            timed=True,
        )


def _goodput(url: str, callers: int, seconds: float) -> float:
    """Requests reranked a second; each counts by what of it lies within the time."""
    got = asyncio.run(in_turns(url, callers, seconds, candidates=CANDIDATES, budget_ms=60_000))
    began = min(each.at for each in got)
    ends = sorted(each.at + each.seconds for each in got if each.outcome == "reranked")
    # from the first end to the last one that was still under full load
    within = [end for end in ends if end <= began + seconds]
    return (len(within) - 1) / (within[-1] - within[0])


def measure_overhead(quick: bool) -> Iterator[Line]:
    count = 3.0 if quick else 8.0
    middle: dict[bool, float] = {}
    tail: dict[bool, float] = {}
    with nodes(workers=1, cpus=2) as cluster, tempfile.TemporaryDirectory() as folder:
        given = settings(cluster.address, "sleep/0_none", Path(folder), replicas=1)
        cluster.deploy(given)
        for ray in (False, True):
            with serving(given, ray=ray) as url:
                got = asyncio.run(in_turns(url, 1, count, candidates=24, budget_ms=60_000))
            times = sorted(each.seconds * 1000 for each in got[len(got) // 10 :])
            middle[ray], tail[ray] = statistics.median(times), times[int(len(times) * 0.99)]
    yield Line(
        3,
        "a request of 24 candidates to a scorer that takes no time, over HTTP, one at a time",
        "info",
        f"here p50 {middle[False]:.1f}, p99 {tail[False]:.1f} ms; through Ray Serve p50 {middle[True]:.1f},"
        f" p99 {tail[True]:.1f} ms: {middle[True] - middle[False]:.1f} ms more",
        None,
    )


def measure_real(quick: bool) -> Iterator[Line]:
    seconds = 6.0 if quick else 15.0
    done: dict[int, float] = {}
    with nodes(workers=1, cpus=2) as cluster, tempfile.TemporaryDirectory() as folder:
        for number in (1, 2):
            given = settings(cluster.address, "large", Path(folder), replicas=number, cpus=1.0)
            cluster.deploy(given, Replica)
            with serving(given) as url:
                done[number] = _goodput(url, 3 * number, seconds)
    yield Line(
        4,
        "two replicas of the real model on two cores, which the ingress and the callers use as well",
        "info",
        f"{done[2] / done[1]:.2f} times one, {done[2] * CANDIDATES:.0f} and {done[1] * CANDIDATES:.0f} pairs/s",
        None,
    )
