"""A service around a fake model, spoken to without a socket."""

import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx

from rerankd.core.request import RerankPolicy
from rerankd.core.types import Pair
from rerankd.http.access import Access, OpenAccess
from rerankd.http.app import create_app
from rerankd.http.live import Live
from rerankd.http.policy import HttpPolicy
from rerankd.metrics import PrometheusObserver
from rerankd.reranker import Reranker
from rerankd.summary import Summary
from rerankd.testing import fake_reranker, word_overlap

QUERY = "red apple"
TEXTS = ["a green pear", "an apple", "a red apple", "nothing"]
"""Their fake scores are 0, 1, 2 and 0."""
BEST = [2, 1, 0, 3]
"""Their positions, best first."""


@asynccontextmanager
async def service(
    scorer: Callable[[Pair], Any] = word_overlap,
    *,
    policy: HttpPolicy | None = None,
    access: Access | None = None,
    reranker: Reranker | None = None,
    default_budget_ms: float = 10_000,
    **options: Any,
) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the application. `options`: of `Reranker`."""
    metrics, summary = PrometheusObserver(), Summary(batch_size=32)
    # a busy machine may take longer than 250 ms even for a fake
    made = reranker or fake_reranker(scorer, policy=RerankPolicy(budget_ms=default_budget_ms), **options)
    live = Live(made.clock)
    made._observers = (*made._observers, metrics, summary, live)
    for observer in (metrics, summary, live):
        observer.bind(made.status)
    app = create_app(
        made,
        policy=policy or HttpPolicy(),
        access=access or OpenAccess(),
        metrics=metrics,
        summary=summary,
        live=live,
    )
    transport = httpx.ASGITransport(app=app)
    async with made, httpx.AsyncClient(transport=transport, base_url="http://service") as client:
        client.app = app  # type: ignore[attr-defined]
        client.reranker = made  # type: ignore[attr-defined]
        yield client


class Hanging:
    """A scorer that calibrates, and then hangs until it is let go."""

    def __init__(self) -> None:
        self.hangs = False
        self.let_go = threading.Event()

    def __call__(self, pair: Pair) -> float:
        if self.hangs:
            self.let_go.wait(10)
        return word_overlap(pair)


def raising(pair: Pair) -> float:
    """A scorer that raises for what a caller asks, and never when it is tried out at loading."""
    if "apple" in pair.query:
        raise RuntimeError("broken")
    return 0.0
