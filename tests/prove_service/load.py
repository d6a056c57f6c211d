"""Callers of a running service: what they ask, and what became of every request."""

import asyncio
import gc
import itertools
import json
import secrets
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import httpx

from rerankd.bench.arrivals import Open
from rerankd.sample.workload import requests

__all__ = [
    "BODIES",
    "BUDGET_MS",
    "Seen",
    "capacity",
    "client",
    "open_load",
    "seen_of",
    "until_ready",
    "whose_delay",
]

BUDGET_MS = 250.0
ROUTE = "/v2/rerank"
_LEAST = 24 * 6.0


def _bodies(budget_ms: float, count: int = 40, candidates: int = 24) -> list[bytes]:
    drawn = itertools.islice(requests(candidates, seed=0), count)
    return [
        json.dumps(
            {
                "model": "any",
                "query": query,
                "documents": [passage.text for passage in passages],
                "budget_ms": budget_ms,
            }
        ).encode()
        for query, passages in drawn
    ]


BODIES: Sequence[bytes] = _bodies(BUDGET_MS)
"""Questions with 24 mixed candidates each, made before any clock runs."""


@dataclass(frozen=True, slots=True)
class Seen:
    """One request, as its caller saw it; times in seconds."""

    id: str
    sent: float
    ended: float
    late_start: float
    """How much later than meant it was sent: large, and the caller measured itself."""
    status: int | None
    """None: no complete answer."""
    outcome: str = ""
    reason: str = ""
    scored: int = 0
    complete: bool = False
    """Every candidate is in the answer, once."""
    error: str = ""
    """The transport's error, or the error's type in the answer's own words."""

    @property
    def ms(self) -> float:
        return (self.ended - self.sent) * 1000

    @property
    def said(self) -> str:
        """What came back, in a word or two: for whoever asks why it was not a complete answer."""
        if self.status is None:
            return f"no answer, {self.error}"
        if self.status == 200:
            return f"200 {self.outcome}" + ("" if self.complete else ", not every candidate once")
        return f"{self.status} {self.error or 'without an error of ours'}"


def client(url: str) -> httpx.AsyncClient:
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=256)
    return httpx.AsyncClient(
        base_url=url, limits=limits, timeout=30, headers={"content-type": "application/json"}
    )


async def ask(http: httpx.AsyncClient, number: int, meant: float | None = None) -> Seen:
    """One question, and everything that there is to know of its answer."""
    id = secrets.token_hex(8)
    sent = time.monotonic()
    late = 0.0 if meant is None else sent - meant
    try:
        answer = await http.post(ROUTE, content=BODIES[number % len(BODIES)], headers={"x-request-id": id})
    except httpx.TransportError as error:
        return Seen(id, sent, time.monotonic(), late, None, error=type(error).__name__)
    return seen_of(id, sent, time.monotonic(), late, answer)


def seen_of(id: str, sent: float, ended: float, late_start: float, answer: httpx.Response) -> Seen:
    """What there is to know of an answer."""
    try:
        body = answer.json()
    except ValueError:
        body = {}
    try:
        places = sorted(each["index"] for each in body["results"])
    except (KeyError, TypeError):
        places = []
    return Seen(
        id,
        sent,
        ended,
        late_start,
        answer.status_code,
        outcome=answer.headers.get("x-rerank-outcome", ""),
        reason=answer.headers.get("x-rerank-reason", ""),
        scored=int(answer.headers.get("x-rerank-depth", "0/0").split("/")[0]),
        complete=places == list(range(24)),
        error="" if answer.status_code == 200 else _error_of(body),
    )


def _error_of(body: Any) -> str:
    """The error in whichever dialect's words; the service's own never hold a text."""
    if not isinstance(body, dict):
        return ""
    error = body.get("error")
    if isinstance(error, dict):
        return str(error.get("code") or error.get("type") or "")
    return str(body.get("error_type") or body.get("message") or body.get("detail") or "")


def whose_delay(latest: Seen, log: Iterable[Mapping[str, Any]]) -> str:
    """The caller shares the machine, so whose a delay was, the service's own clock tells in its access log."""
    inside = next(
        (f"{line['ms']} ms" for line in log if line["request_id"] == latest.id), "no time that it told"
    )
    return (
        f"of its {latest.ms:.0f} ms the service had it for {inside},"
        f" and it was sent {latest.late_start * 1000:.0f} ms later than meant"
    )


async def open_load(http: httpx.AsyncClient, rate: float, seconds: float, seed: int = 0) -> list[Seen]:
    """Independent callers, so many a second in the mean, whatever becomes of the answers."""
    gc.collect()
    gc.freeze()  # a pause of this process to look for garbage would count as the service's
    try:
        return await _open_load(http, rate, seconds, seed)
    finally:
        gc.unfreeze()


async def _open_load(http: httpx.AsyncClient, rate: float, seconds: float, seed: int) -> list[Seen]:
    began = time.monotonic()
    tasks = []
    for number, at in enumerate(
        itertools.takewhile(lambda at: at < seconds, Open(rate=rate, seed=seed).times())
    ):
        await asyncio.sleep(began + at - time.monotonic())
        tasks.append(asyncio.create_task(ask(http, number, began + at)))
    return list(await asyncio.gather(*tasks))


async def until_ready(http: httpx.AsyncClient, seconds: float = 60) -> float:
    """Seconds until it says that it is ready."""
    began = time.monotonic()
    while time.monotonic() - began < seconds:
        if (await http.get("/ready")).status_code == 200:
            return time.monotonic() - began
        await asyncio.sleep(0.02)
    raise TimeoutError("the service did not become ready")


async def capacity(http: httpx.AsyncClient, seconds: float) -> float:
    """Pairs a second that it scores when there is always something to do; on a machine that is taken by others,
    as many at least as make a load."""
    ends = time.monotonic() + seconds
    numbers = itertools.count()
    unhurried = _bodies(10_000)  # nothing is left out for want of time
    scored = 0

    async def caller() -> None:
        nonlocal scored
        while time.monotonic() < ends:
            answer = await http.post(ROUTE, content=unhurried[next(numbers) % len(unhurried)])
            scored += int(answer.headers["x-rerank-depth"].split("/")[0])

    began = time.monotonic()
    await asyncio.gather(*(caller() for _ in range(4)))
    return max(_LEAST, scored / (time.monotonic() - began))
