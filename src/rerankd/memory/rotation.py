"""Rotation of keys and peppers, and re-embedding: online, user by user, and safe to begin again.

The order is what makes it safe. First the next epoch is put in force, so that nobody is created under the old
one any more; then everybody is moved over, until the database says that nobody is left; only then is the old
one destroyed. A user who is not moved (one whose key does not unwrap) keeps the old one alive.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from rerankd.core.deadline import Deadline
from rerankd.core.events import Event, RecordsRejected
from rerankd.errors import SealError, StoreError
from rerankd.memory.embedder import Embedder
from rerankd.memory.epochs import number_of
from rerankd.memory.keys import Keys
from rerankd.memory.pepper import Peppers
from rerankd.memory.sealing import Sealer, TamperedError
from rerankd.memory.store.port import Maintenance
from rerankd.memory.types import EpochKind, UserRecord, VectorMode
from rerankd.memory.vault import CHUNKS, VECTOR, Vault, open_row

__all__ = ["Reembedding", "Rotation", "reembed", "rotate_keys", "rotate_pepper"]

_NEVER = Deadline.after(0, None)
_PASSES = 20
"""How often all users are gone through; after the first pass hardly anybody is left."""
_AGAIN = (
    "this ended a rotation that had been interrupted; whoever was erased since that one was begun may have been"
    " under the key that is now in force: rotate once more for their erasure to be final"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rotation:
    """What a rotation did."""

    old: str
    new: str
    users: int
    """How many were moved."""
    destroyed: tuple[str, ...]
    """What is gone for good."""
    resumed: bool
    """Whether it ended a rotation that had been interrupted, and so began none of its own."""
    remaining: str
    """What is still to be done for the old ones to be gone, in words; empty when they are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reembedding:
    """What re-embedding did."""

    users: int
    memories: int
    rejected: int
    """Memories that do not open, and so could not be embedded. They stay, and are never returned."""


async def rotate_keys(
    maintenance: Maintenance, keys: Keys, vault: Vault, *, progress: Callable[[int], None] | None = None
) -> Rotation:
    """Raises `StoreError` where nothing was ever in force, and `SealError` when a user's key does not unwrap."""
    old = await _in_force(maintenance, "key")
    unfinished = await _unfinished(maintenance, "key", old)
    new = unfinished or await keys.advance(old)
    await _advance(maintenance, "key", old, new)

    async def move(user: UserRecord) -> None:
        wrapped = await vault.rewrap(user, new)
        await maintenance.rewrap(user.subject, old=user.wrapped_key, new=wrapped, key_id=new)

    moved = await _move_all(maintenance, "key", new, lambda user: user.key_id == new, move, progress=progress)
    gone: list[str] = []
    kept: list[str] = []
    for key_id in await keys.ids():
        if number_of(key_id) < number_of(new):
            (gone if await keys.destroy(key_id) else kept).append(key_id)
    remaining = "; ".join(filter(None, (_left(kept, "keys"), _AGAIN if unfinished else "")))
    return Rotation(
        old=old,
        new=new,
        users=moved,
        destroyed=tuple(gone),
        resumed=bool(unfinished),
        remaining=remaining,
    )


async def rotate_pepper(
    maintenance: Maintenance,
    peppers: Peppers,
    vault: Vault,
    *,
    progress: Callable[[int], None] | None = None,
) -> Rotation:
    """Raises as `rotate_keys`: the user id that a new hash is made of is sealed."""
    old = await _in_force(maintenance, "pepper")
    unfinished = await _unfinished(maintenance, "pepper", old)
    new = unfinished or peppers.advance(old)
    await _advance(maintenance, "pepper", old, new)

    async def move(user: UserRecord) -> None:
        tenant, user_id = await vault.identity(user)
        await maintenance.set_user_hash(
            user.subject, old=user.user_hash, new=peppers.hash(new, tenant, user_id), pepper_id=new
        )

    moved = await _move_all(
        maintenance, "pepper", new, lambda user: user.pepper_id == new, move, progress=progress
    )
    gone: list[str] = []
    kept: list[str] = []
    for pepper_id in peppers.ids():
        if number_of(pepper_id) < number_of(new):
            (gone if peppers.destroy(pepper_id) else kept).append(pepper_id)
    return Rotation(
        old=old,
        new=new,
        users=moved,
        destroyed=tuple(gone),
        resumed=bool(unfinished),
        remaining=_left(kept, "peppers"),
    )


async def _in_force(maintenance: Maintenance, kind: EpochKind) -> str:
    current = await maintenance.current(deadline=_NEVER)
    if kind not in current:
        raise StoreError(f"no {kind} was ever in force in this database: there is nothing to rotate")
    return current[kind]


async def _unfinished(maintenance: Maintenance, kind: EpochKind, current: str) -> str:
    """The epoch in force, where users are still left under older ones: that rotation was interrupted."""
    return current if set(await maintenance.in_use(kind)) - {current} else ""


async def _advance(maintenance: Maintenance, kind: EpochKind, old: str, new: str) -> None:
    if new != old and not await maintenance.advance(kind, old=old, new=new):
        raise StoreError(f"another rotation of the {kind} is under way: wait for it, and then run this again")


async def _move_all(
    maintenance: Maintenance,
    kind: EpochKind,
    new: str,
    moved: Callable[[UserRecord], bool],
    move: Callable[[UserRecord], Awaitable[None]],
    *,
    progress: Callable[[int], None] | None,
) -> int:
    """Move everybody over; those too who were created or changed meanwhile. How many."""
    count = 0
    for _ in range(_PASSES):
        failed: SealError | None = None
        failures = 0
        async for user in maintenance.users():
            if moved(user):
                continue
            try:
                await move(user)
            except SealError as error:
                failed, failures = error, failures + 1
                continue
            count += 1
            if progress is not None:
                progress(count)
        if failed is not None:
            raise SealError(
                f"{failures} users could not be moved to {kind} {new}, so the old one is kept: {failed}"
            )
        if not set(await maintenance.in_use(kind)) - {new}:
            return count
    raise StoreError(f"users are still being changed under an old {kind}: run this again")


def _left(kept: list[str], what: str) -> str:
    if not kept:
        return ""
    return f"remove the old {what} ({', '.join(kept)}) from where they are kept, with their backups"


async def reembed(
    maintenance: Maintenance,
    vault: Vault,
    embedder: Embedder,
    *,
    mode: VectorMode,
    emit: Callable[[Event], None],
    progress: Callable[[int], None] | None = None,
) -> Reembedding:
    """Raises `SealError` when a user's data key does not unwrap; the users before it are done then."""
    users = memories = rejected = 0
    async for user in maintenance.users():
        if (user.embedder, user.vectors) == (embedder.id, mode):
            continue
        sealer = await vault.sealer(user, deadline=_NEVER)
        for _ in range(_PASSES):
            vectors, bad = await _vectors(maintenance, user, sealer, embedder, mode, memories, progress)
            if await maintenance.replace_vectors(
                user.subject, vectors, embedder=embedder.id, mode=mode, seals=sealer.sealed
            ):
                if bad:
                    emit(RecordsRejected(subject=user.subject.hex, records=bad))
                users, memories, rejected = users + 1, memories + len(vectors), rejected + bad
                break
        # else: erased meanwhile, or never still for a moment; then it stays refused, and a next run tries again
    return Reembedding(users=users, memories=memories, rejected=rejected)


async def _vectors(
    maintenance: Maintenance,
    user: UserRecord,
    sealer: Sealer,
    embedder: Embedder,
    mode: VectorMode,
    before: int,
    progress: Callable[[int], None] | None,
) -> tuple[dict[UUID, Any], int]:
    """A vector for every memory of the user, and how many memories did not open."""
    from rerankd.memory.vectors import DIMENSIONS, encode

    texts: dict[UUID, str] = {}
    # what does not open is never returned, so any vector will do; the row itself may be wanted as evidence
    found: dict[UUID, Any] = {}
    async for row in maintenance.rows(user.subject):
        try:
            texts[row.id] = open_row(sealer, row).text
        except TamperedError:
            found[row.id] = [1.0] + [0.0] * (DIMENSIONS - 1)
    bad = len(found)
    hear = None if progress is None else lambda done: progress(before + done)
    made = await embedder.texts(list(texts.values()), progress=hear)
    found |= dict(zip(texts, made, strict=True))
    if mode == "plain":
        return {row: list(map(float, vector)) for row, vector in found.items()}, bad
    return {
        row: sealer.seal(encode(vector), table=CHUNKS, column=VECTOR, row=row)
        for row, vector in found.items()
    }, bad
