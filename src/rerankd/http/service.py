"""Everything that runs while the service does: the reranker, the server, and what watches them."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from rerankd.core.ports import Clock
from rerankd.http.server import Server
from rerankd.metrics import PrometheusObserver
from rerankd.reranker import Reranker

__all__ = ["Service"]


class Service:
    """Starts in good order and stops in good order: it listens before the model is there, and answers until the
    last request is answered."""

    def __init__(
        self,
        reranker: Reranker,
        server: Server,
        *,
        clock: Clock,
        metrics: PrometheusObserver | None = None,
        also: tuple[Any, ...] = (),
        at_end: tuple[Callable[[], object], ...] = (),
    ) -> None:
        """`reranker` must not wait for its model. `also`: asynchronous context managers to be inside of.
        `at_end`: called when all is over."""
        self.reranker = reranker
        self.server = server
        self._clock = clock
        self._metrics = metrics
        self._also = also
        self._at_end = at_end

    @asynccontextmanager
    async def started(self) -> AsyncIterator[None]:
        """Everything but the server runs within."""
        async with AsyncExitStack() as stack:
            for each in self._at_end:
                stack.callback(each)
            await stack.enter_async_context(self.reranker)
            if self._metrics is not None:
                await stack.enter_async_context(self._metrics.loop_lag(self._clock))
            for context in self._also:
                await stack.enter_async_context(context)
            yield

    async def run(self, listening: Callable[[Server], None] = lambda server: None) -> None:
        """Serve until a signal ends it. `listening` is called when it listens.

        Raises `RerankdError` where the address cannot be had, before anything is started.
        """
        sockets = await self.server.bind()
        async with self.started():
            serving = asyncio.create_task(self.server.serve(sockets))
            await self.server.listening(serving)
            if self.server.started:
                listening(self.server)
            await serving
