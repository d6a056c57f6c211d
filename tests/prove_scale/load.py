"""Callers over HTTP, and what they got when."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import httpx

__all__ = ["Got", "at_rate", "in_turns"]

_ROUTE = "/api/v1/rerank"


@dataclass(frozen=True, slots=True)
class Got:
    at: float
    """When it was meant to be sent, by the monotonic clock."""
    seconds: float
    """From then to the end of the answer."""
    status: int
    """0: no answer at all."""
    outcome: str
    reason: str
    model: str
    told: float
    """What the service says that it took, in seconds."""


async def _ask(client: httpx.AsyncClient, at: float, candidates: int, budget_ms: float) -> Got:
    body = {
        "query": "a question",
        "candidates": [f"text {number}" for number in range(candidates)],
        "budget_ms": budget_ms,
    }
    try:
        answer = await client.post(_ROUTE, json=body)
    except httpx.HTTPError:
        return Got(at, time.monotonic() - at, 0, "", "", "", 0.0)
    seconds = time.monotonic() - at
    said = answer.json() if answer.status_code == 200 else {}
    complete = len(said.get("results", ())) == candidates
    return Got(
        at,
        seconds,
        answer.status_code if complete else 0,
        said.get("outcome", ""),
        said.get("reason") or "",
        said.get("model") or "",
        said.get("elapsed_ms", 0.0) / 1000,
    )


async def at_rate(
    url: str,
    rate: float,
    seconds: float,
    *,
    candidates: int,
    budget_ms: float,
    meanwhile: Callable[[float], Awaitable[None]] | None = None,
) -> list[Got]:
    """So many requests a second, whether they are answered or not. `meanwhile` hears when it began."""
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=200)
    async with httpx.AsyncClient(base_url=url, timeout=30.0, limits=limits) as client:
        began = time.monotonic()
        other = None if meanwhile is None else asyncio.create_task(meanwhile(began))
        asked = []
        for number in range(int(rate * seconds)):
            at = began + number / rate
            await asyncio.sleep(max(0.0, at - time.monotonic()))
            asked.append(asyncio.create_task(_ask(client, at, candidates, budget_ms)))
        if other is not None:
            await other
        return list(await asyncio.gather(*asked))


async def in_turns(url: str, callers: int, seconds: float, *, candidates: int, budget_ms: float) -> list[Got]:
    """So many callers, each asking again when it is answered."""
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=callers)
    async with httpx.AsyncClient(base_url=url, timeout=120.0, limits=limits) as client:
        until = time.monotonic() + seconds
        got: list[Got] = []

        async def turns() -> None:
            while (now := time.monotonic()) < until:
                got.append(await _ask(client, now, candidates, budget_ms))

        await asyncio.gather(*(turns() for _ in range(callers)))
        return got
