"""What a store promises, on the real database and as the plain role."""

import asyncio
import math
import random
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from uuid import UUID, uuid4

import pytest

from rerankd.core.deadline import Deadline
from rerankd.engine.clock import SystemClock
from rerankd.errors import SealError, StoreError
from rerankd.memory.store.port import EpochChanged, Maintenance, Store, UserGone
from rerankd.memory.testing import InMemoryStore
from rerankd.memory.types import Filter, NewRow, UserRecord, VectorMode
from tests.memory.store.make import (
    NEVER,
    NOON,
    add_user,
    hash_of,
    near,
    new_row,
    new_rows,
    new_user,
    unit,
)

ALL = Filter()


@pytest.fixture(params=["postgres", "in_memory"])
def both(request: pytest.FixtureRequest) -> tuple[Store, Maintenance]:
    """The real store under its two roles, and the one that other tests use in its place."""
    if request.param == "postgres":
        return request.getfixturevalue("postgres_store"), request.getfixturevalue("postgres_maintenance")
    fake = InMemoryStore()
    return fake, fake.maintenance()


@pytest.fixture
def store(both: tuple[Store, Maintenance]) -> Store:
    return both[0]


@pytest.fixture
def maintenance(both: tuple[Store, Maintenance]) -> Maintenance:
    return both[1]


async def put(store: Store, user: UserRecord, rows: Sequence[NewRow]) -> None:
    await store.insert(user, rows, seals=2 * len(rows), deadline=NEVER)


# -- users and epochs -------------------------------------------------------------------------------------


async def test_a_user_comes_back_as_kept_and_a_second_record_changes_nothing(store: Store) -> None:
    first = await add_user(store)
    assert await store.user(first.user_hash, deadline=NEVER) == first
    second = replace(first, subject=uuid4(), wrapped_key=b"another")
    assert await store.ensure_user(second, deadline=NEVER) == first
    assert await store.user(hash_of("nobody"), deadline=NEVER) is None


async def test_of_many_who_add_the_same_user_at_once_one_wins_and_all_hear_the_same(store: Store) -> None:
    first = await add_user(store)
    records = [replace(first, user_hash=hash_of("race"), subject=uuid4()) for _ in range(8)]
    kept = await asyncio.gather(*(store.ensure_user(record, deadline=NEVER) for record in records))
    assert len({record.subject for record in kept}) == 1


@pytest.mark.parametrize("changes", [{"key_id": "key-0"}, {"pepper_id": "pepper-0"}])
async def test_a_user_is_only_made_under_the_key_and_pepper_in_force(
    store: Store, changes: dict[str, object]
) -> None:
    await add_user(store)
    record = new_user(**changes)
    with pytest.raises(EpochChanged):
        await store.ensure_user(record, deadline=NEVER)
    assert await store.user(record.user_hash, deadline=NEVER) is None


async def test_an_epoch_begins_once_and_only_maintenance_moves_it_on(
    store: Store, maintenance: Maintenance
) -> None:
    """A rotation that comes second changes nothing."""
    await add_user(store)
    assert await store.begin("key", "key-9", deadline=NEVER) == "key-1"
    assert await maintenance.advance("key", old="key-1", new="key-2")
    assert not await maintenance.advance("key", old="key-1", new="key-3")
    assert dict(await store.current(deadline=NEVER)) == {"key": "key-2", "pepper": "pepper-1"}
    assert dict(await maintenance.current(deadline=NEVER)) == {"key": "key-2", "pepper": "pepper-1"}
    with pytest.raises(EpochChanged):
        await store.ensure_user(new_user(), deadline=NEVER)
    await maintenance.advance("key", old="key-2", new="key-1")


# -- rows -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["plain", "sealed"])
async def test_a_row_comes_back_as_put(store: Store, mode: str) -> None:
    user = await add_user(store, vectors=mode)
    row = new_row(labels=[b"a" * 16], mode=mode)  # type: ignore[arg-type]
    await put(store, user, [row])
    found = await store.rows(user.user_hash, [row.id], deadline=NEVER)
    assert found.user is not None
    assert found.user.seals == 2
    [stored] = found.rows
    assert (stored.id, stored.subject, stored.created_at) == (row.id, user.subject, row.created_at)
    assert (stored.text_cipher, stored.meta_cipher) == (row.text_cipher, row.meta_cipher)
    assert (stored.distance, stored.vector, stored.vector_cipher) == (None, None, None)


async def test_rows_come_in_the_order_asked_for_and_unknown_ids_are_left_out(store: Store) -> None:
    user = await add_user(store)
    rows = new_rows(5)
    await put(store, user, rows)
    asked = [rows[3].id, uuid4(), rows[0].id, rows[4].id]
    found = await store.rows(user.user_hash, asked, deadline=NEVER)
    assert [row.id for row in found.rows] == [rows[3].id, rows[0].id, rows[4].id]
    nobody = await store.rows(hash_of("nobody"), asked, deadline=NEVER)
    assert (nobody.user, list(nobody.rows)) == (None, [])


async def test_a_batch_is_added_whole_or_not_at_all(postgres_store: Store) -> None:
    """One row that does not fit takes the others, and what it would have counted, with it."""
    user = await add_user(postgres_store)
    rows = new_rows(20)
    with pytest.raises(StoreError) as refused:
        await put(postgres_store, user, [*rows, rows[0]])
    assert str(rows[0].id) not in str(refused.value)
    assert user.user_hash not in str(refused.value)
    assert await postgres_store.count(user.user_hash, deadline=NEVER) == 0
    kept = await postgres_store.user(user.user_hash, deadline=NEVER)
    assert kept is not None
    assert kept.seals == 0
    await put(postgres_store, user, rows)
    assert await postgres_store.count(user.user_hash, deadline=NEVER) == 20


async def test_a_row_has_exactly_one_vector(postgres_store: Store) -> None:
    user = await add_user(postgres_store)
    for row in (replace(new_row(), vector=None), replace(new_row(), vector_cipher=b"both")):
        with pytest.raises(StoreError, match="CheckViolation"):
            await put(postgres_store, user, [row])


async def test_rows_of_a_user_who_is_not_there_are_refused(store: Store) -> None:
    """Erased, moved to another hash, or with another subject than the one that sealed the rows."""
    user = await add_user(store)
    with pytest.raises(UserGone):
        await put(store, replace(user, user_hash=hash_of("nobody")), new_rows(1))
    with pytest.raises(UserGone):
        await put(store, replace(user, subject=uuid4()), new_rows(1))


async def test_a_key_that_would_seal_2_to_31_records_seals_no_more(store: Store) -> None:
    user = await add_user(store)
    await store.insert(user, [], seals=2**31 - 3, deadline=NEVER)
    with pytest.raises(SealError, match="seal"):
        await put(store, user, new_rows(2))
    await put(store, user, new_rows(1))
    assert await store.count(user.user_hash, deadline=NEVER) == 1


async def test_deleting_takes_the_users_own_rows_and_says_how_many(store: Store) -> None:
    user, other = await add_user(store), await add_user(store)
    rows, others = new_rows(4), new_rows(2)
    await put(store, user, rows)
    await put(store, other, others)
    ids = [rows[0].id, rows[2].id, others[0].id, uuid4()]
    assert await store.delete(user.user_hash, ids, deadline=NEVER) == 2
    assert await store.count(user.user_hash, deadline=NEVER) == 2
    assert await store.count(other.user_hash, deadline=NEVER) == 2
    assert await store.delete(hash_of("nobody"), ids, deadline=NEVER) is None


async def test_erasing_takes_the_user_and_every_row(store: Store) -> None:
    user, other = await add_user(store), await add_user(store)
    await put(store, user, new_rows(3))
    await put(store, other, new_rows(2))
    assert await store.erase(user.user_hash, deadline=NEVER) == 3
    assert await store.user(user.user_hash, deadline=NEVER) is None
    assert await store.count(user.user_hash, deadline=NEVER) is None
    assert await store.erase(user.user_hash, deadline=NEVER) is None
    assert await store.count(other.user_hash, deadline=NEVER) == 2
    with pytest.raises(UserGone):
        await put(store, user, new_rows(1))


async def test_an_export_has_every_row_once_oldest_first(store: Store) -> None:
    user = await add_user(store)
    rows = new_rows(1_203)
    random.Random(1).shuffle(rows)
    await put(store, user, rows)
    exported = [row async for row in store.export(user.user_hash)]
    assert [row.id for row in exported] == [row.id for row in sorted(rows, key=lambda row: row.created_at)]
    with pytest.raises(UserGone):
        async for _ in store.export(hash_of("nobody")):
            pass


async def test_an_export_that_is_given_up_costs_no_connection(store: Store) -> None:
    """More of them than there are connections."""
    user = await add_user(store)
    await put(store, user, new_rows(3))
    for _ in range(8):
        rows = store.export(user.user_hash)
        await anext(rows)
        await rows.aclose()  # type: ignore[attr-defined]
    assert await store.count(user.user_hash, deadline=NEVER) == 3


# -- nearest ----------------------------------------------------------------------------------------------


async def test_the_nearest_come_first_with_their_distances(store: Store) -> None:
    user = await add_user(store)
    rows = [new_row(near(similarity)) for similarity in (0.1, 0.9, 0.5, 0.7)]
    await put(store, user, rows)
    found = await store.nearest(user.user_hash, near(1.0), 3, ALL, deadline=NEVER)
    assert found.user is not None
    assert found.user.subject == user.subject
    assert [row.id for row in found.rows] == [rows[1].id, rows[3].id, rows[2].id]
    assert [row.distance for row in found.rows] == pytest.approx([0.1, 0.3, 0.5], abs=1e-3)


async def test_ties_are_broken_by_id(store: Store) -> None:
    user = await add_user(store)
    rows = [new_row(near(0.5)) for _ in range(30)]
    await put(store, user, rows)
    found = await store.nearest(user.user_hash, near(1.0), 24, ALL, deadline=NEVER)
    assert [row.id for row in found.rows] == sorted(row.id for row in rows)[:24]


async def test_nobody_is_told_from_nothing(store: Store) -> None:
    user = await add_user(store)
    found = await store.nearest(user.user_hash, unit(1), 24, ALL, deadline=NEVER)
    assert (found.user, list(found.rows)) == (user, [])
    nobody = await store.nearest(hash_of("nobody"), unit(1), 24, ALL, deadline=NEVER)
    assert (nobody.user, list(nobody.rows)) == (None, [])
    assert (await store.vectors(hash_of("nobody"), ALL, deadline=NEVER)).user is None


async def test_the_filter_holds_before_the_nearest_are_chosen(store: Store) -> None:
    """Else the near ones that do not match would leave too few, or none."""
    user = await add_user(store)
    tagged, old = b"t" * 16, NOON - timedelta(days=365)
    near_ones = [new_row(near(0.9)) for _ in range(50)]
    old_ones = [new_row(near(0.1), at=old) for _ in range(5)]
    tagged_ones = [new_row(near(0.2), labels=[b"x" * 16, tagged]) for _ in range(6)]
    await put(store, user, [*near_ones, *old_ones, *tagged_ones])

    async def ids(filter: Filter) -> set[UUID]:
        found = await store.nearest(user.user_hash, near(1.0), 24, filter, deadline=NEVER)
        return {row.id for row in found.rows}

    assert await ids(Filter(until=NOON)) == {row.id for row in old_ones}
    assert await ids(Filter(since=old, until=NOON - timedelta(seconds=1))) == {row.id for row in old_ones}
    assert await ids(Filter(labels=(tagged,))) == {row.id for row in tagged_ones}
    assert await ids(Filter(labels=(tagged, b"x" * 16))) == {row.id for row in tagged_ones}
    assert await ids(Filter(labels=(tagged, b"y" * 16))) == set()
    assert await ids(Filter(since=NOON + timedelta(seconds=1))) == set()
    assert len(await ids(Filter(since=NOON))) == 24


async def test_decay_orders_by_similarity_times_half_for_every_half_life(store: Store) -> None:
    """A memory from the future counts as new, one that is ages old as next to nothing, without an error."""
    user = await add_user(store)
    ages = [0.0, 1.0, 3.0, -5.0, 100_000.0, 0.5]
    similarities = [0.3, 0.9, 0.95, 0.31, 0.99, 0.05]
    rows = [
        new_row(near(similarity), at=NOON - timedelta(days=age))
        for similarity, age in zip(similarities, ages, strict=True)
    ]
    await put(store, user, rows)
    filter = Filter(now=NOON, half_life_seconds=86_400.0)
    found = await store.nearest(user.user_hash, near(1.0), 24, filter, deadline=NEVER)
    expected = sorted(range(6), key=lambda i: (-max(0, similarities[i]) * 0.5 ** max(0, ages[i]), rows[i].id))
    assert [row.id for row in found.rows] == [rows[i].id for i in expected]
    by_id = {row.id: row.distance for row in found.rows}
    assert by_id[rows[2].id] == pytest.approx(0.05, abs=1e-3)  # the distance itself does not decay


@pytest.mark.parametrize("size", [5, 24, 300])
async def test_the_nearest_are_those_of_brute_force_over_what_is_stored(
    store: Store, maintenance: Maintenance, size: int
) -> None:
    """And there are min(24, all) of them."""
    user = await add_user(store)
    await put(store, user, new_rows(size))
    stored = {row.id: row.vector async for row in maintenance.rows(user.subject)}
    assert len(stored) == size
    for each in range(5):
        query = unit(("query", each))
        found = await store.nearest(user.user_hash, query, 24, ALL, deadline=NEVER)
        assert len(found.rows) == min(24, size)
        true = {id: distance(query, vector or ()) for id, vector in stored.items()}
        worst = sorted(true.values())[min(24, size) - 1]
        assert all(true[row.id] <= worst + 1e-3 for row in found.rows)
        assert [row.distance for row in found.rows] == pytest.approx(
            [true[row.id] for row in found.rows], abs=1e-3
        )


def distance(a: Sequence[float], b: Sequence[float]) -> float:
    norms = math.sqrt(sum(x * x for x in a)) * math.sqrt(sum(x * x for x in b))
    return 1 - sum(x * y for x, y in zip(a, b, strict=True)) / norms


async def test_all_sealed_vectors_that_match_are_given_and_plain_ones_are_not(store: Store) -> None:
    user = await add_user(store, vectors="sealed")
    rows = [new_row(mode="sealed", labels=[b"l" * 16] if each % 2 else []) for each in range(40)]
    await put(store, user, [*rows, new_row()])
    found = await store.vectors(user.user_hash, ALL, deadline=NEVER)
    assert found.user is not None
    assert {row.id: row.cipher for row in found.rows} == {row.id: row.vector_cipher for row in rows}
    assert {row.created_at for row in found.rows} == {NOON}
    labelled = await store.vectors(user.user_hash, Filter(labels=(b"l" * 16,)), deadline=NEVER)
    assert len(labelled.rows) == 20
    plain = await store.nearest(user.user_hash, unit(1), 24, ALL, deadline=NEVER)
    assert len(plain.rows) == 1


# -- maintenance ------------------------------------------------------------------------------------------


async def test_maintenance_sees_every_user_once(store: Store, maintenance: Maintenance) -> None:
    added = {(await add_user(store)).subject for _ in range(5)}
    seen = [user.subject async for user in maintenance.users()]
    assert added <= set(seen)
    assert len(seen) == len(set(seen))
    assert (await maintenance.in_use("key"))["key-1"] >= 5
    assert (await maintenance.in_use("pepper"))["pepper-1"] >= 5


async def test_a_key_is_rewrapped_only_if_it_still_is_what_was_read(
    store: Store, maintenance: Maintenance
) -> None:
    user = await add_user(store)
    assert not await maintenance.rewrap(user.subject, old=b"other", new=b"new", key_id="key-2")
    assert await maintenance.rewrap(user.subject, old=user.wrapped_key, new=b"new", key_id="key-2")
    kept = await store.user(user.user_hash, deadline=NEVER)
    assert kept == replace(user, wrapped_key=b"new", key_id="key-2")


async def test_a_user_moves_to_another_hash_with_every_row(store: Store, maintenance: Maintenance) -> None:
    """In one step: it is found under the one or the other, and never under both or neither."""
    user, other = await add_user(store), await add_user(store)
    rows = new_rows(30)
    await put(store, user, rows)
    new = hash_of(("new", user.user_hash))
    assert not await maintenance.set_user_hash(user.subject, old=hash_of("x"), new=new, pepper_id="pepper-2")
    assert await maintenance.set_user_hash(user.subject, old=user.user_hash, new=new, pepper_id="pepper-2")
    assert await store.user(user.user_hash, deadline=NEVER) is None
    assert await store.count(user.user_hash, deadline=NEVER) is None
    assert await store.user(new, deadline=NEVER) == replace(
        user, user_hash=new, pepper_id="pepper-2", seals=60
    )
    assert await store.count(new, deadline=NEVER) == 30
    with pytest.raises(UserGone):
        await put(store, user, new_rows(1))
    assert await store.delete(user.user_hash, [rows[0].id], deadline=NEVER) is None
    with pytest.raises(StoreError):  # somebody else is there already
        await maintenance.set_user_hash(user.subject, old=new, new=other.user_hash, pepper_id="pepper-3")
    assert await store.count(new, deadline=NEVER) == 30


async def test_vectors_are_replaced_all_at_once_or_not_at_all(store: Store, maintenance: Maintenance) -> None:
    user = await add_user(store)
    rows = new_rows(3)
    await put(store, user, rows)
    sealed = {row.id: b"sealed " + row.id.bytes for row in rows}
    missing = {id: cipher for id, cipher in sealed.items() if id != rows[0].id}

    async def replaced(vectors: dict[UUID, bytes]) -> bool:
        return await maintenance.replace_vectors(
            user.subject, vectors, embedder="embedder-2", mode="sealed", seals=3
        )

    assert not await replaced(missing)
    assert await store.user(user.user_hash, deadline=NEVER) == replace(user, seals=6)
    assert await replaced({**sealed, uuid4(): b"deleted meanwhile"})
    assert await store.user(user.user_hash, deadline=NEVER) == replace(
        user, embedder="embedder-2", vectors="sealed", seals=9
    )
    assert not (await store.nearest(user.user_hash, unit(1), 24, ALL, deadline=NEVER)).rows
    found = await store.vectors(user.user_hash, ALL, deadline=NEVER)
    assert {row.id: row.cipher for row in found.rows} == sealed
    kept = [row async for row in maintenance.rows(user.subject)]
    assert {row.id: row.vector_cipher for row in kept} == sealed
    assert all(row.vector is None for row in kept)
    assert await maintenance.replace_vectors(
        user.subject, {row.id: unit(row.id) for row in rows}, embedder="embedder-3", mode="plain", seals=0
    )
    assert len((await store.nearest(user.user_hash, unit(1), 24, ALL, deadline=NEVER)).rows) == 3
    assert not await maintenance.replace_vectors(
        uuid4(), sealed, embedder="embedder-2", mode="sealed", seals=3
    )


async def test_rows_whose_vectors_are_of_another_kind_by_now_are_refused(
    store: Store, maintenance: Maintenance
) -> None:
    """They would be found by nobody, or compared with another embedder's."""
    user = await add_user(store)
    kinds: tuple[tuple[str, VectorMode], ...] = (("embedder-2", "plain"), ("embedder-2", "sealed"))
    for embedder, mode in kinds:
        before = await store.user(user.user_hash, deadline=NEVER)
        assert before is not None
        assert await maintenance.replace_vectors(user.subject, {}, embedder=embedder, mode=mode, seals=0)
        with pytest.raises(UserGone):
            await put(store, before, new_rows(1))
    assert await store.count(user.user_hash, deadline=NEVER) == 0
    now = await store.user(user.user_hash, deadline=NEVER)
    assert now is not None
    assert now.seals == 0
    await put(store, now, new_rows(1, mode="sealed"))


async def test_vacuuming_changes_nothing_that_is_seen(store: Store, maintenance: Maintenance) -> None:
    user = await add_user(store)
    rows = new_rows(5)
    await put(store, user, rows)
    await store.delete(user.user_hash, [rows[0].id], deadline=NEVER)
    await maintenance.vacuum()
    assert await store.count(user.user_hash, deadline=NEVER) == 4


# -- deadlines and closing --------------------------------------------------------------------------------


async def test_a_deadline_that_has_passed_is_an_error_and_changes_nothing(postgres_store: Store) -> None:
    user = await add_user(postgres_store)
    passed = Deadline.after(SystemClock().now(), -1)
    with pytest.raises(StoreError, match="by the deadline"):
        await postgres_store.insert(user, new_rows(3), seals=6, deadline=passed)
    with pytest.raises(StoreError, match="by the deadline"):
        await postgres_store.nearest(user.user_hash, unit(1), 24, ALL, deadline=passed)
    assert await postgres_store.count(user.user_hash, deadline=NEVER) == 0


@pytest.mark.parametrize("wrong", ["", "x", "A" * 64, "0" * 63, "0" * 65, "0" * 63 + "'", None])
async def test_what_is_no_user_hash_is_refused_before_anything_is_asked(
    postgres_store: Store, wrong: str
) -> None:
    """An empty one must not come to mean everybody, or nobody."""
    with pytest.raises(StoreError, match="64 hexadecimal digits"):
        await postgres_store.user(wrong, deadline=NEVER)
    with pytest.raises(StoreError, match="64 hexadecimal digits"):
        await postgres_store.nearest(wrong, unit(1), 24, ALL, deadline=NEVER)
    with pytest.raises(StoreError, match="64 hexadecimal digits"):
        await postgres_store.erase(wrong, deadline=NEVER)


async def test_a_closed_store_says_so(postgres_store: Store) -> None:
    await postgres_store.close()
    with pytest.raises(StoreError, match="closed"):
        await postgres_store.user(hash_of("anybody"), deadline=NEVER)
