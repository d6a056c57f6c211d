"""Open arrivals in this process: latency, depth and whole heads at each load, and depth at each budget.

    python -m benchmarks.arrivals                  MiniLM-L-12: some five minutes on two cores
    python -m benchmarks.arrivals --model small

The loads are shares of the capacity: the pairs a second of four callers who ask again as soon as they are answered,
without a budget. Arrivals are a Poisson process and do not wait for answers; a latency counts from the moment at
which a request was meant to be sent. A head is the first 12 candidates of 24; it is complete when all of them are
scored. Writes artefacts/benchmarks/arrivals-MODEL.json; fails where a figure is missed.
"""

import argparse
import asyncio
import itertools
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import rerankd
from benchmarks.machine import RESULTS, machine, save
from benchmarks.others import Others
from benchmarks.workloads import MIXED, Request, add_arguments, chosen, requests
from rerankd.bench.arrivals import Arrivals, Closed, Open
from rerankd.bench.load import Shot, fire
from rerankd.bench.percentiles import percentile
from rerankd.core.answer import Ranking
from rerankd.core.request import RerankPolicy, head_size
from rerankd.settings import Settings

__all__ = ["BUDGETS_MS", "LOADS", "Level", "Rule", "judge", "level"]

SCHEMA = 1
BUDGET_MS, GRACE_MS = 250.0, 25.0
LOADS = (0.5, 0.8, 1.0, 2.0, 4.0)
BUDGETS_MS = (25.0, 50.0, 75.0, 100.0, 150.0, 200.0, 250.0, 300.0, 400.0)
SHOTS_AT_A_BUDGET = 20
WARM_UP = 5
HEAD = head_size(RerankPolicy(), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """What callers saw at one load."""

    load: float
    rate: float
    """Requests a second."""
    requests: int
    p50_ms: float
    p95_ms: float
    p99_ms: float
    most_ms: float
    depth: float
    """Candidates scored, in the mean of all answers."""
    heads: float
    """Share of the answers whose head is complete."""
    reranked: float
    partial: float
    skipped: float
    in_time: float
    """Scores a second that reached an answer within the budget and 25 ms."""
    heads_in_time: float
    """Answers a second with a complete head, within the same."""
    late_ms: float
    """p99 of how late the generator itself was."""
    others: float = 0.0
    """The share of the machine that other programs took meanwhile: above a few percent, it measured them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One wanted figure beside what was measured."""

    what: str
    wanted: str
    measured: str
    held: bool


def level(load: float, rate: float, shots: Sequence[Shot], heads: Sequence[bool], budget_ms: float) -> Level:
    """The figures of one load; `heads` says of each shot whether its head is complete."""
    count = len(shots)
    seconds = max(shot.ended for shot in shots) - min(shot.intended for shot in shots)
    pairs = list(zip(shots, heads, strict=True))
    timely = [(shot, head) for shot, head in pairs if shot.latency_ms <= budget_ms + GRACE_MS]
    latencies = [shot.latency_ms for shot in shots]
    shares = {
        name: sum(shot.outcome == name for shot in shots) / count
        for name in ("reranked", "partial", "skipped")
    }
    return Level(
        load=load,
        rate=rate,
        requests=count,
        p50_ms=percentile(latencies, 50),
        p95_ms=percentile(latencies, 95),
        p99_ms=percentile(latencies, 99),
        most_ms=max(latencies),
        depth=sum(shot.depth for shot in shots) / count,
        heads=sum(heads) / count,
        **shares,
        in_time=sum(shot.depth for shot, _ in timely) / seconds,
        heads_in_time=sum(head for _, head in timely) / seconds,
        late_ms=percentile(((shot.started - shot.intended) * 1000 for shot in shots), 99),
    )


def judge(levels: Sequence[Level], pairs_per_second: float, *, small: bool) -> list[Rule]:
    """What is wanted at 80 % and, as of all loads above the capacity, at 400 %."""
    rules = []
    for each in levels:
        if each.load == 0.8:
            heads = 0.99 if small else 0.9
            rules += [
                _rule("complete heads at 80 %", f"≥ {heads:.0%}", f"{each.heads:.1%}", each.heads >= heads),
                _rule("mean depth at 80 %", "≥ 16 of 24", f"{each.depth:.1f}", each.depth >= 16),
                _on_time(each),
            ]
        if each.load == 4.0:
            # all answers' first 12 candidates and nothing else: so many a second could be complete
            possible = pairs_per_second / HEAD
            share, whole = each.in_time / pairs_per_second, each.heads_in_time / possible
            rules += [
                _rule(
                    "scores a second that reached an answer in time at 400 %",
                    "≥ 80 % of capacity",
                    f"{share:.0%}",
                    share >= 0.8,
                ),
                _rule(
                    "answers a second with a complete head at 400 %",
                    f"≥ 80 % of capacity ({possible:.1f})",
                    f"{whole:.0%}",
                    whole >= 0.8,
                ),
                _on_time(each),
            ]
    return rules


def _on_time(each: Level) -> Rule:
    limit = BUDGET_MS + GRACE_MS
    return _rule(
        f"p99 of all answers at {each.load:.0%}",
        f"≤ {limit:.0f} ms",
        f"{each.p99_ms:.0f} ms",
        each.p99_ms <= limit,
    )


def _rule(what: str, wanted: str, measured: str, held: bool) -> Rule:
    return Rule(what=what, wanted=wanted, measured=measured, held=held)


class Bench:
    """One reranker and the requests that it is given in turn."""

    def __init__(self, reranker: rerankd.Reranker, work: Sequence[Request]) -> None:
        self._reranker = reranker
        self._work = work

    def fire(self, arrivals: Arrivals, count: int, budget_ms: float | None) -> tuple[list[Shot], list[bool]]:
        """Shots in the order of their answers, and of each whether its head is complete."""
        heads: list[bool] = []

        async def send(number: int) -> Ranking:
            request = self._work[number % len(self._work)]
            ranking = await self._reranker.arerank(request.query, request.texts, budget_ms=budget_ms)
            heads.append(sum(each.scored for each in ranking if each.retrieval_rank <= HEAD) >= HEAD)
            return ranking

        shots = asyncio.run(fire(send, count, arrivals, warm_up=WARM_UP))
        return shots, heads[WARM_UP:]

    def capacity(self, count: int) -> float:
        """Pairs a second with four callers and no budget."""
        shots, _ = self.fire(Closed(concurrency=4), count, None)
        return sum(shot.depth for shot in shots) / max(shot.ended for shot in shots)


def main() -> int:
    parser = argparse.ArgumentParser(prog="benchmarks.arrivals", description=(__doc__ or "").splitlines()[0])
    add_arguments(parser)
    parser.add_argument("--model", default="large")
    parser.add_argument("--seconds", type=float, default=40, help="how long each load goes on")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    (workload,) = chosen(arguments, [MIXED])
    work = list(islice(requests(workload), 64))
    with tempfile.TemporaryDirectory() as data_dir:
        settings = Settings.load(data_dir=data_dir).uncached()
        with rerankd.open(arguments.model, settings=settings, require_model=True) as reranker:
            report = measure(Bench(reranker, work), arguments.seconds)
            model = reranker.status().model
    report |= {"workload": workload.title, "model": model, "alias": arguments.model}
    rules = judge(
        [Level(**each) for each in report["levels"]],
        report["pairs_per_second"],
        small=arguments.model == "small",
    )
    report["rules"] = [asdict(rule) for rule in rules]
    save(arguments.out or RESULTS / f"arrivals-{arguments.model.replace('/', '--')}.json", report)
    for rule in rules:
        print(f"{'held' if rule.held else 'MISSED':<6}  {rule.what}: {rule.measured} [{rule.wanted}]")
    return 0 if all(rule.held for rule in rules) else 1


def measure(bench: Bench, seconds: float) -> dict[str, Any]:
    """Capacity, levels, depth at each budget."""
    about, watch = machine(), Others()
    pairs = bench.capacity(max(8, int(seconds * 2)))
    others = watch.share()
    print(
        f"capacity: {pairs:.0f} pairs a second, {pairs / MIXED.candidates:.2f} requests; others' load {others:.0%}",
        flush=True,
    )
    levels = []
    for share in LOADS:
        rate = share * pairs / MIXED.candidates
        times = Open(rate=rate, seed=1).times()
        count = max(1, len(list(itertools.takewhile(lambda at: at < seconds, times))))
        watch = Others()
        shots, heads = bench.fire(Open(rate=rate, seed=1), count, BUDGET_MS)
        found = replace(level(share, rate, shots, heads, BUDGET_MS), others=watch.share())
        levels.append(asdict(found))
        print(
            f"{share:>5.0%}  {found.requests:>5} requests  p50 {found.p50_ms:4.0f}  p95 {found.p95_ms:4.0f}"
            f"  p99 {found.p99_ms:4.0f} ms  depth {found.depth:4.1f}  heads {found.heads:6.1%}"
            f"  reranked {found.reranked:4.0%}  partial {found.partial:4.0%}  skipped {found.skipped:4.0%}"
            f"  others' load {found.others:.0%}",
            flush=True,
        )
    depths = []
    for budget_ms in BUDGETS_MS:
        shots, heads = bench.fire(Closed(concurrency=1), SHOTS_AT_A_BUDGET, budget_ms)
        depth = sum(shot.depth for shot in shots) / len(shots)
        depths.append({"budget_ms": budget_ms, "depth": depth, "heads": sum(heads) / len(heads)})
        print(f"{budget_ms:>5.0f} ms, one caller: depth {depth:.1f}", flush=True)
    return {
        "schema": SCHEMA,
        "machine": about,
        "pairs_per_second": pairs,
        "others": others,
        "budget_ms": BUDGET_MS,
        "levels": levels,
        "depths": depths,
    }


if __name__ == "__main__":
    sys.exit(main())
