"""What happens to what is added when the user, the keys or the vectors change between two steps of it."""

import asyncio
import threading
from typing import Any

import pytest

from rerankd.errors import SealError, StoreError
from rerankd.memory.memory import Memory
from rerankd.memory.store.port import UserGone
from rerankd.memory.testing import FakeEmbedder, InMemoryEpochs, fake_memory
from rerankd.memory.vault import seal_rows
from tests.memory.meddled import Meddled

pytestmark = pytest.mark.threads

SEAL_ROWS = "rerankd.memory.keeping.seal_rows"


async def texts(memory: Memory) -> list[str]:
    recall = await memory.query("text", user_id="ada", budget_ms=None)
    return sorted(str(chunk.text) for chunk in recall)


@pytest.mark.parametrize("mode", ["plain", "sealed"])
async def test_what_is_added_while_vectors_change_their_kind_is_found(mode: Any) -> None:
    """Sealed for the other kind of vectors it would be kept, and never found."""
    store, keys, peppers = Meddled(), InMemoryEpochs("key"), InMemoryEpochs("pepper")
    other = "sealed" if mode == "plain" else "plain"
    async with (
        fake_memory(store, keys=keys, peppers=peppers, vectors=mode) as here,
        fake_memory(store, keys=keys, peppers=peppers, vectors=other) as there,
    ):
        await here.add(["text one"], user_id="ada")
        store.before["insert"] = there.reembed
        await here.add(["text two"], user_id="ada")
        assert await texts(here) == await texts(there) == ["text one", "text two"]


async def test_what_is_added_while_another_embedder_takes_over_is_refused() -> None:
    store, keys, peppers = Meddled(), InMemoryEpochs("key"), InMemoryEpochs("pepper")
    async with (
        fake_memory(store, keys=keys, peppers=peppers) as here,
        fake_memory(store, keys=keys, peppers=peppers, embedder=FakeEmbedder("newer")) as there,
    ):
        await here.add(["text one"], user_id="ada")
        store.before["insert"] = there.reembed
        with pytest.raises(StoreError, match="embedded by newer"):
            await here.add(["text two"], user_id="ada")
        assert await texts(there) == ["text one"]


async def test_a_user_who_is_erased_while_something_is_added_begins_anew_with_it() -> None:
    store = Meddled()
    async with fake_memory(store) as memory:
        await memory.add(["text one"], user_id="ada")

        async def erase() -> None:
            await memory.erase_user(user_id="ada")

        store.before["insert"] = erase
        await memory.add(["text two"], user_id="ada")
        assert await texts(memory) == ["text two"]


async def test_a_user_who_is_erased_again_and_again_is_an_error_at_last() -> None:
    store = Meddled()
    async with fake_memory(store) as memory:

        async def erase() -> None:
            store.before["insert"] = erase
            await memory.erase_user(user_id="ada")

        store.before["insert"] = erase
        with pytest.raises(UserGone):
            await memory.add(["text"], user_id="ada")


async def test_sealing_is_done_off_the_event_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    threads: list[int] = []

    def seal(*given: Any) -> Any:
        threads.append(threading.get_ident())
        return seal_rows(*given)

    monkeypatch.setattr(SEAL_ROWS, seal)
    async with fake_memory() as memory:
        await memory.add([f"text {number}" for number in range(50)], user_id="ada")
        assert len(await texts(memory)) == 8
    assert len(threads) == 1
    assert threads != [threading.get_ident()]


async def test_every_record_that_is_kept_is_counted_against_the_key() -> None:
    store = Meddled()
    async with fake_memory(store, vectors="sealed") as memory:
        await memory.add(["text one"], user_id="ada")
        await asyncio.gather(*(memory.add(["text"] * 5, user_id="ada") for _ in range(3)))
    ((record, rows),) = store.records().values()
    assert len(rows) == 16
    assert record.seals == 1 + 3 * 16, "the user id, and of every memory text, metadata and vector"


async def test_a_failure_to_seal_keeps_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: Any) -> Any:
        raise SealError("this user's key seals no more")

    store = Meddled()
    async with fake_memory(store) as memory:
        await memory.add(["text one"], user_id="ada")
        monkeypatch.setattr(SEAL_ROWS, fails)
        with pytest.raises(SealError):
            await memory.add(["text two", "text three"], user_id="ada")
        assert await memory.count(user_id="ada") == 1


async def test_adding_that_is_cancelled_while_it_seals_keeps_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    begun, go, ended = threading.Event(), threading.Event(), threading.Event()

    def slow(*given: Any) -> Any:
        begun.set()
        go.wait(10)
        rows = seal_rows(*given)
        ended.set()
        return rows

    store = Meddled()
    async with fake_memory(store) as memory:
        await memory.add(["text one"], user_id="ada")
        ((before, _),) = store.records().values()
        monkeypatch.setattr(SEAL_ROWS, slow)
        adding = asyncio.create_task(memory.add(["text two"], user_id="ada"))
        await asyncio.to_thread(begun.wait, 10)
        adding.cancel()
        with pytest.raises(asyncio.CancelledError):
            await adding
        go.set()
        assert await asyncio.to_thread(ended.wait, 10)
        ((after, rows),) = store.records().values()
        assert (after.seals, len(rows)) == (before.seals, 1)
