"""What callers saw of servers over HTTP: in a turn, in all turns at one load, and what is wanted of ours."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from benchmarks.arrivals import Rule
from rerankd.bench.percentiles import percentile

__all__ = ["BUDGET_MS", "GRACE_MS", "HEAD", "OURS", "Level", "Turn", "judge", "level", "line"]

BUDGET_MS, GRACE_MS = 250.0, 25.0
OURS = "rerankd"


@dataclass(slots=True)
class Turn:
    """What callers saw of one server, from its start to its end."""

    latencies: list[float] = field(default_factory=list)
    late: list[float] = field(default_factory=list)
    seen: Counter[str] = field(default_factory=Counter)
    others: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """One server at one load, all its turns together."""

    server: str
    share: float
    """The load, of what rerankd can score here."""
    rate: float
    """Requests a second."""
    requests: int
    in_time: float
    """Share of the requests that were answered with 200 within the budget and 25 ms."""
    timed_out: float
    """Share that had no answer within 10 s, or none at all."""
    depth: float
    """Candidates scored in an answer that came in time, in the mean; of a late one none counts."""
    p50_ms: float
    p95_ms: float
    p99_ms: float
    sent_late_ms: float
    """p99 of how late the generator itself was."""
    others: float
    """The largest share of the machine that other programs took in a turn, the server's start included."""


def level(server: str, share: float, rate: float, turns: Sequence[Turn]) -> Level:
    """The figures of all its turns together."""
    latencies = [ms for turn in turns for ms in turn.latencies]
    seen = sum((turn.seen for turn in turns), Counter[str]())
    count = len(latencies)
    return Level(
        server=server,
        share=share,
        rate=rate,
        requests=count,
        in_time=seen["in time"] / count,
        timed_out=seen["unanswered"] / count,
        depth=seen["scored"] / seen["in time"] if seen["in time"] else 0.0,
        p50_ms=percentile(latencies, 50),
        p95_ms=percentile(latencies, 95),
        p99_ms=percentile(latencies, 99),
        sent_late_ms=percentile((ms for turn in turns for ms in turn.late), 99),
        others=max(turn.others for turn in turns),
    )


def judge(levels: Sequence[Level], overhead_ms: float) -> list[Rule]:
    """What is wanted of ours beside what was measured."""
    ours = [each.in_time for each in levels if each.server == OURS]
    rules = []
    if ours:
        rules.append(
            Rule(
                what=f"answered within {BUDGET_MS + GRACE_MS:.0f} ms, at the load where the fewest are",
                wanted="≥ 99.9 %",
                measured=f"{min(ours):.2%}",
                held=min(ours) >= 0.999,
            )
        )
    rules.append(
        Rule(
            what="HTTP and JSON for 24 candidates of 500 characters, flag off, p50",
            wanted="≤ 3 ms",
            measured=f"{overhead_ms:.2f} ms",
            held=overhead_ms <= 3,
        )
    )
    return rules


HEAD = (
    f"{'server':<17} {'load':>5} {'req/s':>6} {'sent':>6} {'in time':>8}"
    f" {'no answer':>9} {'depth':>6} {'p50':>7} {'p95':>7} {'p99':>8} {'sent late':>9} {'others':>6}"
)


def line(figures: Level) -> str:
    return (
        f"{figures.server:<17} {figures.share:>5.0%} {figures.rate:>6.2f} {figures.requests:>6}"
        f" {figures.in_time:>8.2%} {figures.timed_out:>9.2%} {figures.depth:>6.1f} {figures.p50_ms:>7.0f}"
        f" {figures.p95_ms:>7.0f} {figures.p99_ms:>8.0f} {figures.sent_late_ms:>9.1f} {figures.others:>6.0%}"
    )
