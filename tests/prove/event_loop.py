"""Row 4: the event loop of the same process keeps its time while the model is saturated."""

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Iterator

import rerankd
from rerankd.errors import BackendError
from rerankd.sample.workload import requests
from tests.prove.line import Line, percentile, seconds
from tests.prove.real import BUDGET_MS, real_reranker

__all__ = ["measure"]

_TICK = 0.005
_PAUSE = 0.01
_CALLERS = 8
HOSTILE = {
    "1 MB without a space": "x" * 1_000_000,
    "1 MB of emoji": "\N{PILE OF POO}" * 250_000,
    "1 MB of spaces and signs": " .,;!\t" * 170_000,
}

Work = Callable[[], Awaitable[object]]


def measure(quick: bool) -> Iterator[Line]:
    seconds_each = 2.0 if quick else 60.0
    idle = asyncio.run(_lags(1.0 if quick else 10.0, []))
    yield Line(4, "event-loop lag of an idle process, to compare with", "-", _figures(idle), None)
    try:
        with real_reranker() as reranker:
            saturated = [_caller(reranker, seed) for seed in range(_CALLERS)]
            yield _judged("model saturated", asyncio.run(_lags(seconds_each, saturated)))
            hostile = [*saturated, _hostile(reranker)]
            yield _judged("and a 1 MB hostile text in flight", asyncio.run(_lags(seconds_each, hostile)))
    except BackendError:
        yield Line(4, "event-loop lag", "p99 ≤ 10 ms, max ≤ 25 ms", "the model is not installed", None)


def _judged(when: str, lags: list[float]) -> Line:
    return Line(
        4,
        f"event-loop lag in the same process, {when}",
        "p99 ≤ 10 ms, max ≤ 25 ms",
        _figures(lags),
        percentile(lags, 0.99) <= 0.010 and max(lags) <= 0.025,
        timed=True,
    )


def _figures(lags: list[float]) -> str:
    return (
        f"p50 {seconds(percentile(lags, 0.5))}, p99 {seconds(percentile(lags, 0.99))},"
        f" p99.9 {seconds(percentile(lags, 0.999))}, max {seconds(max(lags))} of {len(lags):,} ticks"
    )


async def _lags(duration: float, work: list[Work]) -> list[float]:
    """How late a tick of five milliseconds came, again and again, while the work goes on."""
    loop = asyncio.get_running_loop()
    over = False

    async def again(each: Work) -> None:
        while not over:
            await each()
            # an answer that is known at once does not suspend its caller, as no server's next request would
            await asyncio.sleep(_PAUSE)

    tasks = [asyncio.create_task(again(each)) for each in work]
    lags = []
    ends = loop.time() + duration
    while (now := loop.time()) < ends:
        await asyncio.sleep(_TICK)
        lags.append(loop.time() - now - _TICK)
    over = True
    await asyncio.gather(*tasks)
    return lags


def _caller(reranker: rerankd.Reranker, seed: int) -> Work:
    # made before the clock runs: making them is not the reranker's work, and it is done on this loop
    drawn = itertools.islice(requests(24, seed=seed), 40)
    source = itertools.cycle([(query, [each.text for each in passages]) for query, passages in drawn])

    async def ask() -> object:
        query, texts = next(source)
        return await reranker.arerank(query, texts, budget_ms=BUDGET_MS)

    return ask


def _hostile(reranker: rerankd.Reranker) -> Work:
    texts = itertools.cycle(HOSTILE.values())

    async def ask() -> object:
        text = next(texts)
        return await reranker.arerank(text, [text, "a short one", text], budget_ms=BUDGET_MS)

    return ask
