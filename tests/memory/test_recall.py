"""What happens to a question when the user or the keys change between two of its steps."""

import asyncio
import threading
from dataclasses import replace
from typing import Any

import pytest

from rerankd.core.cache import CachePolicy
from rerankd.core.ports import Model
from rerankd.core.types import Outcome
from rerankd.errors import SealError, StoreError
from rerankd.memory.embedder import Run
from rerankd.memory.keys import LocalKeys
from rerankd.memory.memory import Memory
from rerankd.memory.testing import InMemoryEpochs, InMemoryStore, fake_memory
from rerankd.reranker import Reranker
from rerankd.testing import FakeScorer, FakeTokenizer
from tests.memory.meddled import Meddled

pytestmark = pytest.mark.threads


async def replaced(memory: Memory, text: str) -> None:
    """Ada is erased, and begins anew."""
    await memory.erase_user(user_id="ada")
    await memory.add([text], user_id="ada", metadata={"kind": "chat"})


async def test_a_filter_of_a_user_who_was_made_anew_is_made_anew() -> None:
    """Labels of the old data key would find nothing, and look like "nothing is known"."""
    store = Meddled()
    async with fake_memory(store) as memory:
        await memory.add(["old"], user_id="ada", metadata={"kind": "chat"})
        store.before["nearest"] = lambda: replaced(memory, "new")
        recall = await memory.query("x", user_id="ada", metadata={"kind": "chat"}, budget_ms=None)
    assert [str(chunk.text) for chunk in recall] == ["new"]


async def test_sealed_vectors_of_a_user_who_was_made_anew_are_read_anew() -> None:
    store = Meddled()
    async with fake_memory(store, vectors="sealed") as memory:
        await memory.add(["old"], user_id="ada")
        store.before["rows"] = lambda: replaced(memory, "new")
        recall = await memory.query("x", user_id="ada", budget_ms=None)
    assert [str(chunk.text) for chunk in recall] == ["new"]


async def test_a_user_who_is_made_anew_again_and_again_is_an_error_and_not_an_empty_answer() -> None:
    store = Meddled()
    async with fake_memory(store, vectors="sealed") as memory:
        await memory.add(["old"], user_id="ada")

        async def again() -> None:
            store.before["rows"] = again
            await replaced(memory, "new")

        store.before["rows"] = again
        with pytest.raises(StoreError, match="again and again"):
            await memory.query("x", user_id="ada", budget_ms=None)


@pytest.mark.parametrize(("mode", "first"), [("plain", "vectors"), ("sealed", "nearest")])
async def test_a_user_whose_vectors_change_their_kind_between_two_reads_is_read_anew(
    mode: Any, first: str
) -> None:
    """The kind that is not kept is asked for first, and the other one when that is not kept any more."""
    store = Meddled()
    keys, peppers = InMemoryEpochs("key"), InMemoryEpochs("pepper")
    other = "sealed" if mode == "plain" else "plain"
    async with (
        fake_memory(store, keys=keys, peppers=peppers, vectors=mode) as here,
        fake_memory(store, keys=keys, peppers=peppers, vectors=other) as there,
    ):
        await there.add(["text"], user_id="ada")
        store.before[first] = here.reembed
        recall = await here.query("text", user_id="ada", budget_ms=None)
    assert [str(chunk.text) for chunk in recall] == ["text"]


async def test_sealed_vectors_that_are_not_ranked_in_time_are_an_error_at_the_deadline(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """And whoever opens them stops, as nobody waits any more."""
    stopped = threading.Event()

    def slow(*given: Any) -> None:
        run: Run = given[-1]
        while not run.ended:
            time_passes.wait(0.001)
        stopped.set()

    time_passes = threading.Event()
    async with fake_memory(vectors="sealed") as memory:
        await memory.add([f"number {number}" for number in range(300)], user_id="ada")
        monkeypatch.setattr("rerankd.memory.vectors.nearest", slow)
        with pytest.raises(StoreError, match="by the deadline"):
            await memory.query("number 3", user_id="ada", budget_ms=30)
        assert await asyncio.to_thread(stopped.wait, 10)


@pytest.mark.parametrize("mode", ["plain", "sealed"])
async def test_a_question_of_which_the_key_was_rotated_away_is_asked_again(mode: Any) -> None:
    """The record was read before the rotation, the key looked for after it."""
    keys = InMemoryEpochs("key")

    class Late(LocalKeys):
        meddle: Any = None

        async def unwrap(self, key_id: str, wrapped: bytes, *fields: bytes) -> bytes:
            meddle, self.meddle = self.meddle, None
            if meddle is not None:
                await meddle()
            return await super().unwrap(key_id, wrapped, *fields)

    store, late = InMemoryStore(), Late(keys)
    memory = fake_memory(store, keys=keys, vectors=mode)
    object.__setattr__(memory._parts.vault, "_keys", late)
    async with memory:
        await memory.add(["text"], user_id="ada")
        late.meddle = memory.rotate_keys
        assert len(await memory.query("text", user_id="ada", budget_ms=None)) == 1
        late.meddle = memory.rotate_keys
        await memory.add(["more"], user_id="ada")
        late.meddle = memory.rotate_keys
        assert len([each async for each in memory.export_user(user_id="ada")]) == 2


async def test_a_key_service_that_does_not_answer_is_an_error_at_the_deadline() -> None:
    class Hanging(LocalKeys):
        async def unwrap(self, key_id: str, wrapped: bytes, *fields: bytes) -> bytes:
            await asyncio.Event().wait()
            raise AssertionError

    memory = fake_memory()
    async with memory:
        await memory.add(["text"], user_id="ada")
        object.__setattr__(memory._parts.vault, "_keys", Hanging(InMemoryEpochs("key")))
        with pytest.raises(SealError, match="in time"):
            await memory.query("text", user_id="ada", budget_ms=30)


async def test_many_sealed_vectors_are_opened_off_the_event_loop_with_the_same_result() -> None:
    async with fake_memory(vectors="sealed") as memory:
        await memory.add([f"number {number} of many" for number in range(400)], user_id="ada")
        recall = await memory.query("number 123", user_id="ada", budget_ms=None)
    assert str(recall[0].text) == "number 123 of many"
    assert recall.timings.rank > 0


async def test_a_row_that_went_between_two_reads_is_just_not_there() -> None:
    store = Meddled()
    async with fake_memory(store, vectors="sealed") as memory:
        ids = await memory.add(["one", "two"], user_id="ada")

        async def delete() -> None:
            await memory.delete(ids[:1], user_id="ada")

        store.before["rows"] = delete
        recall = await memory.query("one", user_id="ada", budget_ms=None)
    assert ([str(chunk.text) for chunk in recall], recall.dropped) == (["two"], 0)


async def test_a_record_that_names_another_embedder_in_between_is_refused() -> None:
    store = InMemoryStore()
    async with fake_memory(store) as memory:
        await memory.add(["one"], user_id="ada")
        (user,) = store._shared.users.values()
        user.record = replace(user.record, embedder="other")
        with pytest.raises(StoreError, match="reembed"):
            await memory.query("one", user_id="ada")


async def test_nothing_of_a_memory_is_kept_by_a_reranker_that_keeps_scores() -> None:
    model = Model(scorer=FakeScorer(), tokenizer=FakeTokenizer(), max_tokens=64, digest="d")
    reranker = Reranker(lambda: model, name="fake", cache=CachePolicy(scores=100))
    async with fake_memory(reranker=reranker) as memory:
        await memory.add(["a b", "b c"], user_id="ada")
        for _ in range(2):
            recall = await memory.query("b", user_id="ada", budget_ms=None)
            assert recall.outcome is Outcome.RERANKED
        kept = reranker.status().cache
    assert kept is not None
    assert (kept.hits, kept.misses, kept.entries) == (0, 0, 0)
