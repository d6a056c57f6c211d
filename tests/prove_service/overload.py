"""Rows 3 and 6: answers in time, and enough of them good, at every load."""

import asyncio
from collections.abc import Iterator

from tests.prove.line import Line, percentile, seconds
from tests.prove_service.load import BUDGET_MS, Seen, capacity, client, open_load, until_ready, whose_delay
from tests.running import Running

__all__ = ["late", "overload"]

_PROMISED_MS = {0.7: 10.0, 4.0: 25.0}


def late(quick: bool) -> Iterator[Line]:
    """Row 3."""
    with Running() as service:
        yield from asyncio.run(_late(service, quick))


async def _late(service: Running, quick: bool) -> list[Line]:
    lines = []
    async with client(service.url) as http:
        await until_ready(http)
        pairs = await capacity(http, 1.5 if quick else 10)
        for share, promised in _PROMISED_MS.items():
            seen = await open_load(http, share * pairs / 24, 1.5 if quick else 60)
            over = _over(seen)
            latest = max(seen, key=lambda each: each.ms)
            lines.append(
                Line(
                    3,
                    f"overshoot of {BUDGET_MS:.0f} ms over HTTP at {share:.0%} load",
                    f"p99.9 ≤ {promised:.0f} ms",
                    f"p50 {seconds(percentile(over, 0.5))}, p99 {seconds(percentile(over, 0.99))},"
                    f" p99.9 {seconds(percentile(over, 0.999))}, max {seconds(max(over))}"
                    f" of {len(over):,} requests; the latest: {whose_delay(latest, service.requests())}",
                    percentile(over, 0.999) * 1000 <= promised,
                    timed=True,
                )
            )
            lines.append(_all_answered(3, share, seen))
    return lines


def _over(seen: list[Seen]) -> list[float]:
    return [max(0.0, each.ended - each.sent - BUDGET_MS / 1000) for each in seen]


def _all_answered(row: int, share: float, seen: list[Seen]) -> Line:
    bad = [each for each in seen if each.status != 200 or not each.complete]
    return Line(
        row,
        f"requests without a complete 200 at {share:.0%} load",
        "0",
        f"{len(bad)} of {len(seen):,} {sorted({each.error or str(each.status) for each in bad}) or ''}",
        not bad,
    )


def overload(quick: bool) -> Iterator[Line]:
    """Row 6."""
    with Running() as service:
        yield from asyncio.run(_overload(service, quick))


async def _overload(service: Running, quick: bool) -> list[Line]:
    lines = []
    async with client(service.url) as http:
        await until_ready(http)
        pairs = await capacity(http, 1.5 if quick else 10)
        before = _resident_mb(service.process.pid)
        for share in (4.0,) if quick else (2.0, 4.0, 10.0):
            length = 1.5 if quick else 30
            seen = await open_load(http, share * pairs / 24, length)
            in_time = [each for each in seen if each.ms <= BUDGET_MS + 25]
            scored = sum(each.scored for each in in_time) / length
            slowest = percentile([each.ms for each in seen], 0.99)
            lines.append(
                Line(
                    6,
                    f"scores a second that reached an answer in time at {share:.0f}× load, over HTTP",
                    f"≥ 80 % of the peak of {pairs:.0f}",
                    f"{scored:.0f} ({scored / pairs:.0%})",
                    scored >= 0.8 * pairs,
                    timed=True,
                )
            )
            lines.append(
                Line(
                    6,
                    f"p99 of all answers at {share:.0f}× load, over HTTP",
                    f"≤ {BUDGET_MS + 25:.0f} ms",
                    f"{slowest:.1f} ms of {len(seen):,} requests",
                    slowest <= BUDGET_MS + 25,
                    timed=True,
                )
            )
            lines.append(_all_answered(6, share, seen))
        after = _resident_mb(service.process.pid)
        lines.append(
            Line(
                6,
                "memory of the process that answers, before and after the overload",
                "flat: within 30 MB",
                f"{before:.0f} → {after:.0f} MB",
                after - before <= 30,
            )
        )
    return lines


def _resident_mb(pid: int) -> float:
    from tests.prove_service.held import held_by

    return held_by(pid).resident_mb
