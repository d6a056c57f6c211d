"""Keys and peppers rotate while the memory is in use, lose nobody, and the old ones are then gone for good."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from rerankd.errors import SealError, StoreError
from rerankd.memory.epochs import MissingKey
from rerankd.memory.memory import Memory
from rerankd.memory.sealing import open_record
from rerankd.memory.testing import InMemoryEpochs, InMemoryMaintenance, InMemoryStore, fake_memory
from rerankd.memory.types import UserRecord

pytestmark = pytest.mark.threads

USERS = [f"user {number}" for number in range(12)]


@dataclass
class World:
    """One database, and keys that every process can reach."""

    store: InMemoryStore = field(default_factory=InMemoryStore)
    keys: InMemoryEpochs = field(default_factory=lambda: InMemoryEpochs("key"))
    peppers: InMemoryEpochs = field(default_factory=lambda: InMemoryEpochs("pepper"))

    def memory(self, **options: Any) -> Memory:
        return fake_memory(self.store, keys=self.keys, peppers=self.peppers, **options)

    def users(self) -> list[UserRecord]:
        return [record for record, _ in self.store.records().values()]


@pytest.fixture
async def world() -> AsyncIterator[World]:
    made = World()
    async with made.memory() as memory:
        for user in USERS:
            await memory.add([f"memory of {user}"], user_id=user)
    return made


async def check_everybody(memory: Memory, users: list[str] = USERS) -> None:
    for user in users:
        recall = await memory.query("memory", user_id=user, budget_ms=None)
        assert [str(chunk.text) for chunk in recall] == [f"memory of {user}"]


async def test_after_a_rotation_every_data_key_is_wrapped_by_the_new_key_alone(world: World) -> None:
    before = {record.subject: record for record in world.users()}
    seen: list[int] = []
    async with world.memory() as memory:
        done = await memory.rotate_keys(progress=seen.append)
        await check_everybody(memory)
    assert (done.users, done.destroyed, done.remaining) == (len(USERS), (done.old,), "")
    assert seen == list(range(1, len(USERS) + 1))
    assert {record.key_id for record in world.users()} == {done.new}
    for record in world.users():
        # what an old log or backup still holds opens with no key that is left
        old = before[record.subject]
        for epoch in world.keys.all().values():
            with pytest.raises(SealError):
                open_record(epoch.secret, old.key_id.encode(), old.wrapped_key)
        assert record.sealed_user_id == old.sealed_user_id


async def test_after_a_rotation_of_the_pepper_everybody_has_another_hash(world: World) -> None:
    before = {record.subject: record.user_hash for record in world.users()}
    async with world.memory() as memory:
        done = await memory.rotate_pepper()
        await check_everybody(memory)
    assert (done.users, done.destroyed, done.remaining) == (len(USERS), (done.old,), "")
    assert {record.pepper_id for record in world.users()} == {done.new}
    assert all(before[record.subject] != record.user_hash for record in world.users())


@pytest.mark.parametrize("what", ["rotate_keys", "rotate_pepper"])
async def test_a_process_that_does_not_hear_of_a_rotation_fails_no_call(world: World, what: str) -> None:
    async with world.memory() as here, world.memory() as there:
        await getattr(there, what)()
        await check_everybody(here)
        await here.add(["memory of new"], user_id="new")
        await here.add(["second"], user_id=USERS[0])
        await check_everybody(there, ["new"])
        assert await there.count(user_id=USERS[0]) == 2
        assert len(world.users()) == len(USERS) + 1, "nobody is there twice"


class Stepping(InMemoryStore):
    """Gives way to other tasks at every call, as a database does."""

    async def _called(self, name: str, deadline: Any) -> None:
        await asyncio.sleep(0)
        await super()._called(name, deadline)
        await asyncio.sleep(0)


@pytest.mark.parametrize("what", ["rotate_keys", "rotate_pepper"])
async def test_nobody_s_calls_fail_while_rotations_run(what: str) -> None:
    world = World(store=Stepping())
    async with world.memory() as here, world.memory() as there:
        for user in USERS:
            await here.add([f"memory of {user}"], user_id=user)
        stop = asyncio.Event()
        calls = 0

        async def use(memory: Memory, users: list[str]) -> None:
            nonlocal calls
            while not stop.is_set():
                for user in users:
                    await memory.add(["more"], user_id=user)
                    recall = await memory.query("memory", user_id=user, budget_ms=None)
                    assert str(recall[0].text) == f"memory of {user}"
                    assert len([each async for each in memory.export_user(user_id=user)]) > 1
                    calls += 1

        tasks = [
            asyncio.create_task(use(memory, USERS[at::4]))
            for at, memory in enumerate([here, there, here, there])
        ]
        for _ in range(3):
            await getattr(there, what)()
        stop.set()
        await asyncio.gather(*tasks)
        assert calls > 0
        assert len(world.users()) == len(USERS)


async def test_a_rotation_that_was_interrupted_goes_on_where_it_was(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    maintenance = type(world.store.maintenance())
    rewrap = maintenance.rewrap
    count = 0

    async def fails_later(self: Any, *arguments: Any, **options: Any) -> bool:
        nonlocal count
        count += 1
        if count > 5:
            raise StoreError("gone")
        return await rewrap(self, *arguments, **options)

    monkeypatch.setattr(maintenance, "rewrap", fails_later)
    async with world.memory() as memory:
        with pytest.raises(StoreError):
            await memory.rotate_keys()
        await check_everybody(memory)
        monkeypatch.setattr(maintenance, "rewrap", rewrap)
        done = await memory.rotate_keys()
        await check_everybody(memory)
    assert done.users == len(USERS) - 5
    assert done.resumed
    assert len(world.keys.all()) == 1


@pytest.fixture
async def interrupted(world: World, monkeypatch: pytest.MonkeyPatch) -> World:
    """A rotation of the key has moved everybody but one user, and ended there."""
    moved = 0
    rewrap = InMemoryMaintenance.rewrap

    async def fails_at_last(self: Any, *arguments: Any, **options: Any) -> bool:
        nonlocal moved
        moved += 1
        if moved == len(USERS):
            raise StoreError("gone")
        return await rewrap(self, *arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(InMemoryMaintenance, "rewrap", fails_at_last)
        async with world.memory() as memory:
            with pytest.raises(StoreError):
                await memory.rotate_keys()
    return world


async def test_ending_an_interrupted_rotation_says_that_erasures_want_one_more(interrupted: World) -> None:
    """Who was erased in between was under the new key already, which is in force and not destroyed."""
    async with interrupted.memory() as memory:
        await memory.erase_user(user_id=USERS[0])
        assert "rotate once more" in (await memory.rotate_keys()).remaining
        assert (await memory.rotate_keys()).remaining == ""


async def test_erasing_with_a_rotation_is_final_though_another_was_interrupted(interrupted: World) -> None:
    before = interrupted.users()
    async with interrupted.memory(vectors="sealed") as memory:
        await memory.reembed()
        done = await memory.erase_user(user_id=USERS[0], rotate=True)
    (erased,) = (
        user for user in before if user.subject not in {user.subject for user in interrupted.users()}
    )
    assert done.final
    assert erased.key_id not in interrupted.keys.all(), "what wrapped its data key is gone"


async def test_an_erasure_whose_rotation_fails_says_that_the_user_is_gone_all_the_same(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fails(*_: Any, **__: Any) -> bool:
        raise StoreError("gone")

    monkeypatch.setattr(InMemoryMaintenance, "rewrap", fails)
    async with world.memory() as memory:
        with pytest.raises(StoreError, match=r"the user is erased, but not finally.*gone"):
            await memory.erase_user(user_id=USERS[0], rotate=True)
        assert not (await memory.erase_user(user_id=USERS[0])).known


async def test_an_erasure_that_cannot_rotate_is_refused_before_anything_is_done(world: World) -> None:
    async with world.memory() as memory:
        object.__setattr__(memory._parts, "maintenance", None)
        with pytest.raises(StoreError, match="RERANKD_STORE_MAINTAIN_URL"):
            await memory.erase_user(user_id=USERS[0], rotate=True)
        assert await memory.count(user_id=USERS[0]) == 1


async def test_a_user_who_cannot_be_moved_keeps_the_old_key_alive(world: World) -> None:
    broken = world.users()[0]
    object.__setattr__(broken, "wrapped_key", world.users()[1].wrapped_key)
    async with world.memory() as memory:
        with pytest.raises(SealError, match="1 users could not be moved"):
            await memory.rotate_keys()
    assert len(world.keys.all()) == 2
    assert world.keys.lost == {}


async def test_two_rotations_at_once_do_not_both_run(world: World) -> None:
    maintenance = world.store.maintenance()
    async with world.memory() as memory:
        advance = type(maintenance).advance

        async def too_late(self: Any, kind: Any, *, old: str, new: str) -> bool:
            return False

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(type(maintenance), "advance", too_late)
            with pytest.raises(StoreError, match="another rotation"):
                await memory.rotate_keys()
        assert type(maintenance).advance is advance
        await check_everybody(memory)


async def test_what_was_erased_before_a_rotation_opens_with_nothing_after_it(world: World) -> None:
    record, rows = next(iter(world.store.records().values()))
    kept = next(iter(rows.values())).text_cipher
    async with world.memory() as memory:
        await memory.erase_user(user_id=USERS[0])
        await memory.rotate_keys()
    for epoch in world.keys.all().values():
        with pytest.raises(SealError):
            open_record(epoch.secret, record.key_id.encode(), record.wrapped_key)
    with pytest.raises(MissingKey):
        world.keys.get(record.key_id)
    assert kept


@pytest.mark.parametrize("mode", ["plain", "sealed"])
async def test_erasing_with_a_rotation_is_final_where_the_vectors_are_sealed(mode: Any) -> None:
    world = World()
    async with world.memory(vectors=mode) as memory:
        for user in ("ada", "bob"):
            await memory.add(["text"], user_id=user)
        first = next(iter(world.keys.all()))
        done = await memory.erase_user(user_id="ada", rotate=True)
        assert (done.rows, done.final) == (1, mode == "sealed")
        assert (done.remaining == "") == done.final
        assert "rotate" not in done.remaining
        assert list(world.keys.lost) == [first]
        assert len(await memory.query("text", user_id="bob", budget_ms=None)) == 1


async def test_without_the_maintaining_role_the_error_names_its_setting(world: World) -> None:
    async with world.memory() as memory:
        object.__setattr__(memory._parts, "maintenance", None)
        with pytest.raises(StoreError, match="RERANKD_STORE_MAINTAIN_URL"):
            await memory.rotate_keys()


async def test_memories_that_do_not_open_are_counted_when_embedding_anew(world: World) -> None:
    from rerankd.memory.testing import FakeEmbedder

    record, rows = next(iter(world.store.records().values()))
    (row,) = rows.values()
    object.__setattr__(row, "text_cipher", row.meta_cipher)
    async with world.memory(embedder=FakeEmbedder("newer"), vectors="sealed") as memory:
        done = await memory.reembed()
        assert (done.users, done.memories, done.rejected) == (len(USERS), len(USERS), 1)
        assert (await memory.reembed()).users == 0, "nobody is left to do"
        recall = await memory.query("memory", user_id=USERS[0], budget_ms=None)
        assert (len(recall), recall.dropped) == (0, 1)
    assert record.vectors == "plain", "the record that was is not the one that is"
