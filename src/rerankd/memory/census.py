"""What is in the database, counted: what the keys are, who made the vectors, and what is still to be done."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from rerankd.memory.store.port import Maintenance
from rerankd.memory.types import VectorMode

__all__ = ["Census", "Check", "count_users", "remarks"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Census:
    """How many users there are, of all tenants, by what they are kept with."""

    users: int
    keys: Mapping[str, int]
    peppers: Mapping[str, int]
    embedders: Mapping[str, int]
    vectors: Mapping[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """A memory that opened: its isolation is in force, and its keys are here."""

    tenant: str
    vectors: VectorMode
    embedder: str
    key_id: str
    """The key-encryption key in force."""
    pepper_id: str
    census: Census | None
    """None: the maintaining role was not given."""
    remarks: tuple[str, ...]
    """What should be done, in words."""


async def count_users(maintenance: Maintenance) -> Census:
    """Goes through all users."""
    keys: Counter[str] = Counter()
    peppers: Counter[str] = Counter()
    embedders: Counter[str] = Counter()
    vectors: Counter[str] = Counter()
    async for user in maintenance.users():
        keys[user.key_id] += 1
        peppers[user.pepper_id] += 1
        embedders[user.embedder] += 1
        vectors[user.vectors] += 1
    return Census(
        users=keys.total(),
        keys=dict(keys),
        peppers=dict(peppers),
        embedders=dict(embedders),
        vectors=dict(vectors),
    )


def remarks(
    census: Census, *, key_id: str, pepper_id: str, embedder: str, vectors: VectorMode
) -> tuple[str, ...]:
    """What should be done for everybody to be kept as is in force here, in words."""
    found = []
    for kind, counts, current in (("key", census.keys, key_id), ("pepper", census.peppers, pepper_id)):
        if behind := census.users - counts.get(current, 0):
            found.append(
                f"{behind} users are under an older {kind}: a rotation was interrupted, run it again"
            )
    if behind := census.users - census.embedders.get(embedder, 0):
        found.append(f"{behind} users' vectors are of another embedder: run `rerankd memory reembed`")
    if behind := census.users - census.vectors.get(vectors, 0):
        found.append(f"{behind} users' vectors are not kept {vectors}: run `rerankd memory reembed`")
    return tuple(found)
