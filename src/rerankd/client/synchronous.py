"""The client for threads: the asynchronous one, in an event loop on a thread of its own.

Only there can a request be ended at any point (a name lookup, headers that drip, a body without an end) when
its deadline comes; a blocking socket's time-out starts anew with every byte.
"""

import asyncio
import threading
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Any, Self

from rerankd.client.asynchronous import RESERVE_MS, AsyncClient
from rerankd.core.answer import Ranking
from rerankd.core.request import RerankPolicy
from rerankd.core.types import LongText, OnDeadline
from rerankd.errors import BackendError
from rerankd.reranker import UNSET, Unset

__all__ = ["Client"]


class Client:
    """Asks a rerankd service. Thread-safe."""

    def __init__(
        self,
        url: str,
        *,
        api_key: str | None = None,
        model: str | None = None,
        fail_open: bool = True,
        reserve_ms: float = RESERVE_MS,
        policy: RerankPolicy | None = None,
        transport: Any = None,
    ) -> None:
        """As `AsyncClient`."""
        self._client = AsyncClient(
            url,
            api_key=api_key,
            model=model,
            fail_open=fail_open,
            reserve_ms=reserve_ms,
            policy=policy,
            transport=transport,
        )
        self._closed = False
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="rerankd-client", daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def rerank(
        self,
        query: str,
        candidates: Iterable[Any],
        *,
        budget_ms: float | Unset | None = UNSET,
        top_k: int | None = None,
        min_score: float | None = None,
        on_deadline: OnDeadline | None = None,
        long_text: LongText | None = None,
        text: Callable[[Any], str] | None = None,
    ) -> Ranking:
        """As `AsyncClient.rerank`."""
        if self._closed:
            raise BackendError("the client is closed")
        asking = self._client.rerank(
            query,
            candidates,
            budget_ms=budget_ms,
            top_k=top_k,
            min_score=min_score,
            on_deadline=on_deadline,
            long_text=long_text,
            text=text,
        )
        return asyncio.run_coroutine_threadsafe(asking, self._loop).result()

    def close(self) -> None:
        """End the thread, and give the connections back."""
        if self._closed:
            return
        self._closed = True
        asyncio.run_coroutine_threadsafe(self._client.close(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def _run(self) -> None:
        try:
            self._loop.run_forever()
        finally:
            self._loop.close()
