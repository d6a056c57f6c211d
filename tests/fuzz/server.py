"""The whole service over a fake model and a fake memory, so that only what is around the model is tried."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rerankd.engine.clock import SystemClock
from rerankd.http.access import KeyAccess
from rerankd.http.app import create_app
from rerankd.http.keyfile import KeyFile
from rerankd.http.live import Live
from rerankd.http.memory.opening import ServedMemory
from rerankd.http.policy import HttpPolicy
from rerankd.http.server import Server
from rerankd.http.service import Service
from rerankd.memory.testing import InMemoryEpochs, InMemoryStore, fake_memory
from rerankd.metrics import PrometheusObserver
from rerankd.summary import Summary
from rerankd.testing import fake_reranker

__all__ = ["served"]


@contextmanager
def served(folder: Path) -> Iterator[tuple[str, str]]:
    """Its URL, and a key that may do everything."""
    keys, clock = KeyFile(folder / "keys.json"), SystemClock()
    _, key = keys.create("fuzz", ["rerank", "admin", "memory:acme"], "today")
    policy = HttpPolicy(listen_port=0, key_requests_per_minute=0, key_concurrency=0)
    live, metrics, summary = Live(clock), PrometheusObserver(), Summary(batch_size=32)
    reranker = fake_reranker(wait=False, observers=(live, metrics, summary))
    for each in (live, metrics, summary):
        each.bind(reranker.status)
    memory = ServedMemory(
        lambda: fake_memory(
            InMemoryStore(), keys=InMemoryEpochs("key"), reranker=reranker, owns_reranker=False
        )
    )
    app = create_app(
        reranker,
        policy=policy,
        access=KeyAccess(keys, policy, clock, anybody=False),
        metrics=metrics,
        summary=summary,
        live=live,
        memory=memory,
    )
    service = Service(reranker, Server(app, policy, clock), clock=clock, also=(memory,))
    listens = threading.Event()
    thread = threading.Thread(target=lambda: asyncio.run(service.run(lambda _: listens.set())))
    thread.start()
    try:
        assert listens.wait(20)
        assert reranker.wait_ready(20)
        yield f"http://127.0.0.1:{service.server.port}", key
    finally:
        service.server.stop()
        thread.join(20)
