"""The way of a memory request: admit, read, check, do, write.

The tenant, and where the key pins one also the user, come from the key. A reranker in trouble is answered as
everywhere, in retrieval order; a database, a key or an embedder in trouble is an error: never an empty answer,
which would read as "nothing is known".
"""

import json
import logging
import re
from collections.abc import Awaitable, Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from rerankd.core.ports import Clock
from rerankd.errors import BackendError, InvalidRequest, SealError, StoreError
from rerankd.http import limits
from rerankd.http.access import Access
from rerankd.http.budget import budget_ms, degradation_of_recall
from rerankd.http.dialects.errors import wrapped
from rerankd.http.memory.bodies import (
    MemoryAddRequest,
    MemoryCall,
    MemoryDeleteRequest,
    MemoryEraseRequest,
    MemoryQueryRequest,
    NewMemory,
)
from rerankd.http.memory.opening import ServedMemory, served
from rerankd.http.policy import HttpPolicy
from rerankd.http.refusal import Kind, Refusal
from rerankd.http.rerank import Joined, request_id, unless_gone

if TYPE_CHECKING:
    from rerankd.memory.memory import Memory

__all__ = ["MemoryRoutes"]

_log = logging.getLogger(__name__)
_Call = TypeVar("_Call", bound=MemoryCall)
_FAILURES: Mapping[type[Exception], tuple[Kind, str]] = {
    StoreError: ("store_error", "the memory's database is not there, late, or not as it must be"),
    SealError: ("seal_error", "a key of the memory is missing or wrong, so nothing can be opened"),
    BackendError: ("embedder_error", "the text could not be embedded in time, or not at all"),
}
_ARGUMENT = re.compile(r"(texts|metadata|created_at)\[(\d+)\]")
"""How the memory names a part of what it was given. Here each memory is an object of its own."""
_NAMES = {"top_k_reranked": "top_k"}


@dataclass(frozen=True, slots=True)
class _Asked:
    """An admitted request, on its way to the memory."""

    request: Request
    arrived: float
    memory: "Memory"
    user: str


class MemoryRoutes:
    """Answers `/api/v1/memory/...`."""

    def __init__(
        self,
        memory: ServedMemory | None,
        policy: HttpPolicy,
        access: Access,
        clock: Clock,
        *,
        joined: Joined | None = None,
    ) -> None:
        """`memory`: None where none is served. `clock`: the reranker's."""
        self._memory = memory
        self._policy = policy
        self._access = access
        self._clock = clock
        self._joined = joined or (lambda headers: nullcontext())

    async def add(self, request: Request) -> Response:
        """Remember texts of a user."""
        return await self._answered(request, MemoryAddRequest, self._add)

    async def query(self, request: Request) -> Response:
        """Find what answers a question best, within the budget."""
        return await self._answered(request, MemoryQueryRequest, self._query)

    async def delete(self, request: Request) -> Response:
        """Forget memories by their ids."""
        return await self._answered(request, MemoryDeleteRequest, self._delete)

    async def erase(self, request: Request) -> Response:
        """Forget a user."""
        return await self._answered(request, MemoryEraseRequest, self._erase)

    # -- the four calls ----------------------------------------------------------------------------------

    async def _add(self, asked: _Asked, call: MemoryAddRequest) -> Response:
        self._check_many("memories", len(call.memories))
        given = [each if isinstance(each, NewMemory) else NewMemory(text=each) for each in call.memories]
        ids = await asked.memory.add(
            [each.text for each in given],
            user_id=asked.user,
            metadata=[each.metadata for each in given],
            created_at=[each.created_at for each in given],
        )
        return _json({"ids": [str(each) for each in ids]})

    async def _query(self, asked: _Asked, call: MemoryQueryRequest) -> Response:
        if len(call.query) > self._policy.max_query_chars:
            limits.over("query", f"{self._policy.max_query_chars} characters", len(call.query))
        default = asked.memory.policy.budget_ms
        work = asked.memory.query(
            call.query,
            user_id=asked.user,
            top_k_ann=call.top_k_ann,
            top_k_reranked=call.top_k,
            budget_ms=budget_ms(call.budget_ms, asked.request.headers, self._policy, default),
            since=call.since,
            until=call.until,
            metadata=call.metadata,
            half_life_days=call.half_life_days,
            arrived=asked.arrived,
        )
        recall = await unless_gone(asked.request, work)
        return _json(recall.as_dict(), degradation_of_recall(recall))

    async def _delete(self, asked: _Asked, call: MemoryDeleteRequest) -> Response:
        self._check_many("ids", len(call.ids))
        return _json({"deleted": await asked.memory.delete(call.ids, user_id=asked.user)})

    async def _erase(self, asked: _Asked, call: MemoryEraseRequest) -> Response:
        done = await asked.memory.erase_user(user_id=asked.user)
        return _json(
            {"rows": done.rows, "known": done.known, "final": done.final, "remaining": done.remaining}
        )

    # -- what they have in common ------------------------------------------------------------------------

    async def _answered(
        self, request: Request, body: type[_Call], work: Callable[[_Asked, _Call], Awaitable[Response]]
    ) -> Response:
        arrived = self._clock.now()
        with self._joined(request.headers):
            try:
                return await self._worked(request, arrived, body, work)
            except Refusal as refusal:
                return _refused(refusal)
            except InvalidRequest as error:
                field = _field(error.argument)
                return _refused(Refusal("validation", f"{field}: {error.problem}", param=field))
            except (StoreError, SealError, BackendError) as error:
                return _refused(_failure(error, request_id(request)))
            except ClientDisconnect:
                return Response(status_code=499)

    async def _worked(
        self,
        request: Request,
        arrived: float,
        body: type[_Call],
        work: Callable[[_Asked, _Call], Awaitable[Response]],
    ) -> Response:
        limits.refuse_while_draining(request)
        caller = self._access.admit(request.headers)
        tenant, pinned = caller.memory()
        memory = served(self._memory)
        limits.require_json(request)
        given = limits.parse(await limits.read_body(request, self._policy), self._policy)
        call = limits.validated(body, given)
        user = _user(call.user_id, pinned)
        with self._access.enter(caller) as entry:
            if entry.rate_limited:
                raise Refusal("rate_limited", "this key is over its rate or its concurrency")
            return await work(_Asked(request, arrived, memory.of_tenant(tenant), user), call)

    def _check_many(self, field: str, count: int) -> None:
        if count > self._policy.max_memories:
            limits.over(field, f"{self._policy.max_memories} at once", count)


def _user(given: str | None, pinned: str | None) -> str:
    """Whose memories: the one that the key is for, else the one that the body names."""
    if pinned is None:
        if given is None:
            raise Refusal("validation", "user_id: is missing", param="user_id", code="missing")
        return given
    if given not in (None, pinned):
        raise Refusal(
            "forbidden",
            "user_id: the key is for one user, who is not this one",
            param="user_id",
            code="scope",
        )
    return pinned


def _field(argument: str) -> str:
    """The memory's argument, as the body names it."""
    found = _ARGUMENT.fullmatch(argument)
    if found is None:
        return _NAMES.get(argument, argument)
    name = "text" if found[1] == "texts" else found[1]
    return f"memories[{found[2]}].{name}"


def _failure(error: StoreError | SealError | BackendError, id: str) -> Refusal:
    """The caller hears what kind of failure it is; whoever runs the service finds in the log what to do."""
    _log.warning("request %s: the memory failed: %s", id, error)
    kind, words = next(said for type, said in _FAILURES.items() if isinstance(error, type))
    return Refusal(kind, f"{words}; the service's log says more")


def _json(body: Mapping[str, Any], headers: Mapping[str, str] | None = None) -> Response:
    content = json.dumps(body, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()
    return Response(content, media_type="application/json", headers=headers)


def _refused(refusal: Refusal) -> Response:
    body = json.dumps(wrapped(refusal))
    return Response(body, refusal.status, refusal.headers, media_type="application/json")
