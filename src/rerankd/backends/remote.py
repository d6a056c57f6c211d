"""A scorer that is a server: another rerankd, TEI, or a hosted API, made punctual.

One request a call, on a pooled connection, and no retry: what a retry would wait for is the caller's budget,
and there is none left. Requests run in an event loop on a thread of their own, because that is where they can
be ended at any point (name lookup, headers that drip, a body without an end) when nobody waits any more.
"""

import asyncio
import concurrent.futures
import logging
import math
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit, urlunsplit

from rerankd.backends.remote_dialects import Answer, Asked, TooMany, ask, read
from rerankd.backends.remote_policy import RemotePolicy
from rerankd.core.ports import Clock, Model, ScorerTraits, Stop
from rerankd.core.types import Pair, Reason, Scores
from rerankd.errors import BackendError

if TYPE_CHECKING:
    import httpx

__all__ = ["RemoteScorer", "load_remote"]

_log = logging.getLogger(__name__)

CHARACTERS_PER_TOKEN = 16
_LATE = 0.5
"""Seconds beyond the caller's deadline after which a request is ended that nobody has stopped."""
_HOLD_OFF = 1.0
"""Seconds without a request after a 429 that does not say for how long."""
_LONGEST_HOLD_OFF = 60.0


def load_remote(policy: RemotePolicy, *, clock: Clock, transport: Any = None) -> Model:
    """The model that a server has. The server is not asked: its first request is a caller's.

    `transport`: an httpx transport instead of the network's. Raises `BackendError` when httpx is missing.
    """
    scorer = RemoteScorer(policy, clock=clock, transport=transport)
    return Model(scorer=scorer, tokenizer=None, max_tokens=policy.max_tokens)


class RemoteScorer:
    """The `Scorer` port over HTTP. Thread-safe."""

    def __init__(self, policy: RemotePolicy, *, clock: Clock, transport: Any = None) -> None:
        self._policy = policy
        self._clock = clock
        self._line = _Line(policy, transport)
        self._not_before = -math.inf
        self._told = False
        self.traits = ScorerTraits(
            model=policy.name,
            device="remote",
            concurrency=policy.connections,
            unit="query",
            interruptible=True,
            activation="identity",
            local=False,
            punctual=policy.dialect == "rerankd",
        )

    def score(self, pairs: Sequence[Pair], stop: Stop) -> Sequence[float]:
        """The server's scores. `Scores` where it did not come to all, or must not be asked now."""
        if not pairs:
            return []
        now = self._clock.now()
        left = stop.deadline - now
        allowed = left * 1000 - self._policy.reserve_ms
        if allowed < 1:
            return Scores([None] * len(pairs), Reason.BUDGET_TOO_SMALL)
        if now < self._not_before:
            return Scores([None] * len(pairs), Reason.RATE_LIMITED)
        budget = None if left == math.inf else math.floor(allowed)
        seconds = self._policy.timeout_ms / 1000 if left == math.inf else left + _LATE
        most = self._policy.max_candidates
        groups = [pairs[first : first + most] for first in range(0, len(pairs), most)]
        future = self._line.fetch([self._asked(group, budget) for group in groups], budget, seconds)
        stop.on_stop(lambda: _cancel(future))
        try:
            answers = future.result()
        except concurrent.futures.CancelledError:
            raise BackendError("nobody waits for the server any more") from None
        try:
            return _joined([self._read(each, group) for each, group in zip(answers, groups, strict=True)])
        except TooMany as refused:
            self._hold_off(refused.seconds)
            return Scores([None] * len(pairs), Reason.RATE_LIMITED)

    def close(self) -> None:
        self._line.close()

    def _asked(self, pairs: Sequence[Pair], budget: int | None) -> Asked:
        limit = CHARACTERS_PER_TOKEN * self._policy.max_tokens
        # the query may fill at most half of the window
        query = _plain(pairs[0].query, limit // 2)
        texts = [_plain(pair.text, limit) for pair in pairs]
        return ask(self._policy.dialect, query, texts, model=self._policy.model, budget_ms=budget)

    def _read(self, answer: Answer, pairs: Sequence[Pair]) -> Sequence[float]:
        return read(self._policy.dialect, answer, len(pairs))

    def _hold_off(self, seconds: float | None) -> None:
        pause = min(_HOLD_OFF if seconds is None else seconds, _LONGEST_HOLD_OFF)
        self._not_before = self._clock.now() + pause
        if not self._told:
            self._told = True
            _log.warning("%s wants fewer requests: it is left alone for %.0f s", self.traits.model, pause)


class _Line:
    """The connections, and the event loop that serves them."""

    def __init__(self, policy: RemotePolicy, transport: Any) -> None:
        self._policy = policy
        self._client = _client(policy, transport)
        self._errors = _errors()
        self._closed = False
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="rerankd-remote", daemon=True)
        self._thread.start()

    def fetch(
        self, asked: Sequence[Asked], budget_ms: int | None, seconds: float
    ) -> "concurrent.futures.Future[list[Answer]]":
        """Begin to ask. The future raises `BackendError` when not every request is answered in time."""
        coroutine = self._fetch_all(asked, budget_ms, seconds)
        if self._closed:  # a loop that has stopped would take it, and never begin it
            coroutine.close()
            raise BackendError("the scorer is closed")
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop)

    def close(self) -> None:
        """End what is under way, and the thread."""
        if self._closed:
            return
        self._closed = True
        self._loop.call_soon_threadsafe(self._loop.stop)
        if self._thread is not threading.current_thread():
            self._thread.join(2.0)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_forever()
            tasks = asyncio.all_tasks(self._loop)
            for task in tasks:
                task.cancel()
            self._loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
            self._loop.run_until_complete(self._client.aclose())
        finally:
            self._loop.close()

    async def _fetch_all(self, asked: Sequence[Asked], budget_ms: int | None, seconds: float) -> list[Answer]:
        try:
            async with asyncio.timeout(seconds), asyncio.TaskGroup() as group:
                tasks = [group.create_task(self._fetch(each, budget_ms)) for each in asked]
        except TimeoutError:
            raise BackendError("the server did not answer in time") from None
        except BaseExceptionGroup as errors:
            # the first of them; their words are ours
            raise errors.exceptions[0] from None
        return [task.result() for task in tasks]

    async def _fetch(self, asked: Asked, budget_ms: int | None) -> Answer:
        headers = {} if budget_ms is None else {"x-request-timeout-ms": str(budget_ms)}
        url = _joined_url(self._policy.url, asked.path)
        try:
            async with self._client.stream("POST", url, content=asked.body, headers=headers) as response:
                if response.headers.get("content-encoding", "identity") != "identity":
                    raise BackendError("the server compressed its answer, although it was asked not to")
                body = bytearray()
                async for chunk in response.aiter_raw():
                    body += chunk
                    if len(body) > self._policy.max_answer_bytes:
                        raise BackendError("the server's answer is too long")
                return Answer(response.status_code, dict(response.headers), bytes(body))
        except self._errors as error:
            # its message may quote what was sent
            raise BackendError(f"the server could not be asked: {type(error).__name__}") from None


def _client(policy: RemotePolicy, transport: Any) -> "httpx.AsyncClient":
    try:
        import httpx
    except ImportError:
        raise BackendError("a remote scorer needs httpx: pip install 'rerankd[client]'") from None
    headers = {
        "content-type": "application/json",
        "accept": "application/json",
        "accept-encoding": "identity",
    }
    if policy.key is not None:
        headers["authorization"] = f"Bearer {policy.key}"
    return httpx.AsyncClient(
        headers=headers,
        timeout=None,  # the whole request has one limit, which these could not keep
        follow_redirects=False,  # nobody else is to get the key
        limits=httpx.Limits(
            max_connections=policy.connections * 2,
            max_keepalive_connections=policy.connections,
            keepalive_expiry=policy.keepalive_ms / 1000,
        ),
        transport=transport,
    )


def _errors() -> tuple[type[Exception], ...]:
    import httpx

    return (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError, OSError, UnicodeError, ValueError)


def _joined_url(base: str, path: str) -> str:
    """The base with the dialect's path, unless it names the route itself; a `/v1` in both counts once."""
    parts = urlsplit(base)
    start = parts.path.rstrip("/")
    if not start.endswith("/rerank"):
        version = path.split("/")[1]
        if start.endswith(f"/{version}") and version in ("v1", "v2"):
            path = path.removeprefix(f"/{version}")
        start += path
    return urlunsplit((parts.scheme, parts.netloc, start, "", ""))


def _joined(parts: Sequence[Sequence[float]]) -> Sequence[float]:
    scores = [score for part in parts for score in part]
    reasons = [part.reason for part in parts if isinstance(part, Scores)]
    return Scores(scores, reasons[0]) if reasons else scores


def _plain(text: str, limit: int) -> str:
    """At most `limit` characters that every server accepts: lone surrogates have no UTF-8 form."""
    start = text[:limit]
    return start if start.isascii() else start.encode("utf-8", "replace").decode()


def _cancel(future: "concurrent.futures.Future[Any]") -> None:
    future.cancel()
