"""The service over a scorer in a process of its own, which hangs when a text says so."""

import asyncio
import sys

from rerankd.backends.isolated import load_isolated
from rerankd.engine.clock import SystemClock
from rerankd.http.access import OpenAccess
from rerankd.http.app import create_app
from rerankd.http.policy import HttpPolicy
from rerankd.http.server import Server
from rerankd.http.service import Service
from rerankd.reranker import Reranker

__all__: list[str] = []


async def run() -> None:
    policy, clock = HttpPolicy(listen_port=0), SystemClock()
    reranker = Reranker(
        lambda: load_isolated("tests.backends.isolation.models:plain", {}, clock=clock),
        name="fake",
        wait=False,
    )
    server = Server(create_app(reranker, policy=policy, access=OpenAccess()), policy, clock)

    def listening(server: Server) -> None:
        print(f"listening on http://127.0.0.1:{server.port}", file=sys.stderr, flush=True)

    await Service(reranker, server, clock=clock).run(listening)


if __name__ == "__main__":
    asyncio.run(run())
