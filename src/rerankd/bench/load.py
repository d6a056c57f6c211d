"""Sends requests and measures the answers.

A latency is counted from the moment at which the request was *meant* to be sent. A generator that waits for a
slow answer and only then starts the clock of the next request leaves out just the waiting that it should
measure (Gil Tene's "coordinated omission").
"""

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

from rerankd.bench.arrivals import Arrivals, Closed, Open
from rerankd.core.types import Outcome, Reason

__all__ = ["Answer", "Send", "Shot", "fire"]


class Answer(Protocol):
    """What the generator looks at in an answer; a `Ranking` is one."""

    @property
    def outcome(self) -> Outcome: ...
    @property
    def reason(self) -> Reason | None: ...
    @property
    def depth(self) -> int: ...
    @property
    def candidates_total(self) -> int: ...


Send = Callable[[int], Awaitable[Answer]]
"""Sends the request of this number, from 0, and waits for its answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shot:
    """One request and what became of it; times in seconds from the start of the measurement."""

    intended: float
    started: float
    ended: float
    outcome: Outcome
    reason: Reason | None
    depth: int
    candidates: int

    @property
    def latency_ms(self) -> float:
        return (self.ended - self.intended) * 1000


async def fire(
    send: Send, count: int, arrivals: Arrivals, *, warm_up: int = 0, done: Callable[[int], None] | None = None
) -> list[Shot]:
    """Send `count` requests and return their measurements in the order of the answers.

    `warm_up` requests are sent before, one after another, and left out. `done` hears after each answer how
    many there are, the warm-up's included. Whatever `send` raises ends the run.
    """
    numbers = itertools.count()
    told = itertools.count(1)

    async def shoot(start: float, intended: float | None) -> Shot:
        loop = asyncio.get_running_loop()
        started = loop.time() - start
        answer = await send(next(numbers))
        ended = loop.time() - start
        if done is not None:
            done(next(told))
        return Shot(
            intended=started if intended is None else intended,
            started=started,
            ended=ended,
            outcome=answer.outcome,
            reason=answer.reason,
            depth=answer.depth,
            candidates=answer.candidates_total,
        )

    for _ in range(warm_up):
        await shoot(asyncio.get_running_loop().time(), None)
    match arrivals:
        case Closed():
            return await _closed(shoot, count, arrivals)
        case Open():
            return await _open(shoot, count, arrivals)


_Shoot = Callable[[float, float | None], Awaitable[Shot]]


async def _closed(shoot: _Shoot, count: int, arrivals: Closed) -> list[Shot]:
    shots: list[Shot] = []
    left = itertools.repeat(None, count)
    start = asyncio.get_running_loop().time()

    async def caller() -> None:
        for _ in left:
            shots.append(await shoot(start, None))

    await _together([caller() for _ in range(min(arrivals.concurrency, count))])
    return shots


async def _open(shoot: _Shoot, count: int, arrivals: Open) -> list[Shot]:
    shots: list[Shot] = []
    loop = asyncio.get_running_loop()
    start = loop.time()

    async def one(intended: float) -> None:
        # a sleep that ends late is part of the latency, which counts from `intended`
        await asyncio.sleep(start + intended - loop.time())
        shots.append(await shoot(start, intended))

    await _together([one(at) for at in itertools.islice(arrivals.times(), count)])
    return shots


async def _together(callers: list[Awaitable[None]]) -> None:
    """Wait for all; the first error cancels the others and is raised as it is, not in a group."""
    tasks = [asyncio.ensure_future(caller) for caller in callers]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
