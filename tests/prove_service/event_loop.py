"""Row 4: the loop that answers keeps its time while the model is saturated and hostile texts come in."""

import asyncio
import itertools
import json
import re
import time
from collections.abc import Iterator

import httpx

from tests.prove.event_loop import HOSTILE
from tests.prove.line import Line
from tests.prove_service.load import ask, client, until_ready
from tests.running import Running

__all__ = ["measure"]

_BUCKET = re.compile(r'rerank_event_loop_lag_seconds_bucket\{le="([^"]+)"\} (\S+)')
_CALLERS = 8
_PAUSE = 0.02


def measure(quick: bool) -> Iterator[Line]:
    with Running() as service:
        yield from asyncio.run(_measure(service.url, 2 if quick else 60))


async def _measure(url: str, seconds: float) -> list[Line]:
    lines = []
    async with client(url) as http:
        await until_ready(http)
        for when, hostile in (
            ("model saturated", []),
            ("and 1 MB hostile bodies coming in", list(map(_body, HOSTILE.values()))),
        ):
            before = await _lags(http)
            refused = await _load(http, seconds, hostile)
            lags = {edge: count - before.get(edge, 0) for edge, count in (await _lags(http)).items()}
            lines.append(_judged(when, lags))
            if hostile:
                lines.append(
                    Line(4, "hostile bodies that were refused", "all", str(sorted(refused)), refused == {422})
                )
    return lines


def _body(text: str) -> bytes:
    return json.dumps({"query": "q", "documents": [text], "model": "any"}, ensure_ascii=False).encode()


async def _load(http: httpx.AsyncClient, seconds: float, hostile: list[bytes]) -> set[int]:
    ends = time.monotonic() + seconds
    numbers = itertools.count()
    statuses: set[int] = set()

    async def caller() -> None:
        while time.monotonic() < ends:
            await ask(http, next(numbers))

    async def attacker() -> None:
        for body in itertools.cycle(hostile):
            if time.monotonic() >= ends:
                return
            statuses.add((await http.post("/v2/rerank", content=body)).status_code)
            await asyncio.sleep(_PAUSE)

    await asyncio.gather(*(caller() for _ in range(_CALLERS)), *([attacker()] if hostile else []))
    return statuses


async def _lags(http: httpx.AsyncClient) -> dict[float, float]:
    """Upper edge in seconds → how many wakings were late by at most that, since the service began."""
    told = (await http.get("/metrics")).text
    return {float(edge): float(count) for edge, count in _BUCKET.findall(told)}


def _judged(when: str, lags: dict[float, float]) -> Line:
    total = max(lags.values(), default=0.0)
    edges = sorted(lags)
    p99 = next((edge for edge in edges if lags[edge] >= 0.99 * total), float("inf"))
    most = next((edge for edge in edges if lags[edge] >= total), float("inf"))
    return Line(
        4,
        f"event-loop lag of the service, {when}",
        "p99 ≤ 10 ms, max ≤ 25 ms",
        f"p99 ≤ {p99 * 1000:g} ms, max ≤ {most * 1000:g} ms of {total:.0f} wakings (edges of its own histogram)",
        total > 0 and p99 <= 0.010 and most <= 0.025,
        timed=True,
    )
