"""Embedding stays off the event loop, ends with its caller, and lets a question pass texts that are being added."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import numpy as np
import pytest

from rerankd.core.deadline import Deadline
from rerankd.engine.clock import SystemClock
from rerankd.errors import BackendError
from rerankd.memory.embedder import PooledEmbedder, Run, Vector

pytestmark = pytest.mark.threads

CLOCK = SystemClock()
NEVER = Deadline.after(0, None)


class Encoder:
    id = "fake"

    def __init__(self, act: Callable[[str, Run], None] = lambda text, run: None) -> None:
        self.act = act
        self.asked: list[tuple[str, bool]] = []
        self.threads: set[str] = set()
        self.closed = False

    def encode(self, text: str, *, query: bool, run: Run) -> Vector:
        self.asked.append((text, query))
        self.threads.add(threading.current_thread().name)
        self.act(text, run)
        return np.full(384, len(text), np.float32)

    def close(self) -> None:
        self.closed = True


@asynccontextmanager
async def pooled(encoder: Encoder, *, workers: int = 1, queue: int = 4) -> AsyncIterator[PooledEmbedder]:
    embedder = PooledEmbedder(lambda: encoder, clock=CLOCK, workers=workers, queue=queue)
    await embedder.open()
    try:
        yield embedder
    finally:
        await embedder.close()


async def test_vectors_come_in_the_order_of_the_texts_from_other_threads() -> None:
    encoder, seen = Encoder(), []
    async with pooled(encoder, workers=2) as embedder:
        vectors = await embedder.texts(["a", "bb", "ccc"], progress=seen.append)
        assert embedder.id == "fake"
    assert [float(vector[0]) for vector in vectors] == [1, 2, 3]
    assert seen == [1, 2, 3]
    assert all(name.startswith("rerankd-embed") for name in encoder.threads)
    assert encoder.closed


async def test_a_question_is_embedded_as_one() -> None:
    encoder = Encoder()
    async with pooled(encoder) as embedder:
        await embedder.query("why", deadline=NEVER)
        await embedder.texts(["because"])
    assert encoder.asked == [("why", True), ("because", False)]


async def test_a_question_passes_the_texts_that_are_being_added() -> None:
    begun, go = threading.Event(), threading.Event()

    def act(text: str, run: Run) -> None:
        begun.set()
        go.wait(10)

    encoder = Encoder(act)
    async with pooled(encoder) as embedder:
        adding = asyncio.create_task(embedder.texts([f"text {number}" for number in range(50)]))
        await asyncio.to_thread(begun.wait, 10)
        asking = asyncio.create_task(embedder.query("why", deadline=NEVER))
        await asyncio.sleep(0)
        go.set()
        await asking
        await adding
    assert encoder.asked.index(("why", True)) <= 2


async def test_a_question_that_is_not_embedded_in_time_ends_its_run_and_says_so() -> None:
    ended = threading.Event()

    def act(text: str, run: Run) -> None:
        run.end_native = ended.set
        ended.wait(10)

    async with pooled(Encoder(act)) as embedder:
        with pytest.raises(BackendError, match="within its budget"):
            await embedder.query("why", deadline=Deadline.after(CLOCK.now(), 20))
        assert await asyncio.to_thread(ended.wait, 10)


async def test_a_question_whose_time_is_over_before_a_thread_is_free_is_never_embedded() -> None:
    begun, go = threading.Event(), threading.Event()

    def act(text: str, run: Run) -> None:
        begun.set()
        go.wait(10)

    encoder = Encoder(act)
    async with pooled(encoder) as embedder:
        first = asyncio.create_task(embedder.query("first", deadline=NEVER))
        await asyncio.to_thread(begun.wait, 10)
        with pytest.raises(BackendError):
            await embedder.query("late", deadline=Deadline.after(CLOCK.now(), 5))
        go.set()
        await first
        await embedder.query("next", deadline=NEVER)
    assert [text for text, _ in encoder.asked] == ["first", "next"]


async def test_more_questions_than_may_wait_are_refused_at_once() -> None:
    go = threading.Event()
    async with pooled(Encoder(lambda text, run: bool(go.wait(10)) and None), queue=2) as embedder:
        waiting = [asyncio.create_task(embedder.query("q", deadline=NEVER)) for _ in range(2)]
        await asyncio.sleep(0)
        with pytest.raises(BackendError, match="overloaded"):
            await embedder.query("one too many", deadline=NEVER)
        go.set()
        await asyncio.gather(*waiting)


async def test_an_error_of_the_encoder_reaches_whoever_adds() -> None:
    def act(text: str, run: Run) -> None:
        if text == "bad":
            raise BackendError("cannot")

    async with pooled(Encoder(act)) as embedder:
        with pytest.raises(BackendError, match="cannot"):
            await embedder.texts(["good", "bad", "good"])


async def test_after_an_error_no_further_text_is_embedded_and_those_under_way_are_ended() -> None:
    ended = threading.Event()

    def act(text: str, run: Run) -> None:
        if text == "bad":
            raise BackendError("cannot")
        run.end_native = ended.set
        ended.wait(10)

    encoder = Encoder(act)
    async with pooled(encoder, workers=2) as embedder:
        with pytest.raises(BackendError, match="cannot"):
            await embedder.texts(["slow", "bad", *["later"] * 20])
        assert await asyncio.to_thread(ended.wait, 10)
    assert len(encoder.asked) <= 3


async def test_what_hears_of_progress_may_end_it() -> None:
    def hear(done: int) -> None:
        if done == 2:
            raise KeyError("enough")

    encoder = Encoder()
    async with pooled(encoder, workers=2) as embedder:
        with pytest.raises(KeyError):
            await embedder.texts(["text"] * 50, progress=hear)
        assert len(await embedder.texts(["text"] * 3)) == 3, "and it can be used again"
    assert len(encoder.asked) < 20


async def test_adding_that_is_cancelled_ends_its_runs_and_leaves_the_door_open() -> None:
    begun, ended = threading.Event(), threading.Event()

    def act(text: str, run: Run) -> None:
        if text == "slow":
            run.end_native = ended.set
            begun.set()
            ended.wait(10)

    encoder = Encoder(act)
    async with pooled(encoder) as embedder:
        adding = asyncio.create_task(embedder.texts(["slow"] * 10))
        await asyncio.to_thread(begun.wait, 10)
        adding.cancel()
        with pytest.raises(asyncio.CancelledError):
            await adding
        assert await asyncio.to_thread(ended.wait, 10)
        assert len(await embedder.texts(["next"])) == 1
    assert [text for text, _ in encoder.asked] == ["slow", "next"]


async def test_several_who_add_at_once_get_their_own_vectors() -> None:
    async with pooled(Encoder(), workers=2) as embedder:
        batches = [[letter * length for length in range(1, 6)] for letter in "abc"]
        made = await asyncio.gather(*(embedder.texts(batch) for batch in batches))
        assert await embedder.texts([]) == []
    assert [[float(vector[0]) for vector in vectors] for vectors in made] == [[1, 2, 3, 4, 5]] * 3


async def test_what_waits_when_it_is_closed_is_an_error_and_never_a_missing_vector() -> None:
    begun, go = threading.Event(), threading.Event()

    def act(text: str, run: Run) -> None:
        begun.set()
        go.wait(10)

    embedder = PooledEmbedder(lambda: Encoder(act), clock=CLOCK)
    await embedder.open()
    adding = asyncio.create_task(embedder.texts(["one", "two"]))
    await asyncio.to_thread(begun.wait, 10)
    asking = asyncio.create_task(embedder.query("why", deadline=NEVER))
    await asyncio.sleep(0)
    closing = asyncio.create_task(embedder.close())
    with pytest.raises(BackendError, match="closed"):
        await asking
    go.set()
    with pytest.raises(BackendError, match="not open"):
        await adding
    await closing


def test_it_can_be_opened_again_in_another_event_loop() -> None:
    embedder = PooledEmbedder(Encoder, clock=CLOCK)

    async def use() -> int:
        await embedder.open()
        try:
            added = await asyncio.gather(*(embedder.texts(["text"] * 3) for _ in range(3)))
            return sum(map(len, added))
        finally:
            await embedder.close()

    assert [asyncio.run(use()) for _ in range(2)] == [9, 9]


async def test_what_is_not_open_or_does_not_load_says_so() -> None:
    def fail() -> Encoder:
        raise BackendError("no files")

    embedder = PooledEmbedder(fail, clock=CLOCK)
    with pytest.raises(BackendError, match="no files"):
        await embedder.open()
    with pytest.raises(BackendError, match="not open"):
        await embedder.query("why", deadline=NEVER)
