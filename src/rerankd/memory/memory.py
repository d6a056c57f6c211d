"""The memory as callers see it."""

import asyncio
import logging
import math
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from types import TracebackType
from typing import Any, Protocol, Self
from uuid import UUID

from rerankd.core.deadline import Deadline
from rerankd.core.events import Event, MemoryFailed
from rerankd.core.ports import Observer
from rerankd.engine.clock import utc_now
from rerankd.errors import BackendError, InvalidRequest, SealError, StoreError
from rerankd.memory.census import Check, count_users, remarks
from rerankd.memory.directory import Directory
from rerankd.memory.embedder import Embedder
from rerankd.memory.keeping import Keeper
from rerankd.memory.keys import Keys
from rerankd.memory.pepper import Peppers
from rerankd.memory.policy import MemoryPolicy
from rerankd.memory.reading import (
    read_drafts,
    read_ids,
    read_metadata,
    read_moment,
    read_text,
    read_user,
    read_whole,
)
from rerankd.memory.recall import Question, Recaller
from rerankd.memory.rotation import Reembedding, Rotation, reembed, rotate_keys, rotate_pepper
from rerankd.memory.store.port import Maintenance, Store
from rerankd.memory.types import Erasure, ExportedMemory, Recall, VectorMode
from rerankd.memory.vault import Vault, prepare
from rerankd.reranker import UNSET, Reranker, Unset

__all__ = ["Memory", "Server"]

_log = logging.getLogger(__name__)

_NEVER = Deadline.after(0, None)
"""No limit but the store's own for a statement."""


class Server(Protocol):
    """A database of our own, which is started for the memory. Both calls block."""

    def start(self) -> object: ...

    def stop(self) -> None: ...


_UNTIL_ROTATED = (
    "the write-ahead log and backups may still hold the wrapped data key: run `rerankd memory rotate`, which"
    " destroys the key that opens it"
)
_NO_MAINTENANCE = "this needs the maintaining role: set RERANKD_STORE_MAINTAIN_URL"
_UNTIL_RECYCLED = (
    "plain vectors stay readable in the write-ahead log and in backups until it is recycled and they are gone"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Parts:
    """What memories of several tenants share."""

    server: Server | None
    store: Store
    maintenance: Callable[[], Maintenance] | None
    directory: Directory
    vault: Vault
    keys: Keys
    peppers: Peppers
    embedder: Embedder
    reranker: Reranker
    owns_reranker: bool
    keeper: Keeper
    recaller: Recaller
    policy: MemoryPolicy
    mode: VectorMode
    threads: ThreadPoolExecutor
    now: Callable[[], datetime]
    emit: Callable[[Event], None]


class Memory:
    """A chat's long-term memory. Use it as an async context manager, in one event loop.

    Every error names its remedy: `InvalidRequest` for wrong arguments, before any work; `StoreError` when the
    database is not there, in time; `SealError` when a key is missing or wrong; `BackendError` when a question
    cannot be embedded. A reranker that is slow or gone is no error: the answer is in retrieval order then.
    """

    def __init__(
        self,
        *,
        store: Store,
        keys: Keys,
        peppers: Peppers,
        embedder: Embedder,
        reranker: Reranker,
        maintenance: Callable[[], Maintenance] | None = None,
        server: Server | None = None,
        tenant: str = "default",
        vectors: VectorMode = "plain",
        policy: MemoryPolicy | None = None,
        observers: Sequence[Observer] = (),
        now: Callable[[], datetime] = utc_now,
        owns_reranker: bool = True,
    ) -> None:
        """`maintenance` makes the maintaining role's store, when rotation or re-embedding first asks for it.
        `server`: started before the store is opened, and stopped after it was closed.
        `owns_reranker`: entering and leaving the memory enters and leaves the reranker."""
        self.tenant = tenant
        self._observers = tuple(observers)
        directory = Directory(store, keys, peppers)
        vault = Vault(keys, reranker.clock)
        threads = ThreadPoolExecutor(1, thread_name_prefix="rerankd-memory")
        self._parts = _Parts(
            server=server,
            store=store,
            maintenance=maintenance,
            directory=directory,
            vault=vault,
            keys=keys,
            peppers=peppers,
            embedder=embedder,
            reranker=reranker,
            owns_reranker=owns_reranker,
            keeper=Keeper(
                store=store,
                directory=directory,
                vault=vault,
                embedder=embedder,
                mode=vectors,
                emit=self._emit,
            ),
            recaller=Recaller(
                store=store,
                directory=directory,
                vault=vault,
                embedder=embedder,
                reranker=reranker,
                mode=vectors,
                threads=threads,
                emit=self._emit,
            ),
            policy=policy or MemoryPolicy(),
            mode=vectors,
            threads=threads,
            now=now,
            emit=self._emit,
        )
        self._exits: AsyncExitStack | None = None

    # -- life -------------------------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        """Connect, load the embedder and the reranker, and refuse unless isolation and keys are in order."""
        parts = self._parts
        async with AsyncExitStack() as exits:
            exits.push_async_callback(asyncio.to_thread, parts.threads.shutdown)
            await asyncio.to_thread(prepare)
            if parts.server is not None:
                exits.push_async_callback(asyncio.to_thread, parts.server.stop)
                await asyncio.to_thread(parts.server.start)
            await parts.store.open()
            exits.push_async_callback(parts.store.close)
            await parts.directory.refresh(deadline=_NEVER)
            await parts.embedder.open()
            exits.push_async_callback(parts.embedder.close)
            if parts.owns_reranker:
                await exits.enter_async_context(parts.reranker)
            self._exits = exits.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        exits, self._exits = self._exits, None
        if exits is not None:
            await exits.aclose()

    def of_tenant(self, tenant: str) -> "Memory":
        """The same memory for another tenant: nothing is opened for it, and nothing of it needs closing."""
        read_user(tenant, "tenant")
        other = object.__new__(Memory)
        other.tenant, other._observers, other._parts, other._exits = (
            tenant,
            self._observers,
            self._parts,
            None,
        )
        return other

    @property
    def reranker(self) -> Reranker:
        return self._parts.reranker

    @property
    def policy(self) -> MemoryPolicy:
        return self._parts.policy

    # -- asking -----------------------------------------------------------------------------------------

    async def query(
        self,
        query: str,
        *,
        user_id: str,
        top_k_ann: int | None = None,
        top_k_reranked: int | None = None,
        budget_ms: float | Unset | None = UNSET,
        since: datetime | None = None,
        until: datetime | None = None,
        metadata: Mapping[str, Any] | None = None,
        half_life_days: float | None = None,
        arrived: float | None = None,
    ) -> Recall:
        """The memories of this user that answer the question best, within `budget_ms` from now.

        The `top_k_ann` (24) nearest are reranked, the best `top_k_reranked` (8) returned. `budget_ms`: left
        out, the policy's (250); None, no limit. Only memories count that were created in [`since`, `until`)
        and have every entry of `metadata`. `half_life_days`: by how much age counts, instead of the policy's;
        0: not at all. `arrived`: when the question arrived, by the reranker's clock, if earlier.

        Raises as the class says. Nobody is known under a new user id: the answer is empty then.
        """
        policy, reranker = self._parts.policy, self._parts.reranker
        moment = reranker.clock.now() if arrived is None else arrived
        text = read_text(query, "query", policy)
        most = read_whole(policy.top_k_ann if top_k_ann is None else top_k_ann, "top_k_ann", 1_000)
        kept = policy.top_k if top_k_reranked is None else top_k_reranked
        budget = policy.budget_ms if isinstance(budget_ms, Unset) else budget_ms
        half_life = policy.half_life_days if half_life_days is None else half_life_days
        question = Question(
            query=text,
            tenant=self.tenant,
            user_id=read_user(user_id),
            budget_ms=_number(budget, "budget_ms"),
            arrived=moment,
            now=self._parts.now(),
            top_k_ann=most,
            top_k=min(read_whole(kept, "top_k_reranked", 1_000), most),
            since=read_moment(since, "since"),
            until=read_moment(until, "until"),
            metadata=read_metadata(metadata, "metadata", policy),
            half_life_seconds=(_number(half_life, "half_life_days") or 0.0) * 86_400,
            floor=policy.floor,
            decay_score=policy.decay_score,
        )
        async with self._told("query"):
            return await self._parts.recaller.recall(question)

    # -- keeping ----------------------------------------------------------------------------------------

    async def add(
        self,
        texts: Iterable[str],
        *,
        user_id: str,
        metadata: Mapping[str, Any] | Sequence[Mapping[str, Any] | None] | None = None,
        created_at: datetime | Sequence[datetime | None] | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> list[UUID]:
        """Remember texts, all of them or none; their ids, in order.

        `metadata` and `created_at` (with a time zone; None: now) are one for all texts or one for each.
        `progress` hears how many of how many are embedded, which is what takes the time. A user is made with
        the first text. Raises as the class says.
        """
        user = read_user(user_id)
        drafts = read_drafts(texts, metadata, created_at, now=self._parts.now(), policy=self._parts.policy)
        if not drafts:
            return []
        async with self._told("add"):
            return await self._parts.keeper.add(
                self.tenant,
                user,
                drafts,
                progress=None if progress is None else lambda done: progress(done, len(drafts)),
            )

    async def delete(self, ids: Iterable[UUID | str], *, user_id: str) -> int:
        """Forget memories of this user by their ids; how many there were."""
        user, chosen = read_user(user_id), read_ids(ids)
        async with self._told("delete"):
            return await self._parts.keeper.delete(self.tenant, user, chosen)

    async def count(self, *, user_id: str) -> int:
        """How many memories this user has."""
        user = read_user(user_id)
        async with self._told("count"):
            return await self._parts.keeper.count(self.tenant, user)

    async def erase_user(self, *, user_id: str, rotate: bool = False) -> Erasure:
        """Forget a user: the data key and every row go. The answer says when that is final.

        `rotate`: rotate the key-encryption keys right away, which makes it final for what is sealed. Takes as
        long as there are users, of all tenants; rotating once for many erasures does the same. When that fails,
        the error says that the user is erased all the same.
        """
        user = read_user(user_id)
        if rotate and self._parts.maintenance is None:
            raise StoreError(_NO_MAINTENANCE)
        async with self._told("erase"):
            erased = await self._parts.keeper.erase(self.tenant, user)
        if erased is None:
            return Erasure(rows=0, known=False, final=False, remaining="there is no such user")
        rows, mode = erased
        key = await self._rotated_after_erasing() if rotate else _UNTIL_ROTATED
        plain = "" if mode == "sealed" else _UNTIL_RECYCLED
        remaining = "; ".join(filter(None, (key, plain)))
        return Erasure(rows=rows, known=True, final=not remaining, remaining=remaining)

    async def _rotated_after_erasing(self) -> str:
        """Make an erasure final; what remains to be done for that, in words."""
        try:
            done = await self.rotate_keys()
            if done.resumed:  # whoever was erased may have been under the key that this put in force
                done = await self.rotate_keys()
        except (StoreError, SealError) as error:
            raise type(error)(f"the user is erased, but not finally, as rotating failed: {error}") from error
        return done.remaining

    async def export_user(self, *, user_id: str) -> AsyncIterator[ExportedMemory]:
        """Every memory of this user, oldest first. Nothing where there is no such user.

        Raises `SealError` at the end when records did not open, after all that did were given.
        """
        user = read_user(user_id)
        async with self._told("export"):
            async for each in self._parts.keeper.export(self.tenant, user):
                yield each

    # -- upkeep -----------------------------------------------------------------------------------------

    async def rotate_keys(self, *, progress: Callable[[int], None] | None = None) -> Rotation:
        """Put the next key-encryption key in force, wrap every data key anew, destroy the old keys.

        Questions are answered all the while. After it no erased user can be opened any more, whatever an old
        log or backup still holds. Can be run again after it was interrupted: that ends the interrupted one, and
        the answer's `remaining` says that erasures since then want one more.
        """
        async with self._told("rotate"), self._maintaining() as maintenance:
            done = await rotate_keys(maintenance, self._parts.keys, self._parts.vault, progress=progress)
            await self._parts.directory.refresh(deadline=_NEVER)
            return done

    async def rotate_pepper(self, *, progress: Callable[[int], None] | None = None) -> Rotation:
        """Give every user a hash under the next pepper, and destroy the old ones. Online, and repeatable."""
        async with self._told("rotate"), self._maintaining() as maintenance:
            done = await rotate_pepper(maintenance, self._parts.peppers, self._parts.vault, progress=progress)
            await self._parts.directory.refresh(deadline=_NEVER)
            return done

    async def reembed(self, *, progress: Callable[[int], None] | None = None) -> Reembedding:
        """Make every vector anew that another embedder made, or that is kept in the other mode."""
        async with self._told("reembed"), self._maintaining() as maintenance:
            return await reembed(
                maintenance,
                self._parts.vault,
                self._parts.embedder,
                mode=self._parts.mode,
                emit=self._emit,
                progress=progress,
            )

    async def check(self) -> Check:
        """What is in force here, and, with the maintaining role, what is in the database and to be done."""
        parts = self._parts
        async with self._told("check"):
            await parts.directory.refresh(deadline=_NEVER)
            census = None
            to_do: tuple[str, ...] = ()
            if parts.maintenance is not None:
                async with self._maintaining() as maintenance:
                    census = await count_users(maintenance)
                to_do = remarks(
                    census,
                    key_id=parts.directory.key_id,
                    pepper_id=parts.directory.pepper_id,
                    embedder=parts.embedder.id,
                    vectors=parts.mode,
                )
            return Check(
                tenant=self.tenant,
                vectors=parts.mode,
                embedder=parts.embedder.id,
                key_id=parts.directory.key_id,
                pepper_id=parts.directory.pepper_id,
                census=census,
                remarks=to_do,
            )

    # -- parts ------------------------------------------------------------------------------------------

    @asynccontextmanager
    async def _maintaining(self) -> AsyncIterator[Maintenance]:
        if self._parts.maintenance is None:
            raise StoreError(_NO_MAINTENANCE)
        maintenance = self._parts.maintenance()
        await maintenance.open()
        try:
            yield maintenance
        finally:
            await maintenance.close()

    @asynccontextmanager
    async def _told(self, call: str) -> AsyncIterator[None]:
        """Tell of a failure that is not the caller's."""
        try:
            yield
        except (StoreError, SealError, BackendError) as error:
            self._emit(MemoryFailed(call=call, error=type(error).__name__))
            raise

    def _emit(self, event: Event) -> None:
        for observer in self._observers:
            try:
                observer.on(event)
            except Exception as error:  # noqa: BLE001 - the observers' boundary: watching must not break
                _log.warning(
                    "observer %s failed on %s: %s",
                    type(observer).__name__,
                    type(event).__name__,
                    type(error).__name__,
                )


def _number(value: object, argument: str) -> float | None:
    """A number of at least 0; None for None and for infinity."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not value >= 0:
        raise InvalidRequest(argument, f"must be a number of at least 0, got {type(value).__name__}")
    return None if value == math.inf else float(value)
