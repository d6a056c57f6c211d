"""Connections with a deadline: whoever waits gets an answer or an error by then, whatever the database does.

The work runs in a task of its own. When the deadline passes, or the caller is cancelled, the caller goes on at
once and the task is told to stop: psycopg then cancels the query, and the connection is good again or closed.
The server has the same limit (`statement_timeout`), so that neither side works on for nobody.

Statements are never prepared (`prepare_threshold=None`) and every setting is local to its transaction: right
behind a transaction pooler, where the next statement may meet another connection.
"""

import asyncio
import math
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import psycopg
from psycopg import errors
from psycopg.conninfo import conninfo_to_dict
from psycopg.pq import TransactionStatus
from psycopg_pool import AsyncConnectionPool, PoolClosed, PoolTimeout

from rerankd.core.deadline import Deadline
from rerankd.core.ports import Clock
from rerankd.engine.clock import SystemClock
from rerankd.errors import RerankdError, StoreError
from rerankd.memory.policy import StorePolicy

__all__ = ["Connection", "Database", "refused"]

Connection = psycopg.AsyncConnection[tuple[Any, ...]]
T = TypeVar("T")

_LEAST_MS, _MOST_MS = 5, 2**31 - 1
"""Of the server's own limit: the caller's deadline is kept here to the millisecond, whatever the server does."""
_RECONNECT_S = 2.0
"""How long the pool keeps on trying by itself; afterwards the next call makes it try again. Short, so that it
never sits out a long pause while the database is there again."""
_ROW_MS = 10.0
_GRACE_S = 0.25
"""The server has the same limit; only where it does not keep it within this time is it told to cancel."""
_LATE = "the memory's database did not answer by the deadline"
_NO_CONNECTION = (
    "no connection to the memory's database: is it running, is its URL right (DATABASE_URL), and does"
    " RERANKD_STORE_POOL_MAX allow as many as are needed at once?"
)
_OPEN_TRANSACTION = (TransactionStatus.INTRANS, TransactionStatus.INERROR)
_LOST = (errors.AdminShutdown, errors.CrashShutdown, errors.IdleInTransactionSessionTimeout)


@dataclass(slots=True)
class _Call:
    """How far a call has come. It is only cancelled while it works: a cancelled wait for a connection, or a
    cancelled return of one, would lose the connection, and some day the pool would be empty."""

    connected: bool = False
    working: bool = False
    abandoned: bool = False


class Database:
    """A pool of connections under one role. Belongs to the event loop in which it was opened."""

    def __init__(self, url: str, policy: StorePolicy, clock: Clock | None = None) -> None:
        self._policy = policy
        self._clock = clock or SystemClock()
        self._abandoned: dict[asyncio.Task[Any], _Call] = {}
        self._returning: set[asyncio.Task[None]] = set()
        try:
            conninfo_to_dict(url)
        except psycopg.ProgrammingError:  # its message repeats the URL, and with it the password
            raise StoreError("the database's URL cannot be read: postgresql://USER@HOST/DATABASE") from None
        seconds = policy.connect_timeout_ms / 1000
        self._pool: AsyncConnectionPool[Connection] = AsyncConnectionPool(
            url,
            kwargs={
                "autocommit": True,  # transactions begin and end with statements of ours
                "prepare_threshold": None,
                "connect_timeout": max(2, math.ceil(seconds)),  # libpq takes no less
                "application_name": "rerankd",
            },
            min_size=policy.pool_min,
            max_size=policy.pool_max,
            open=False,
            timeout=seconds,
            reconnect_timeout=_RECONNECT_S,
            name="rerankd-memory",
        )

    async def open(self) -> None:
        try:
            await self._pool.open()
        except psycopg.OperationalError:  # it was closed before
            raise StoreError("the store is closed") from None

    async def close(self) -> None:
        for task, call in self._abandoned.items():
            _cancel(task, call)
        if self._abandoned:
            await asyncio.wait(set(self._abandoned), timeout=self._policy.connect_timeout_ms / 1000)
        await self._pool.close()

    def deadline(self, *, rows: int = 0) -> Deadline:
        """The limit where nobody gave one: a connection and a statement at their slowest, and so many rows."""
        ms = self._policy.connect_timeout_ms + self._policy.statement_timeout_ms + rows * _ROW_MS
        return Deadline.after(self._clock.now(), ms)

    async def run(
        self,
        work: Callable[[Connection], Awaitable[T]],
        *,
        deadline: Deadline | None = None,
        tenant: str | None = None,
        reads: bool = False,
    ) -> T:
        """Do `work` in one transaction, as `tenant`. `reads`: in one snapshot, and again if the connection breaks.

        Raises `StoreError` when there is no connection, the database refuses, or `deadline` passes.
        """
        if deadline is None or math.isinf(deadline.at):
            deadline = self.deadline()
        call = _Call()
        task = asyncio.create_task(self._attempts(call, work, deadline, tenant, reads))
        try:
            await asyncio.wait({task}, timeout=max(0.0, deadline.remaining(self._clock.now())))
        except asyncio.CancelledError:
            self._abandon(task, call, 0.0)
            raise
        if not task.done():
            self._abandon(task, call, _GRACE_S)
            raise StoreError(_LATE if call.connected else _NO_CONNECTION)
        return task.result()

    @asynccontextmanager
    async def transaction(
        self, tenant: str | None = None, *, reads: bool = False
    ) -> AsyncIterator[Connection]:
        """A transaction that stays open as long as the caller likes; each statement has the usual limit."""
        with _said():
            connection = await self._pool.getconn(self._policy.connect_timeout_ms / 1000)
            try:
                await connection.execute(_begin(self._limit_ms(math.inf), tenant, reads))
                yield connection
                await connection.execute("COMMIT")
            finally:
                await self._give_back_whatever_comes(connection)

    @asynccontextmanager
    async def plain(self) -> AsyncIterator[Connection]:
        """A connection without a transaction."""
        with _said():
            connection = await self._pool.getconn(self._policy.connect_timeout_ms / 1000)
            try:
                yield connection
            finally:
                await self._give_back_whatever_comes(connection)

    # -- inside -------------------------------------------------------------------------------------------

    async def _attempts(
        self,
        call: "_Call",
        work: Callable[[Connection], Awaitable[T]],
        deadline: Deadline,
        tenant: str | None,
        reads: bool,
    ) -> T:
        # after a restart of the database every pooled connection may be a dead one
        for _ in range(self._policy.pool_max + 1):
            with _said():
                connection = await self._pool.getconn(max(0.001, deadline.remaining(self._clock.now())))
            call.connected = True
            begun = False
            try:
                if call.abandoned:
                    raise StoreError(_LATE)
                call.working = True
                now = self._clock.now()
                limit = self._limit_ms(deadline.remaining(now))
                soonest = now + limit / 1000  # no statement of this transaction can time out before
                await connection.execute(_begin(limit, tenant, reads))
                begun = True
                result = await work(connection)
                if deadline.passed(self._clock.now()):  # the caller has been told that it failed
                    raise StoreError(_LATE)
                await connection.execute("COMMIT")
                return result
            except psycopg.Error as error:
                lost = connection.closed or isinstance(error, _LOST)
                # A time-out that strikes as a transaction ends cancels the next one's first statement, and a
                # pooler may bring somebody else's cancellation at any time.
                cancelled = isinstance(error, errors.QueryCanceled) and not call.abandoned
                stray = cancelled and (not begun or self._clock.now() < soonest)
                # what was begun and not only read may have been done: never twice
                if not (lost or stray) or (begun and not reads):
                    raise refused(error) from None
            finally:
                call.working = False
                await self._give_back(connection)
        raise StoreError("the memory's database closed every connection; is it being restarted?")

    def _limit_ms(self, left: float) -> int:
        """What one statement may take when so many seconds are left."""
        return max(_LEAST_MS, math.ceil(min(self._policy.statement_timeout_ms, left * 1000, _MOST_MS)))

    async def _give_back(self, connection: Connection) -> None:
        """Without an open transaction; one that does not get there is closed, and the pool makes another."""
        try:
            if connection.pgconn.transaction_status in _OPEN_TRANSACTION:
                await connection.rollback()
        except psycopg.Error:
            await connection.close()
        finally:
            await self._pool.putconn(connection)

    async def _give_back_whatever_comes(self, connection: Connection) -> None:
        """For callers that may be cancelled at this very moment."""
        task = asyncio.create_task(self._give_back(connection))
        self._returning.add(task)
        task.add_done_callback(self._returning.discard)
        await asyncio.shield(task)

    def _abandon(self, task: "asyncio.Task[Any]", call: _Call, after_s: float) -> None:
        call.abandoned = True
        self._abandoned[task] = call
        cancelling = asyncio.get_running_loop().call_later(after_s, _cancel, task, call)
        task.add_done_callback(self._forget)
        task.add_done_callback(lambda _: cancelling.cancel())

    def _forget(self, task: "asyncio.Task[Any]") -> None:
        self._abandoned.pop(task, None)
        if not task.cancelled():
            task.exception()  # looked at: nobody else will


def _begin(limit_ms: int, tenant: str | None, reads: bool) -> bytes:
    """One round trip: no parameters, so both are of a form that cannot be mistaken for SQL."""
    settings = f"set_config('statement_timeout', '{limit_ms:d}', true)"
    if tenant is not None:
        settings += f", set_config('app.user_hash', '{checked(tenant)}', true)"
        # by its index alone: where one user has much of a table the planner would rather read all of it, which
        # takes more than twice as long, and as long as there are rows of others
        settings += ", set_config('enable_seqscan', 'off', true)"
    how = "ISOLATION LEVEL REPEATABLE READ READ ONLY" if reads else "ISOLATION LEVEL READ COMMITTED"
    return f"BEGIN {how}; SELECT {settings}".encode()


def _cancel(task: "asyncio.Task[Any]", call: _Call) -> None:
    if call.working:
        task.cancel()


_FORM = frozenset("0123456789abcdef")


def checked(user_hash: str) -> str:
    """Raises `StoreError` unless it has the form of a user hash: an empty one must not mean anything."""
    if not isinstance(user_hash, str) or len(user_hash) != 64 or not _FORM.issuperset(user_hash):
        raise StoreError("a user hash has 64 hexadecimal digits; without one there is no tenant")
    return user_hash


def refused(error: psycopg.Error) -> RerankdError:
    """In words of our own: what the database says may repeat values of a row."""
    if isinstance(error, errors.QueryCanceled):
        return StoreError(_LATE)
    if isinstance(error, PoolTimeout):
        return StoreError(_NO_CONNECTION)
    if isinstance(error, PoolClosed):
        return StoreError("the store is closed, or not open yet")
    if isinstance(error, errors.InsufficientPrivilege | errors.UndefinedTable | errors.UndefinedColumn):
        return StoreError(
            f"the memory's database refused ({type(error).__name__}, {error.sqlstate}):"
            " run `rerankd memory migrate` as its owner, and connect as the plain role that it was run for"
        )
    if error.sqlstate is None or isinstance(error, psycopg.OperationalError):
        return StoreError(f"the connection to the memory's database was lost ({type(error).__name__})")
    return StoreError(f"the memory's database refused ({type(error).__name__}, {error.sqlstate})")


class _said:  # noqa: N801 - reads as what it does
    """Errors of psycopg become ours."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, psycopg.Error):
            raise refused(error) from None
