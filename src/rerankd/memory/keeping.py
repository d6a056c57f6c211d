"""What is done with the memories of one user, but for asking: keep, count, give back, forget.

A user may be erased, moved to another hash, wrapped under another key or embedded anew between any two steps.
The store refuses a step that was prepared for what the user was; here it is prepared anew, a few times.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import TypeVar
from uuid import UUID

from rerankd.core.deadline import Deadline
from rerankd.core.events import Event, RecordsRejected
from rerankd.errors import SealError
from rerankd.memory.directory import Directory
from rerankd.memory.embedder import Embedder
from rerankd.memory.epochs import MissingKey
from rerankd.memory.recall import check_embedder
from rerankd.memory.sealing import Sealer, TamperedError
from rerankd.memory.store.port import EpochChanged, Store, UserGone
from rerankd.memory.types import ExportedMemory, UserRecord, VectorMode
from rerankd.memory.vault import Draft, Vault, open_row, seal_rows

__all__ = ["Keeper"]

_Found = TypeVar("_Found")

_NEVER = Deadline.after(0, None)
"""No limit but the store's own for a statement."""
_ATTEMPTS = 5
"""How often something is begun anew that a rotation, an erasure or a re-embedding got in the way of."""


class Keeper:
    """Knows the parts, and keeps nothing between two calls. Users are named by tenant and id."""

    def __init__(
        self,
        *,
        store: Store,
        directory: Directory,
        vault: Vault,
        embedder: Embedder,
        mode: VectorMode,
        emit: Callable[[Event], None],
    ) -> None:
        """`mode`: how the vectors of new users are kept."""
        self._store = store
        self._directory = directory
        self._vault = vault
        self._embedder = embedder
        self._mode = mode
        self._emit = emit

    async def add(
        self,
        tenant: str,
        user_id: str,
        drafts: Sequence[Draft],
        *,
        progress: Callable[[int], None] | None = None,
    ) -> list[UUID]:
        """Their ids, in order. Makes the user where there is none; `progress` hears how many are embedded."""
        vectors = await self._embedder.texts([draft.text for draft in drafts], progress=progress)
        for attempt in range(_ATTEMPTS):
            record, sealer = await self._unlocked(lambda: self._ensured(tenant, user_id))
            # the sealer is this attempt's own: a cancelled caller leaves the thread to end alone
            rows = await asyncio.to_thread(seal_rows, sealer, drafts, vectors, record.vectors)
            try:
                await self._store.insert(record, rows, seals=sealer.sealed, deadline=_NEVER)
            except UserGone:
                if attempt == _ATTEMPTS - 1:
                    raise
            else:
                return [draft.id for draft in drafts]
        raise AssertionError("the last attempt returns or raises")

    async def delete(self, tenant: str, user_id: str, ids: Sequence[UUID]) -> int:
        """How many of them there were."""
        deleted = await self._look(
            tenant, user_id, lambda user_hash: self._store.delete(user_hash, ids, deadline=_NEVER)
        )
        return deleted or 0

    async def count(self, tenant: str, user_id: str) -> int:
        found = await self._look(
            tenant, user_id, lambda user_hash: self._store.count(user_hash, deadline=_NEVER)
        )
        return found or 0

    async def erase(self, tenant: str, user_id: str) -> tuple[int, VectorMode] | None:
        """How many memories there were, and how their vectors were kept; None: there is no such user."""

        async def erase(user_hash: str) -> tuple[int, VectorMode] | None:
            record = await self._store.user(user_hash, deadline=_NEVER)
            rows = await self._store.erase(user_hash, deadline=_NEVER)
            # made in between, in the mode that is the worse to erase for all we know
            return None if rows is None else (rows, "plain" if record is None else record.vectors)

        return await self._look(tenant, user_id, erase)

    async def export(self, tenant: str, user_id: str) -> AsyncIterator[ExportedMemory]:
        """Oldest first. Raises `SealError` at the end when records did not open, after all that did."""
        for attempt in range(_ATTEMPTS):
            if await self._record(tenant, user_id) is None:
                return
            record, sealer = await self._unlocked(lambda: self._known(tenant, user_id))
            rejected = 0
            try:
                async for row in self._store.export(record.user_hash):
                    try:
                        opened = open_row(sealer, row)
                    except TamperedError:
                        rejected += 1
                        continue
                    yield ExportedMemory(
                        id=opened.id,
                        text=opened.text,
                        metadata=opened.metadata,
                        created_at=opened.created_at,
                    )
            except UserGone:
                # before the first row: the user has moved to another hash, or is gone
                if attempt == _ATTEMPTS - 1:
                    raise
            else:
                break
        if rejected:
            self._emit(RecordsRejected(subject=record.subject.hex, records=rejected))
            raise SealError(
                f"{rejected} records of this user do not open in their place: damage, or an attack;"
                " the others were exported"
            )

    # -- users --------------------------------------------------------------------------------------------

    async def _ensured(self, tenant: str, user_id: str) -> UserRecord:
        """The user's record; made where there is none."""
        for attempt in range(_ATTEMPTS):
            record = await self._record(tenant, user_id)
            if record is None:
                try:
                    record = await self._store.ensure_user(await self._new(tenant, user_id), deadline=_NEVER)
                except (EpochChanged, MissingKey, UserGone):
                    if attempt == _ATTEMPTS - 1:
                        raise
                    await self._directory.refresh(deadline=_NEVER)
                    continue
            check_embedder(record, self._embedder)
            return record
        raise AssertionError("the last attempt returns or raises")

    async def _new(self, tenant: str, user_id: str) -> UserRecord:
        return await self._vault.new_user(
            tenant=tenant,
            user_id=user_id,
            user_hash=self._directory.hash(tenant, user_id),
            pepper_id=self._directory.pepper_id,
            key_id=self._directory.key_id,
            embedder=self._embedder.id,
            vectors=self._mode,
        )

    async def _record(self, tenant: str, user_id: str) -> UserRecord | None:
        return await self._look(
            tenant, user_id, lambda user_hash: self._store.user(user_hash, deadline=_NEVER)
        )

    async def _known(self, tenant: str, user_id: str) -> UserRecord:
        record = await self._record(tenant, user_id)
        if record is None:
            raise UserGone("the user was erased meanwhile")
        return record

    async def _unlocked(self, read: Callable[[], Awaitable[UserRecord]]) -> tuple[UserRecord, Sealer]:
        """A user's record, and what seals and opens for it."""
        record = await read()
        try:
            return record, await self._vault.sealer(record, deadline=_NEVER)
        except MissingKey:
            # wrapped anew after it was read, and the old key is gone: what is there now, this key opens
            record = await read()
            return record, await self._vault.sealer(record, deadline=_NEVER)

    async def _look(
        self, tenant: str, user_id: str, ask: Callable[[str], Awaitable[_Found | None]]
    ) -> _Found | None:
        return await self._directory.look(tenant, user_id, ask, deadline=_NEVER)
