"""Texts to vectors of 384 numbers, off the event loop, queries before texts that are being added.

One text a run, unpadded: the carried file is dynamically quantised, so a text that shared a run would get
another vector than alone. Runs go to a few threads of the embedder's own. Texts that are being added wait at
the door, so that a query never stands behind more than one of them a thread.
"""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol

from rerankd.core.deadline import Deadline
from rerankd.core.ports import Clock
from rerankd.errors import BackendError

__all__ = ["Embedder", "PooledEmbedder", "Run", "TextEncoder", "Vector"]

Vector = Any
"""A numpy array of 384 float32 numbers, of norm 1."""


class Run:
    """One run of an encoder, and a way to end it."""

    def __init__(self) -> None:
        self.ended = False
        self.end_native: Callable[[], None] | None = None
        """Set by the encoder while it runs."""

    def end(self) -> None:
        """Nobody waits for it any more."""
        self.ended = True
        if self.end_native is not None:
            self.end_native()


class TextEncoder(Protocol):
    """A loaded model. Called from several threads at once."""

    @property
    def id(self) -> str:
        """What made a vector: vectors of different ids are never compared."""
        ...

    def encode(self, text: str, *, query: bool, run: Run) -> Vector:
        """The vector of one text. Raises `BackendError`; what it gives once `run` has ended nobody reads."""
        ...

    def close(self) -> None: ...


class Embedder(Protocol):
    """What the memory asks of an embedder."""

    @property
    def id(self) -> str: ...

    async def open(self) -> None: ...

    async def close(self) -> None: ...

    async def query(self, text: str, *, deadline: Deadline) -> Vector:
        """The vector of a question. Raises `BackendError` when it is not there by the deadline."""
        ...

    async def texts(
        self, texts: Sequence[str], *, progress: Callable[[int], None] | None = None
    ) -> list[Vector]:
        """The vectors of texts that are to be found; `progress` hears how many are done."""
        ...


class PooledEmbedder:
    """Runs an encoder on threads of its own. For one event loop at a time."""

    def __init__(
        self, load: Callable[[], TextEncoder], *, clock: Clock, workers: int = 1, queue: int = 64
    ) -> None:
        """`load` is called once, on a thread; `queue`: how many queries may wait."""
        self._load = load
        self._clock = clock
        self._workers = workers
        self._most = queue
        self._waiting = 0
        self._encoder: TextEncoder | None = None
        self._pool: ThreadPoolExecutor | None = None
        self._door = asyncio.Semaphore(workers)

    @property
    def id(self) -> str:
        return self._loaded().id

    async def open(self) -> None:
        """Load the encoder. Raises what `load` raises."""
        self._pool = ThreadPoolExecutor(self._workers, thread_name_prefix="rerankd-embed")
        self._door = asyncio.Semaphore(self._workers)  # of this event loop
        try:
            self._encoder = await asyncio.get_running_loop().run_in_executor(self._pool, self._load)
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        pool, self._pool = self._pool, None
        encoder, self._encoder = self._encoder, None
        if pool is not None:
            # joining takes as long as the runs under way, which is not the event loop's to spend
            await asyncio.to_thread(pool.shutdown, wait=True, cancel_futures=True)
        if encoder is not None:
            encoder.close()

    async def query(self, text: str, *, deadline: Deadline) -> Vector:
        if self._waiting >= self._most:
            raise BackendError(f"the embedder is overloaded: {self._waiting} queries wait for it")
        self._waiting += 1
        left = deadline.remaining(self._clock.now())
        try:
            async with asyncio.timeout(None if left == float("inf") else max(0.0, left)):
                return await self._run(text, query=True)
        except TimeoutError:
            raise BackendError("the query was not embedded within its budget") from None
        finally:
            self._waiting -= 1

    async def texts(
        self, texts: Sequence[str], *, progress: Callable[[int], None] | None = None
    ) -> list[Vector]:
        vectors: dict[int, Vector] = {}
        waiting = iter(enumerate(texts))

        async def work() -> None:
            for at, text in waiting:  # shared: each takes the next
                async with self._door:
                    vectors[at] = await self._run(text, query=False)
                if progress is not None:
                    progress(len(vectors))

        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(min(self._workers, len(texts))):
                    group.create_task(work())
        except BaseExceptionGroup as failed:
            raise failed.exceptions[0] from None  # one is enough to know
        return [vectors[at] for at in range(len(texts))]

    async def _run(self, text: str, *, query: bool) -> Vector:
        encoder, pool = self._loaded(), self._pool
        assert pool is not None
        run = Run()

        def encode() -> Vector:
            # whoever asked may be gone by the time a thread comes to it
            return None if run.ended else encoder.encode(text, query=query, run=run)

        try:
            return await asyncio.get_running_loop().run_in_executor(pool, encode)
        except asyncio.CancelledError:
            run.end()
            task = asyncio.current_task()
            if task is not None and not task.cancelling():  # not the caller was cancelled, but the run
                raise BackendError("the embedder was closed meanwhile") from None
            raise

    def _loaded(self) -> TextEncoder:
        if self._encoder is None:
            raise BackendError("the embedder is not open")
        return self._encoder
