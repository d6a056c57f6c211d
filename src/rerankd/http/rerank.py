"""The way of a rerank request: admit, read, check, rerank, write. Refusals are worded by the dialect."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from contextlib import AbstractContextManager, ExitStack, nullcontext
from typing import Any, TypeVar

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from rerankd.core.answer import Ranking
from rerankd.errors import InvalidRequest
from rerankd.http import limits
from rerankd.http.access import Access
from rerankd.http.budget import budget_ms, degradation
from rerankd.http.call import Call, Dialect
from rerankd.http.dialects.own import Own
from rerankd.http.policy import HttpPolicy
from rerankd.http.refusal import Refusal
from rerankd.http.stream import stream
from rerankd.models.registry import known_models
from rerankd.reranker import Reranker

__all__ = ["Joined", "Rerank", "refused", "request_id"]

Pick = Callable[[Mapping[str, Any] | None], Dialect]
"""Which dialect a body is in; None: it could not be read."""
Joined = Callable[[Mapping[str, str]], AbstractContextManager[None]]
"""Makes what happens within it part of the trace that a request's headers name."""
_Value = TypeVar("_Value")


class Rerank:
    """Answers rerank requests of any dialect."""

    def __init__(
        self, reranker: Reranker, policy: HttpPolicy, access: Access, *, joined: Joined | None = None
    ) -> None:
        self._reranker = reranker
        self._policy = policy
        self._access = access
        self._joined = joined or (lambda headers: nullcontext())

    def route(self, pick: Pick) -> Callable[[Request], Awaitable[Response]]:
        """The handler of a route on which `pick` tells the dialect."""

        async def answer(request: Request) -> Response:
            with self._joined(request.headers):
                return await self._answer(request, pick)

        return answer

    async def _answer(self, request: Request, pick: Pick) -> Response:
        arrived = self._reranker.clock.now()
        dialect = pick(None)
        id = request_id(request)
        try:
            limits.refuse_while_draining(request)
            caller = self._access.admit(request.headers)
            caller.require("rerank")
            limits.require_json(request)
            body = limits.parse(await limits.read_body(request, self._policy), self._policy)
            dialect = pick(body)
            limits.check_count(body, self._policy, dialect.texts)
            call = dialect.read(limits.validated(dialect.Request, body))
            limits.check(call, self._policy, dialect.texts)
            self._check_model(call, dialect)
            budget = budget_ms(call.budget_ms, request.headers, self._policy, self._reranker.policy.budget_ms)
            with ExitStack() as held:
                entry = held.enter_context(self._access.enter(caller))
                if entry.rate_limited and isinstance(dialect, Own):
                    raise Refusal("rate_limited", "this key is over its rate or its concurrency")
                asked: dict[str, Any] = {
                    "budget_ms": budget,
                    "rate_limited": entry.rate_limited,
                    "tenant": caller.tenant,
                    "arrived": arrived,
                    "top_k": call.top_k,
                    "min_score": call.min_score,
                    "on_deadline": call.on_deadline,
                    "long_text": call.long_text,
                }
                if call.stream:
                    return await stream(self._reranker, call, asked, held.pop_all())
                ranking = await unless_gone(
                    request, self._reranker.arerank(call.query, call.candidates, **asked)
                )
            return self._written(ranking, call, dialect, id)
        except Refusal as refusal:
            return refused(refusal, dialect, id)
        except InvalidRequest as error:
            field = error.argument.replace("candidates", dialect.texts)
            return refused(Refusal("validation", f"{field}: {error.problem}", param=field), dialect, id)
        except ClientDisconnect:
            return Response(status_code=499)  # nobody hears it; proxies log this number for it

    def _check_model(self, call: Call, dialect: Dialect) -> None:
        """Foreign clients name the model of the service that they were written for."""
        if call.model is None or not (self._policy.strict_model or isinstance(dialect, Own)):
            return
        served = self._reranker.status().model or ""
        if call.model != served and _ids(call.model) != served.split("+"):
            raise Refusal(
                "validation", f"model: this server serves {served}", param="model", code="unknown_model"
            )

    def _written(self, ranking: Ranking, call: Call, dialect: Dialect, id: str) -> Response:
        body = dialect.write(ranking, call, call.model or ranking.model or "", id)
        return Response(
            json.dumps(body, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode(),
            media_type="application/json",
            headers=degradation(ranking),
        )


def _ids(model: str) -> list[str]:
    """The hub ids of the model, or of a cascade's two, that a client names."""
    named = {name: known.id for known in known_models() for name in (known.id, *known.aliases, *known.hub)}
    return [named.get(each, each) for each in model.split("+")]


async def unless_gone(request: Request, work: Coroutine[Any, Any, _Value]) -> _Value:
    """The result of `work`, which is dropped when the client goes away. Raises `ClientDisconnect` then."""
    task = asyncio.create_task(work)
    gone = asyncio.create_task(_gone(request))
    try:
        await asyncio.wait((task, gone), return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise ClientDisconnect
        return task.result()
    finally:
        gone.cancel()
        task.cancel()


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def refused(refusal: Refusal, dialect: Dialect, id: str) -> Response:
    """A refusal in the dialect's own words."""
    body = dialect.refuse(refusal, id)
    if body is None:
        return Response(status_code=refusal.status, headers=refusal.headers)
    return Response(json.dumps(body).encode(), refusal.status, refusal.headers, media_type="application/json")


def request_id(request: Request) -> str:
    """The request's id, as the edge found or made it."""
    return str(request.scope.get("state", {}).get("request_id", ""))
