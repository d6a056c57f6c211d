"""The client for event loops."""

import asyncio
import json
import math
from collections.abc import Callable, Iterable
from dataclasses import replace
from types import TracebackType
from typing import Any, Self

import httpx

from rerankd.client.answer import asked, fallen_open, read
from rerankd.core.answer import Ranking
from rerankd.core.request import Request, RerankPolicy, read_request
from rerankd.core.types import LongText, OnDeadline, Outcome, Reason
from rerankd.engine.clock import SystemClock
from rerankd.errors import BackendError, ConfigError, InvalidRequest
from rerankd.reranker import UNSET, Unset

__all__ = ["AsyncClient"]

PATH = "/api/v1/rerank"
RESERVE_MS = 5.0
"""How much of the budget is kept back for the way to the server and home."""
CONNECT_S = 5.0
"""How long connecting may take where there is no budget."""


class AsyncClient:
    """Asks a rerankd service. One object serves any number of tasks of one event loop."""

    def __init__(
        self,
        url: str,
        *,
        api_key: str | None = None,
        model: str | None = None,
        fail_open: bool = True,
        reserve_ms: float = RESERVE_MS,
        policy: RerankPolicy | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        """`url`: the service's address. `api_key`: left out, `RERANKD_API_KEY`. `model`: the only one that may
        answer. `fail_open=False`: raise `BackendError` where an answer would be in retrieval order because
        of the network or the server. `policy`: defaults of a request, as in the library. `transport`: an httpx
        transport instead of the network's.

        Raises `ConfigError` for an address that is none.
        """
        if not url.startswith(("http://", "https://")):
            raise ConfigError(f"url: must begin with http:// or https://, got {url!r}")
        key = _key() if api_key is None else api_key
        self._url = url.rstrip("/")
        self._model = model
        self._fail_open = fail_open
        self._reserve_ms = reserve_ms
        self._policy = policy or RerankPolicy()
        self._clock = SystemClock()
        self._http = httpx.AsyncClient(
            base_url=self._url,
            headers={"authorization": f"Bearer {key}"} if key else {},
            timeout=httpx.Timeout(None, connect=CONNECT_S),  # the deadline is kept around the whole request
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=64),
            transport=transport,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Give the connections back."""
        await self._http.aclose()

    async def rerank(
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
        """Reorder candidates within `budget_ms` milliseconds from now, the network included.

        The arguments are those of `Reranker.rerank`; without `budget_ms`, the policy's (250); None, as long as
        the server allows. Logits stay with the server. The answer is `skipped` with `model_unavailable` when
        the server cannot be reached, `deadline` when it is late, `rate_limited` when it asks for patience, and
        `model_error` when its answer is none.

        Raises `InvalidRequest` for wrong arguments, also for what only the server refuses, and `ConfigError`
        for a key that it does not accept.
        """
        began = self._clock.now()
        request = read_request(
            self._policy,
            query,
            candidates,
            budget_ms=self._policy.budget_ms if isinstance(budget_ms, Unset) else budget_ms,
            top_k=top_k,
            min_score=min_score,
            on_deadline=on_deadline,
            long_text=long_text,
            text=text,
        )
        if not request.candidates:
            return _nothing_asked(request, self._elapsed(began))
        try:
            return await self._ask(request, began)
        except BackendError as error:
            reason = error.reason if isinstance(error, _FailedError) else Reason.MODEL_ERROR
            if not self._fail_open and reason is not Reason.RATE_LIMITED:
                raise
            return fallen_open(request, reason, self._elapsed(began))

    async def _ask(self, request: Request, began: float) -> Ranking:
        left = math.inf if request.budget_ms is None else request.budget_ms - self._elapsed(began)
        budget = None if request.budget_ms is None else math.floor(left - self._reserve_ms)
        if budget is not None and budget < 1:
            raise _FailedError(Reason.BUDGET_TOO_SMALL, "the budget is spent on the way to the server")
        # the caller wakes a little earlier than its deadline, as in the library, to have time to return
        seconds = None if left == math.inf else left / 1000 - self._policy.guard(request.budget_ms)
        try:
            async with asyncio.timeout(seconds):
                answer = await self._http.post(
                    PATH,
                    content=asked(request, budget, self._model),
                    headers={"content-type": "application/json"},
                )
        except TimeoutError:
            raise _FailedError(Reason.DEADLINE, f"{self._url}: no answer within the budget") from None
        except httpx.HTTPError as error:
            what = f"{self._url}: cannot be reached: {type(error).__name__}"
            raise _FailedError(Reason.MODEL_UNAVAILABLE, what) from None
        if answer.status_code != 200:
            self._refused(answer)
        return read(answer.content, request, self._elapsed(began))

    def _refused(self, answer: httpx.Response) -> None:
        """Raises what an answer without an order means."""
        status, said = answer.status_code, _error_of(answer)
        if status in (401, 403):
            raise ConfigError(f"{self._url}: does not accept the API key (HTTP {status})")
        if status == 429:
            raise _FailedError(Reason.RATE_LIMITED, f"{self._url}: wants fewer requests")
        if status in (413, 422):
            raise InvalidRequest(said.get("param") or "request", str(said.get("message") or f"HTTP {status}"))
        if status == 503:
            raise _FailedError(Reason.MODEL_UNAVAILABLE, f"{self._url}: is shutting down (HTTP 503)")
        raise _FailedError(Reason.MODEL_ERROR, f"{self._url}: HTTP {status}")

    def _elapsed(self, began: float) -> float:
        return (self._clock.now() - began) * 1000


class _FailedError(BackendError):
    """No order from the server, and why."""

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason = reason


def _nothing_asked(request: Request, elapsed_ms: float) -> Ranking:
    """No candidates: there is nothing to ask a server for."""
    return replace(fallen_open(request, Reason.DEADLINE, elapsed_ms), outcome=Outcome.RERANKED, reason=None)


def _error_of(answer: httpx.Response) -> dict[str, Any]:
    try:
        said = json.loads(answer.content)
    except (ValueError, RecursionError):
        return {}
    error = said.get("error") if isinstance(said, dict) else None
    return error if isinstance(error, dict) else {}


def _key() -> str | None:
    from rerankd.settings import Settings

    return Settings.load().api_key
