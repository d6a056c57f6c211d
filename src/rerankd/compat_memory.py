"""The names that host applications import from `src.memory.query`, over the memory that everything else uses.

    from src.memory.query import query_memory

`query_memory` reranks with whatever `src.memory.rerank` reranks with: its encoder, also one that a host has put
there, and `RERANK_ENABLED`, both looked up at each call. One memory is kept for each event loop; `close_memory`
closes it.

`seal` and `open_sealed` are a primitive for the host's own data, under a key of their own that no rotation of
the memory destroys. What the memory keeps is sealed more strictly, and does not open with them.
"""

import asyncio
import atexit
import logging
import math
import weakref
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any, cast

from rerankd import compat
from rerankd.core.answer import Ranking, ranked
from rerankd.core.deadline import Deadline
from rerankd.core.events import Timings
from rerankd.core.ports import Clock
from rerankd.core.request import RerankPolicy, read_request
from rerankd.core.types import Outcome, Reason
from rerankd.dropin.constants import settings_now
from rerankd.engine.clock import SystemClock
from rerankd.errors import RerankdError, SealError, StoreError
from rerankd.memory.memory import Memory
from rerankd.memory.types import MemoryChunk
from rerankd.reranker import Reranker
from rerankd.settings import Settings
from rerankd.wiring import build_memory, epochs_of

__all__ = [
    "MemoryChunk",
    "close_memory",
    "get_connection",
    "get_memory",
    "hmac_user",
    "open_sealed",
    "query_memory",
    "seal",
    "set_rls_context",
]

_log = logging.getLogger(__name__)

_SERVICE = b"src.memory.query"
"""What the additional data of `seal` begin with."""


# -- asking -------------------------------------------------------------------------------------------------


async def query_memory(
    query: str, user_id: str, top_k_ann: int = 24, top_k_reranked: int = 8
) -> list[MemoryChunk]:
    """The memories of this user that answer best: the `top_k_ann` nearest, reranked, the first `top_k_reranked`.

    A reranker that is slow, broken or switched off costs the order only. Raises `InvalidRequest`, `StoreError`,
    `SealError` and `BackendError`, as `Memory.query` does.
    """
    memory = await get_memory()
    recall = await memory.query(query, user_id=user_id, top_k_ann=top_k_ann, top_k_reranked=top_k_reranked)
    return list(recall)


async def get_memory() -> Memory:
    """The memory of this event loop, opened by the first call; anew when its settings have changed."""
    loop = asyncio.get_running_loop()
    held = _held.setdefault(loop, _Held(asyncio.Lock()))
    wanted = _shape()
    async with held.lock:
        if held.memory is not None and held.settings == wanted:
            return held.memory
        await held.close()
        memory = build_memory(wanted, cast("Reranker", _Current()))
        await memory.__aenter__()
        held.settings, held.memory = wanted, memory
        return memory


async def close_memory() -> None:
    """Close the memory of this event loop, where there is one."""
    held = _held.pop(asyncio.get_running_loop(), None)
    if held is not None:
        async with held.lock:
            await held.close()


@dataclass(slots=True, eq=False)
class _Held:
    lock: asyncio.Lock
    settings: Settings | None = None
    memory: Memory | None = None

    async def close(self) -> None:
        memory, self.memory = self.memory, None
        if memory is not None:
            await memory.__aexit__(None, None, None)


_held: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, _Held] = weakref.WeakKeyDictionary()


def _shape() -> Settings:
    """The settings without those that are looked up for each question."""
    return replace(settings_now(), enabled=True)


class _Current:
    """What `src.memory.rerank` reranks with now, in the place of a reranker of the memory's own."""

    def __init__(self) -> None:
        self.clock: Clock = SystemClock()

    async def arerank(
        self,
        query: str,
        candidates: Sequence[Any],
        *,
        budget_ms: float | None,
        top_k: int | None,
        arrived: float,
        flag_key: str | None,
    ) -> Ranking:
        deadline = Deadline.after(arrived, budget_ms)
        reason = Reason.DISABLED
        if compat.RERANK_ENABLED and candidates:
            reason = Reason.MODEL_LOADING
            try:
                found = await compat._engine(deadline)
                if found is not None:
                    # the encoder is held until the answer is there: its engine ends with it
                    reranker, _encoder = found
                    return await reranker.arerank(
                        query, candidates, budget_ms=self._left(deadline), top_k=top_k, flag_key=flag_key
                    )
            except RerankdError as error:
                _log.warning("retrieval order: %s", error)
                reason = Reason.MODEL_UNAVAILABLE
            except Exception as error:  # noqa: BLE001 - the fail-open boundary: what makes a host's encoder is foreign
                # no message and no traceback: either may hold a text
                _log.error("retrieval order: %s", type(error).__name__)
                reason = Reason.MODEL_ERROR
        return self._retrieval_order(query, candidates, top_k, reason, arrived)

    def _left(self, deadline: Deadline) -> float | None:
        left = deadline.remaining(self.clock.now())
        return None if left == math.inf else max(0.0, left * 1000)

    def _retrieval_order(
        self, query: str, candidates: Sequence[Any], top_k: int | None, reason: Reason, arrived: float
    ) -> Ranking:
        request = read_request(RerankPolicy(), query, candidates, budget_ms=None, top_k=top_k)
        return Ranking(
            candidates=ranked(request, (None,) * len(request.candidates), "sigmoid"),
            outcome=Outcome.SKIPPED if candidates else Outcome.RERANKED,
            reason=reason if candidates else None,
            depth=0,
            candidates_total=len(request.candidates),
            elapsed_ms=(self.clock.now() - arrived) * 1000,
            timings=Timings(),
            model=None,
        )


# -- the database -------------------------------------------------------------------------------------------


def hmac_user(user_id: str) -> str:
    """The name under which the database knows a user: 64 hexadecimal digits.

    Of the newest pepper and the tenant of the settings. While a pepper is being rotated a user may still be
    there under the one before.
    """
    from rerankd.memory.pepper import Peppers
    from rerankd.memory.reading import read_user

    settings = settings_now()
    peppers = Peppers(epochs_of(settings, "pepper"))
    return peppers.hash(peppers.current_id(), settings.store.tenant, read_user(user_id))


class Connection:
    """A connection as the application's plain role, with `$1` placeholders."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    async def fetch(self, sql: str, *args: Any) -> list[Mapping[str, Any]]:
        """Every row, its values by the columns' names."""
        async with self._connection.cursor() as cursor:
            await cursor.execute(sql, [_plain(each) for each in args])
            return list(await cursor.fetchall()) if cursor.description is not None else []

    async def fetchrow(self, sql: str, *args: Any) -> Mapping[str, Any] | None:
        """The first row, or None."""
        rows = await self.fetch(sql, *args)
        return rows[0] if rows else None

    async def execute(self, sql: str, *args: Any) -> int:
        """How many rows it touched."""
        async with self._connection.cursor() as cursor:
            await cursor.execute(sql, [_plain(each) for each in args])
            return int(cursor.rowcount)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[None]:
        async with self._connection.transaction():
            yield


@asynccontextmanager
async def get_connection() -> AsyncIterator[Connection]:
    """A connection to the memory's database, as the application's plain role. Raises `StoreError`.

    It sees no user's rows until `set_rls_context` names one.
    """
    import psycopg
    from psycopg.rows import dict_row

    settings = settings_now()
    url: str = settings.store.url or ""
    if not url:
        url = await asyncio.to_thread(_server.url, settings)
    try:
        connection = await psycopg.AsyncConnection.connect(
            url,
            autocommit=True,
            prepare_threshold=None,  # as everywhere: right behind a transaction pooler
            cursor_factory=psycopg.AsyncRawCursor,
            row_factory=dict_row,
            connect_timeout=max(2, math.ceil(settings.store.connect_timeout_ms / 1000)),
        )
    except psycopg.Error as error:
        # its message names host and port, and never the password
        raise StoreError(f"no connection to the memory's database: {' '.join(str(error).split())}") from None
    try:
        yield Connection(connection)
    finally:
        await connection.close()


@asynccontextmanager
async def set_rls_context(connection: Connection, user_id: str) -> AsyncIterator[Connection]:
    """A transaction that sees this user's rows, and no others."""
    user_hash = await asyncio.to_thread(hmac_user, user_id)
    async with connection.transaction():
        await connection.fetch("SELECT set_config('app.user_hash', $1, true)", user_hash)
        yield connection


def _plain(value: Any) -> Any:
    """A vector as a list, which `$1::vector` takes."""
    return value.tolist() if hasattr(value, "tolist") else value


class _Server:
    """The embedded database, once somebody has asked for a connection to it; stopped with the process."""

    def __init__(self) -> None:
        self._running: dict[Any, Any] = {}

    def url(self, settings: Settings) -> str:
        from rerankd.memory.store.embedded import EmbeddedPostgres

        running = self._running.get(settings.data_dir)
        if running is None:
            server = EmbeddedPostgres(settings.data_dir)
            server.start()
            running = self._running.setdefault(settings.data_dir, server)
        return str(running.urls().app)

    def stop(self) -> None:
        while self._running:
            self._running.popitem()[1].stop()


_server = _Server()
atexit.register(_server.stop)


# -- sealing the host's own data ----------------------------------------------------------------------------


def seal(plain: bytes, *, aad: bytes = b"") -> bytes:
    """Seal bytes of the host's own, bound to `aad`: AES-256-GCM under the service key of this installation."""
    from rerankd.memory.sealing import seal_record

    epoch = epochs_of(settings_now(), "service").first()
    return seal_record(epoch.secret, epoch.id.encode(), plain, _SERVICE, aad)


def open_sealed(cipher: bytes, aad: bytes = b"") -> bytes:
    """Open what `seal` sealed with the same `aad`. Raises `SealError` for anything else."""
    from rerankd.memory.sealing import Record, open_record

    try:
        key_id = Record.parse(bytes(cipher)).key_id.decode("ascii")
    except UnicodeDecodeError:
        raise SealError("what was to be opened is not of this service") from None
    epoch = epochs_of(settings_now(), "service").get(key_id)
    return open_record(epoch.secret, key_id.encode(), bytes(cipher), _SERVICE, aad)
