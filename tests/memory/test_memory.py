"""What callers of the memory can rely on, over a store in memory and an embedder that counts common words."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from uuid import UUID, uuid4

import pytest

from rerankd.core.events import MemoryFailed, MemoryQueried, RecordsRejected
from rerankd.core.types import Outcome, Reason
from rerankd.errors import BackendError, InvalidRequest, SealError, StoreError
from rerankd.memory.memory import Memory
from rerankd.memory.policy import MemoryPolicy
from rerankd.memory.testing import FakeEmbedder, InMemoryEpochs, InMemoryStore, fake_memory
from rerankd.memory.types import VectorMode
from rerankd.testing import RecordingObserver, fake_reranker

pytestmark = pytest.mark.threads

NOW = datetime(2026, 5, 1, tzinfo=UTC)
TEXTS = ["I moved to Lisbon in May", "my dog is called Bruno", "the rent in Lisbon is high"]


@pytest.fixture(params=["plain", "sealed"])
def mode(request: pytest.FixtureRequest) -> VectorMode:
    return request.param


def make(store: InMemoryStore | None = None, **options: Any) -> Memory:
    return fake_memory(store, now=lambda: NOW, **options)


async def test_what_was_added_is_found_best_first(mode: VectorMode) -> None:
    async with make(vectors=mode) as memory:
        ids = await memory.add(TEXTS, user_id="ada", metadata={"kind": "chat"}, created_at=NOW)
        recall = await memory.query("Lisbon rent", user_id="ada", budget_ms=None)
    assert [str(chunk.text) for chunk in recall] == [TEXTS[2], TEXTS[0], TEXTS[1]]
    assert (recall.outcome, recall.reason, recall.depth, recall.candidates) == (Outcome.RERANKED, None, 3, 3)
    best = recall[0]
    assert (best.id, best.metadata, best.created_at) == (ids[2], {"kind": "chat"}, NOW)
    assert best.retrieval_score == pytest.approx(2 / 12**0.5, abs=0.01)
    assert best.score is not None
    assert recall.timings.total >= recall.timings.rerank > 0


async def test_the_reranker_may_put_another_first_than_retrieval() -> None:
    def prefers_dogs(pair: Any) -> float:
        return float("dog" in pair.text)

    async with make(reranker=fake_reranker(prefers_dogs)) as memory:
        await memory.add(TEXTS, user_id="ada")
        recall = await memory.query("Lisbon", user_id="ada", budget_ms=None)
    assert (str(recall[0].text), recall[0].retrieval_rank) == (TEXTS[1], 3)


async def test_only_so_many_are_retrieved_and_returned(mode: VectorMode) -> None:
    async with make(vectors=mode) as memory:
        await memory.add([f"number {number}" for number in range(30)], user_id="ada")
        usual = await memory.query("number 7", user_id="ada", budget_ms=None)
        fewer = await memory.query("number 7", user_id="ada", top_k_ann=5, top_k_reranked=2, budget_ms=None)
    assert (usual.candidates, len(usual)) == (24, 8)
    assert (fewer.candidates, len(fewer), str(fewer[0].text)) == (5, 2, "number 7")


async def test_a_user_sees_no_memories_of_another_or_of_the_same_name_with_another_tenant(
    mode: VectorMode,
) -> None:
    async with make(vectors=mode) as memory:
        ids = await memory.add(TEXTS, user_id="ada")
        other = memory.of_tenant("other")
        for stranger, name in ((memory, "bob"), (other, "ada")):
            assert len(await stranger.query("Lisbon", user_id=name, budget_ms=None)) == 0
            assert await stranger.count(user_id=name) == 0
            assert await stranger.delete(ids, user_id=name) == 0
            assert not (await stranger.erase_user(user_id=name)).known
        assert await memory.count(user_id="ada") == 3


async def test_nothing_readable_is_kept(mode: VectorMode) -> None:
    store = InMemoryStore()
    async with make(store, vectors=mode) as memory:
        await memory.add(TEXTS, user_id="lovelace@example.com", metadata={"city": "Lisbon"})
    kept = repr([(record, list(rows.values())) for record, rows in store.records().values()])
    for record, rows in store.records().values():
        kept += str([record.sealed_user_id, *(row.text_cipher + row.meta_cipher for row in rows.values())])
        kept += str([row.labels for row in rows.values()])
        assert all((row.vector is None) == (mode == "sealed") for row in rows.values())
    # words that no UUID has by chance, as it may have "ada"
    for word in ("Lisbon", "lovelace", "Bruno", "city"):
        assert word not in kept


async def test_deleted_memories_are_gone() -> None:
    async with make() as memory:
        ids = await memory.add(TEXTS, user_id="ada")
        assert await memory.delete([ids[0], str(ids[1]), uuid4()], user_id="ada") == 2
        assert await memory.count(user_id="ada") == 1


async def test_an_erased_user_is_unknown_and_may_begin_anew(mode: VectorMode) -> None:
    store = InMemoryStore()
    async with make(store, vectors=mode) as memory:
        await memory.add(TEXTS, user_id="ada")
        erasure = await memory.erase_user(user_id="ada")
        assert (erasure.rows, erasure.known, erasure.final) == (3, True, False)
        assert "rerankd memory rotate" in erasure.remaining
        assert ("plain vectors" in erasure.remaining) == (mode == "plain")
        assert store.records() == {}
        assert await memory.count(user_id="ada") == 0
        await memory.add(["back again"], user_id="ada")
        assert await memory.count(user_id="ada") == 1


async def test_an_export_gives_everything_oldest_first() -> None:
    async with make() as memory:
        moments = [NOW, NOW - timedelta(days=2), NOW - timedelta(days=1)]
        await memory.add(TEXTS, user_id="ada", created_at=moments, metadata=[{"n": 1}, None, {}])
        exported = [each async for each in memory.export_user(user_id="ada")]
        assert [str(each.text) for each in exported] == [TEXTS[1], TEXTS[2], TEXTS[0]]
        assert [each.metadata for each in exported] == [{}, {}, {"n": 1}]
        assert [each async for each in memory.export_user(user_id="bob")] == []


# -- filters ------------------------------------------------------------------------------------------------


async def test_only_memories_of_the_time_range_count(mode: VectorMode) -> None:
    async with make(vectors=mode) as memory:
        moments = [NOW - timedelta(days=days) for days in (1, 2, 3)]
        await memory.add(TEXTS, user_id="ada", created_at=moments)

        async def found(**range_: Any) -> set[str]:
            recall = await memory.query("x", user_id="ada", budget_ms=None, **range_)
            return {str(chunk.text) for chunk in recall}

        assert await found(since=moments[1]) == {TEXTS[0], TEXTS[1]}
        assert await found(until=moments[1]) == {TEXTS[2]}
        assert await found(since=moments[2], until=moments[0]) == {TEXTS[1], TEXTS[2]}


async def test_only_memories_with_all_of_the_metadata_count(mode: VectorMode) -> None:
    async with make(vectors=mode) as memory:
        about = [{"kind": "chat", "year": 2025}, {"kind": "chat", "year": 2026}, {"kind": "note"}]
        await memory.add(TEXTS, user_id="ada", metadata=about)

        async def found(user: str = "ada", **metadata: Any) -> list[str]:
            recall = await memory.query("x", user_id=user, metadata=metadata, budget_ms=None)
            return sorted(str(chunk.text) for chunk in recall)

        assert await found(kind="chat") == sorted(TEXTS[:2])
        assert await found(kind="chat", year=2026) == [TEXTS[1]]
        assert await found(year=2026.0) == [TEXTS[1]]
        assert await found(kind="letter") == []
        assert await found("bob", kind="chat") == []


async def test_an_older_memory_counts_less_where_age_counts(mode: VectorMode) -> None:
    async with make(vectors=mode, policy=MemoryPolicy(top_k_ann=1, top_k=1)) as memory:
        await memory.add(
            ["rent Lisbon", "rent of a boat"],
            user_id="ada",
            created_at=[NOW - timedelta(days=90), NOW],
        )
        exact = await memory.query("rent Lisbon", user_id="ada", budget_ms=None)
        recent = await memory.query("rent Lisbon", user_id="ada", half_life_days=30, budget_ms=None)
    assert (str(exact[0].text), exact[0].retrieval_score) == ("rent Lisbon", pytest.approx(1, abs=1e-3))
    assert str(recent[0].text) == "rent of a boat"


async def test_the_floor_leaves_out_what_has_faded(mode: VectorMode) -> None:
    policy = MemoryPolicy(half_life_days=30, floor=0.25, decay_score=False)
    async with make(vectors=mode, policy=policy) as memory:
        await memory.add(
            TEXTS, user_id="ada", created_at=[NOW - timedelta(days=days) for days in (0, 59, 61)]
        )
        recall = await memory.query("Lisbon", user_id="ada", budget_ms=None)
    assert {str(chunk.text) for chunk in recall} == set(TEXTS[:2])
    assert recall[0].retrieval_score == pytest.approx(1 / 6**0.5, abs=1e-3), "only the floor was wanted"


# -- what goes wrong ----------------------------------------------------------------------------------------


async def test_a_reranker_that_fails_costs_the_order_only() -> None:
    def broken(pair: Any) -> float:
        if "Lisbon" in pair.query:
            raise RuntimeError
        return 0.0  # while it is loaded

    async with make(reranker=fake_reranker(broken)) as memory:
        await memory.add(TEXTS, user_id="ada")
        recall = await memory.query("Lisbon rent", user_id="ada", budget_ms=None)
    assert (recall.outcome, recall.reason, recall.depth) == (Outcome.SKIPPED, Reason.MODEL_ERROR, 0)
    assert [chunk.retrieval_rank for chunk in recall] == [1, 2, 3]
    assert [chunk.score for chunk in recall] == [None] * 3


async def test_a_database_that_is_gone_is_an_error_and_is_told_of() -> None:
    store, observer = InMemoryStore(), RecordingObserver()
    async with make(store, observers=[observer]) as memory:
        await memory.add(TEXTS, user_id="ada")
        store.fails = StoreError("the database cannot be reached")
        for call in (
            memory.query("x", user_id="ada"),
            memory.add(["x"], user_id="ada"),
            memory.count(user_id="ada"),
            memory.delete([], user_id="ada"),
            memory.erase_user(user_id="ada"),
        ):
            with pytest.raises(StoreError):
                await call
    failed = [(event.call, event.error) for event in observer.of(MemoryFailed)]
    assert failed == [(call, "StoreError") for call in ("query", "add", "count", "delete", "erase")]


async def test_a_database_that_is_slow_is_an_error_at_the_deadline() -> None:
    store = InMemoryStore()
    async with make(store) as memory:
        await memory.add(TEXTS, user_id="ada")
        store.delay_s = 30
        with pytest.raises(StoreError, match="in time"):
            await memory.query("Lisbon", user_id="ada", budget_ms=30)


async def test_a_query_that_cannot_be_embedded_is_an_error() -> None:
    embedder = FakeEmbedder()
    async with make(embedder=embedder) as memory:
        await memory.add(TEXTS, user_id="ada")
        embedder.fails = BackendError("no")
        with pytest.raises(BackendError):
            await memory.query("Lisbon", user_id="ada")
        with pytest.raises(BackendError):
            await memory.add(["x"], user_id="ada")
        assert await memory.count(user_id="ada") == 3


async def test_a_missing_key_is_an_error_and_never_no_memories(mode: VectorMode) -> None:
    store, keys = InMemoryStore(), InMemoryEpochs("key")
    peppers = InMemoryEpochs("pepper")
    async with make(store, keys=keys, peppers=peppers, vectors=mode) as memory:
        await memory.add(TEXTS, user_id="ada")
        keys.destroy(keys.first().id)
        with pytest.raises(SealError, match="not here"):
            await memory.query("Lisbon", user_id="ada")
    with pytest.raises(SealError, match="not held here"):
        async with make(store, keys=keys, peppers=peppers):
            raise AssertionError("it must not open without the key in force")


async def test_a_wrong_key_is_an_error_and_never_no_memories(mode: VectorMode) -> None:
    store = InMemoryStore()
    async with make(store, vectors=mode) as memory:
        await memory.add(TEXTS, user_id="ada")
        await memory.add(TEXTS, user_id="bob")
        ada, bob = store._shared.users.values()
        object.__setattr__(ada.record, "wrapped_key", bob.record.wrapped_key)
        with pytest.raises(SealError, match="does not unwrap"):
            await memory.query("Lisbon", user_id="ada")


async def test_rows_that_do_not_open_are_left_out_counted_told_of_and_not_made_up_for(
    mode: VectorMode,
) -> None:
    store, observer = InMemoryStore(), RecordingObserver()
    async with make(store, vectors=mode, observers=[observer]) as memory:
        ids = await memory.add([f"Lisbon {number}" for number in range(5)], user_id="ada")
        ((record, rows),) = store.records().values()
        texts = rows[ids[0]].text_cipher, rows[ids[1]].text_cipher
        for row, cipher in zip(ids[:2], reversed(texts), strict=True):
            object.__setattr__(rows[row], "text_cipher", cipher)
        recall = await memory.query("Lisbon", user_id="ada", top_k_ann=5, top_k_reranked=5, budget_ms=None)
        assert {chunk.id for chunk in recall} == set(ids[2:])
        assert (recall.dropped, recall.candidates, recall.outcome) == (2, 3, Outcome.RERANKED)
        (event,) = observer.of(RecordsRejected)
        assert (event.subject, event.records) == (record.subject.hex, 2)
        (asked,) = observer.of(MemoryQueried)
        assert asked.rejected == 2
        exported = set()

        async def export() -> None:
            async for each in memory.export_user(user_id="ada"):
                exported.add(each.id)

        with pytest.raises(SealError, match="2 records"):
            await export()
        assert exported == set(ids[2:])


async def test_a_sealed_vector_that_was_swapped_is_left_out() -> None:
    store = InMemoryStore()
    async with make(store, vectors="sealed") as memory:
        ids = await memory.add(TEXTS, user_id="ada")
        ((_, rows),) = store.records().values()
        object.__setattr__(rows[ids[0]], "vector_cipher", rows[ids[1]].vector_cipher)
        recall = await memory.query("Lisbon", user_id="ada", budget_ms=None)
    assert {chunk.id for chunk in recall} == set(ids[1:])
    assert recall.dropped == 1


async def test_another_embedder_is_refused_until_everything_is_embedded_anew(mode: VectorMode) -> None:
    store, keys, peppers = InMemoryStore(), InMemoryEpochs("key"), InMemoryEpochs("pepper")
    shared: dict[str, Any] = {"keys": keys, "peppers": peppers, "vectors": mode}
    async with make(store, **shared) as memory:
        await memory.add(TEXTS, user_id="ada")
    async with make(store, embedder=FakeEmbedder("newer"), **shared) as memory:
        with pytest.raises(StoreError, match="memory reembed"):
            await memory.query("Lisbon", user_id="ada")
        with pytest.raises(StoreError, match="memory reembed"):
            await memory.add(["x"], user_id="ada")
        done = await memory.reembed()
        assert (done.users, done.memories, done.rejected) == (1, 3, 0)
        recall = await memory.query("Lisbon rent", user_id="ada", budget_ms=None)
        assert str(recall[0].text) == TEXTS[2]


@pytest.mark.parametrize(("before", "after"), [("plain", "sealed"), ("sealed", "plain")])
async def test_users_of_the_other_mode_are_served_and_moved_by_reembedding(
    before: VectorMode, after: VectorMode
) -> None:
    store, keys, peppers = InMemoryStore(), InMemoryEpochs("key"), InMemoryEpochs("pepper")
    async with make(store, keys=keys, peppers=peppers, vectors=before) as memory:
        await memory.add(TEXTS, user_id="ada")
        first = await memory.query("Lisbon rent", user_id="ada", budget_ms=None)
    async with make(store, keys=keys, peppers=peppers, vectors=after) as memory:
        between = await memory.query("Lisbon rent", user_id="ada", budget_ms=None)
        await memory.add(["another"], user_id="ada")
        await memory.reembed()
        ((record, rows),) = store.records().values()
        assert record.vectors == after
        assert all((row.vector is None) == (after == "sealed") for row in rows.values())
        last = await memory.query("Lisbon rent", user_id="ada", budget_ms=None)
    for other in (between, last):
        assert [(c.id, c.score) for c in other][:2] == [(c.id, c.score) for c in first][:2]
        scores = [c.retrieval_score for c in other][:2]
        assert scores == pytest.approx([c.retrieval_score for c in first][:2], abs=1e-3)


async def test_leaving_closes_the_store() -> None:
    store = InMemoryStore()
    async with make(store):
        assert store.is_open
    assert not store.is_open


async def test_a_start_that_fails_closes_what_it_had_opened() -> None:
    class Broken(FakeEmbedder):
        async def open(self) -> None:
            raise BackendError("no files")

    store = InMemoryStore()
    with pytest.raises(BackendError):
        async with make(store, embedder=Broken()):
            raise AssertionError
    assert not store.is_open


async def test_an_observer_that_fails_breaks_nothing() -> None:
    class Broken:
        def on(self, event: object) -> None:
            raise RuntimeError

    async with make(observers=[Broken()]) as memory:
        assert len(await memory.query("x", user_id="ada")) == 0


# -- wrong arguments ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"user_id": ""}, "user_id"),
        ({"user_id": "  "}, "user_id"),
        ({"user_id": 5}, "user_id"),
        ({"user_id": "u" * 1_001}, "user_id"),
        ({"user_id": "\ud800"}, "user_id"),
        ({"texts": "one"}, "texts"),
        ({"texts": 5}, "texts"),
        ({"texts": [""]}, r"texts\[0\]"),
        ({"texts": ["a", " "]}, r"texts\[1\]"),
        ({"texts": ["a", 5]}, r"texts\[1\]"),
        ({"texts": ["a" * 101]}, "at most 100 characters"),
        ({"texts": ["a"] * 11}, "at most 10 are allowed"),
        ({"texts": ["\udc00"]}, "surrogate"),
        ({"metadata": "x"}, "metadata"),
        ({"metadata": [1]}, r"metadata\[0\]"),
        ({"metadata": [{}, {}]}, "one for each of 1"),
        ({"metadata": {1: 2}}, "names must be strings"),
        ({"metadata": {"a": object()}}, "must be JSON"),
        ({"metadata": {"a": float("nan")}}, "NaN"),
        ({"metadata": {"a": "\ud800"}}, "surrogate"),
        ({"metadata": {"a": 10**5000}}, "too large"),
        ({"metadata": {"a": "x" * 200}}, "at most 100 bytes"),
        ({"metadata": {str(n): 0 for n in range(101)}}, "at most 100 entries"),
        ({"created_at": "yesterday"}, "created_at"),
        ({"created_at": datetime(2026, 1, 1)}, "time zone"),  # noqa: DTZ001 - that is the point
        ({"created_at": [NOW, NOW]}, "one for each of 1"),
        ({"created_at": datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=1)))}, "years 1 to 9999"),
        ({"created_at": datetime(9999, 12, 31, 23, tzinfo=timezone(timedelta(hours=-1)))}, "years 1 to 9999"),
    ],
)
async def test_a_wrong_argument_is_named_before_any_work(arguments: dict[str, Any], named: str) -> None:
    store, embedder = InMemoryStore(), FakeEmbedder()
    policy = MemoryPolicy(max_characters=100, max_batch=10, max_metadata_bytes=100)
    async with make(store, embedder=embedder, policy=policy) as memory:
        before = list(store.calls)
        given = {"texts": ["a"], "user_id": "ada"} | arguments
        with pytest.raises(InvalidRequest, match=named):
            await memory.add(given.pop("texts"), **given)
        assert (store.calls, embedder.asked) == (before, [])


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"query": ""}, "query"),
        ({"query": None}, "query"),
        ({"query": "a" * 20_001}, "query"),
        ({"user_id": ""}, "user_id"),
        ({"top_k_ann": 0}, "top_k_ann"),
        ({"top_k_ann": True}, "top_k_ann"),
        ({"top_k_reranked": 1.5}, "top_k_reranked"),
        ({"budget_ms": -1}, "budget_ms"),
        ({"budget_ms": "250"}, "budget_ms"),
        ({"since": "yesterday"}, "since"),
        ({"metadata": []}, "metadata"),
        ({"half_life_days": -1}, "half_life_days"),
    ],
)
async def test_a_wrong_question_is_named_before_any_work(arguments: dict[str, Any], named: str) -> None:
    store, embedder = InMemoryStore(), FakeEmbedder()
    async with make(store, embedder=embedder) as memory:
        before = list(store.calls)
        given = {"query": "a", "user_id": "ada"} | arguments
        with pytest.raises(InvalidRequest, match=named):
            await memory.query(given.pop("query"), **given)
        assert (store.calls, embedder.asked) == (before, [])


@pytest.mark.parametrize("ids", ["text", 5, ["x"], [5], [None], UUID(int=1)])
async def test_ids_that_are_none_are_refused(ids: Any) -> None:
    async with make() as memory:
        with pytest.raises(InvalidRequest, match="ids"):
            await memory.delete(ids, user_id="ada")


async def test_nothing_to_add_is_nothing_done() -> None:
    store = InMemoryStore()
    async with make(store) as memory:
        assert await memory.add([], user_id="ada") == []
    assert store.records() == {}


async def test_metadata_that_is_changed_later_was_kept_as_it_was() -> None:
    async with make() as memory:
        given = {"tags": ["a"]}
        await memory.add(["text"], user_id="ada", metadata=given)
        given["tags"].append("b")
        recall = await memory.query("text", user_id="ada", budget_ms=None)
        assert recall[0].metadata == {"tags": ["a"]}
