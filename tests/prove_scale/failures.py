"""A replica is killed, then a node, then another model is rolled out, all under load."""

import asyncio
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from tests.prove.line import Line
from tests.prove_scale.cluster import Nodes, nodes, serving, settings
from tests.prove_scale.load import Got, at_rate

__all__ = ["measure"]

BUDGET = 0.25
RATE = 25.0
QUIET, REPLICA, NODE, ROLLOUT = 8.0, 20.0, 35.0, 35.0
"""Seconds before the first event, and after each of the three."""


def measure(quick: bool) -> Iterator[Line]:
    with nodes(workers=3, cpus=2) as cluster, tempfile.TemporaryDirectory() as folder:
        one, two = (
            settings(cluster.address, f"sleep/0.002_{name}", Path(folder), replicas=3, cpus=1.0)
            for name in ("one", "two")
        )
        cluster.deploy(one)
        with serving(one) as url:
            events: dict[str, float] = {}

            async def happens(began: float) -> None:
                await asyncio.sleep(QUIET)
                events["replica killed"] = asyncio.get_running_loop().time()
                await asyncio.to_thread(cluster.kill_replica)
                await asyncio.sleep(REPLICA)
                events["node killed"] = asyncio.get_running_loop().time()
                await asyncio.to_thread(cluster.kill_node)
                await asyncio.sleep(NODE)
                events["rollout"] = asyncio.get_running_loop().time()
                await asyncio.to_thread(cluster.deploy, two)
                events["rolled out"] = asyncio.get_running_loop().time()

            seconds = QUIET + REPLICA + NODE + ROLLOUT
            got = asyncio.run(
                at_rate(url, RATE, seconds, candidates=10, budget_ms=BUDGET * 1000, meanwhile=happens)
            )
    yield from _lines(got, events)
    yield from _healed(cluster, got, events)


def _lines(got: list[Got], events: dict[str, float]) -> Iterator[Line]:
    errors = sum(each.status != 200 for each in got)
    late = sorted(each.seconds for each in got if each.seconds > BUDGET + 0.05)
    worst, told = max(each.seconds for each in got), max(each.told for each in got)
    what = "a replica killed, a node killed and a rollout under load"
    yield Line(1, f"{what}: errors of {len(got):,}", "0", f"{errors}", errors == 0)
    yield Line(
        1,
        f"{what}: answers later than budget + 50 ms",
        "0",
        f"{len(late)} (the latest after {worst * 1000:.0f} ms; by the service's own clock {told * 1000:.0f} ms)",
        not late,
        timed=True,
    )
    moments = [*events.items()]
    for (name, at), end in zip(moments, [at for _, at in moments[1:]] + [float("inf")], strict=True):
        span = [each for each in got if at <= each.at < end]
        if span:
            share = sum(each.outcome == "reranked" for each in span) / len(span)
            why = Counter(each.reason for each in span if each.outcome != "reranked")
            others = ", ".join(f"{count} {reason}" for reason, count in why.items())
            yield Line(1, f"{name}: reranked until the next event", "info", f"{share:.1%} {others}", None)


def _healed(cluster: Nodes, got: list[Got], events: dict[str, float]) -> Iterator[Line]:
    """After how many seconds every answer of a whole second was reranked again, and stayed so."""
    for name, until in (("replica killed", "node killed"), ("node killed", "rollout")):
        at, end = events[name], events[until]
        missed = [each.at - at for each in got if at <= each.at < end and each.outcome != "reranked"]
        last = max(missed, default=0.0)
        healed = last < (end - at) - 2.0
        yield Line(
            1, f"{name}: last answer that was not reranked", "before the next event", f"{last:.1f} s", healed
        )
    old = [each.at for each in got if each.at > events["rolled out"] + 1.0 and each.model != "two"]
    new = [each for each in got if each.at > events["rolled out"] + 1.0 and each.model == "two"]
    yield Line(
        1, "after the rollout: answers of the old model", "0", f"{len(old)} of {len(old) + len(new)}", not old
    )
