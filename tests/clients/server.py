"""A service whose model is broken in one way: python -m tests.clients.server hangs|raises|loading|open."""

import asyncio
import sys
import threading
from collections.abc import Awaitable, Callable

from rerankd.core.breaker import BreakerPolicy
from rerankd.core.ports import Model
from rerankd.core.types import Pair
from rerankd.engine.clock import SystemClock
from rerankd.http.access import OpenAccess
from rerankd.http.app import create_app
from rerankd.http.policy import HttpPolicy
from rerankd.http.server import Server
from rerankd.http.service import Service
from rerankd.logs import LogPolicy, configure
from rerankd.reranker import Reranker
from rerankd.testing import fake_reranker

__all__ = ["MODES", "QUERY"]

QUERY = "how long does a refund take"
_NEVER = threading.Event()


def hangs(pair: Pair) -> float:
    """Only for a caller's question: loading tries the model with one of its own."""
    if pair.query == QUERY:
        _NEVER.wait()
    return 0.0


def raises(pair: Pair) -> float:
    if pair.query == QUERY:
        raise RuntimeError("broken")
    return 0.0


def loading() -> Model:
    _NEVER.wait()
    raise AssertionError


MODES: dict[str, Callable[[], Reranker]] = {
    "hangs": lambda: fake_reranker(hangs, wait=False),
    "raises": lambda: fake_reranker(raises, wait=False),
    "loading": lambda: Reranker(loading, name="fake", wait=False),
    "open": lambda: fake_reranker(
        raises,
        wait=False,
        breaker=BreakerPolicy(open_ms=600_000, open_max_ms=600_000, open_max_remote_ms=600_000),
    ),
}


async def open_circuit(reranker: Reranker) -> None:
    """Fail until it opens."""
    while reranker.status().circuit != "open":
        await reranker.arerank(QUERY, ["a", "b"], budget_ms=250)
        await asyncio.sleep(0)


async def ready(reranker: Reranker) -> None:
    while reranker.status().model_state != "ready":
        await asyncio.sleep(0.01)


async def run(mode: str) -> None:
    reranker = MODES[mode]()
    policy, clock = HttpPolicy(listen_port=0), SystemClock()
    server = Server(create_app(reranker, policy=policy, access=OpenAccess()), policy, clock)
    before: list[Callable[[Reranker], Awaitable[None]]] = []
    before += [] if mode == "loading" else [ready]
    before += [open_circuit] if mode == "open" else []

    async def announce() -> None:
        for each in before:
            await each(reranker)
        print(f"listening on http://127.0.0.1:{server.port}", file=sys.stderr, flush=True)

    announcing: list[asyncio.Task[None]] = []
    service = Service(reranker, server, clock=clock)
    await service.run(lambda _: announcing.append(asyncio.create_task(announce())))


if __name__ == "__main__":
    configure(LogPolicy(format="json"))
    asyncio.run(run(sys.argv[1]))
