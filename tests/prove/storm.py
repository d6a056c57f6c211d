"""Many callers, sync and async, of a reranker that goes wrong in turns."""

import asyncio
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from rerankd.core.answer import Ranking
from rerankd.core.breaker import BreakerPolicy
from rerankd.core.scheduler import BatchPolicy
from rerankd.core.watch import WatchPolicy
from rerankd.reranker import Reranker
from rerankd.testing import fake_reranker
from tests.prove.faulty import KINDS, Faults, FaultyScorer, FaultyTokenizer
from tests.prove.real import follows_the_rule

__all__ = ["Storm"]

_THREADS = 8
_TASKS = 12


class _Item:
    __slots__ = ("id", "metadata", "text")

    def __init__(self, number: int, text: str) -> None:
        self.id = number
        self.text = text
        self.metadata = object()


class Storm:
    """So many requests while faults come and go. Counts what callers saw."""

    def __init__(
        self,
        count: int,
        *,
        seed: int = 0,
        breaker: BreakerPolicy | None = None,
        queue_pairs: int = 400,
        word: str = "word",
        **options: Any,
    ) -> None:
        """`word`: what all texts are made of. `options`: of the reranker, and traits of the scorer."""
        self._left = count
        self._lock = threading.Lock()
        self._draw = random.Random(seed)
        self._word = word
        traits = {name: options.pop(name) for name in ("interruptible", "unit") if name in options}
        self.faults = Faults(seed)
        self.faults.quotes = word
        self.reranker: Reranker = fake_reranker(
            FaultyScorer(self.faults, **traits),
            tokenizer=FaultyTokenizer(self.faults),
            breaker=breaker,
            batch=BatchPolicy(queue_pairs=queue_pairs),
            watch=WatchPolicy(hang_ms=200),
            **options,
        )
        self.errors: Counter[str] = Counter()
        self.violations: Counter[str] = Counter()
        self.outcomes: Counter[str] = Counter()
        self.unretrieved = 0
        """Errors that the event loop complained of."""
        self.said: list[str] = []
        """What errors and answers said of themselves, if anybody asks for it."""
        self.listens = False

    def run(self, *, between: Callable[[], None] | None = None) -> "Storm":
        """`between` is called every half a second."""
        over = threading.Event()
        weather = threading.Thread(target=self._weather, args=(over, between))
        with self.reranker:
            weather.start()
            try:
                with ThreadPoolExecutor(_THREADS) as pool:
                    for _ in range(_THREADS):
                        pool.submit(self._threaded)
                    asyncio.run(self._awaited())
            finally:
                over.set()
                self.faults.end()
                weather.join()
        return self

    @property
    def requests(self) -> int:
        return sum(self.outcomes.values()) + sum(self.errors.values())

    def _weather(self, over: threading.Event, between: Callable[[], None] | None) -> None:
        """Good times and bad ones in turn."""
        draw = random.Random(5)
        looked = time.monotonic()
        while not over.wait(draw.uniform(0.1, 1.0)):
            self.faults.begin(draw.choice(KINDS), draw.choice((1.0, 0.5, 0.1)))
            over.wait(draw.uniform(0.05, 0.6))
            self.faults.end()
            if between is not None and time.monotonic() - looked > 0.5:
                between()
                looked = time.monotonic()

    def _next(self) -> tuple[list[_Item], dict[str, Any], float | None] | None:
        with self._lock:
            if self._left <= 0:
                return None
            self._left -= 1
            draw = self._draw
            count = draw.choice((0, 1, 2, 8, 24, 40))
            items = [_Item(n, " ".join([self._word] * draw.randint(0, 60))) for n in range(count)]
            options: dict[str, Any] = {
                "budget_ms": draw.choice(
                    (0.0, 1.0, 5.0, 20.0, 20.0, 50.0, None if draw.random() < 0.1 else 9.0)
                ),
                "long_text": draw.choice(("truncate", "chunk", "fit")),
                "on_deadline": draw.choice(("partial", "partial", "retrieval")),
            }
            return items, options, draw.uniform(0.0, 0.02) if draw.random() < 0.05 else None

    def _note(self, items: Sequence[_Item], answer: Ranking | BaseException) -> None:
        with self._lock:
            if isinstance(answer, BaseException):
                self.errors[type(answer).__name__] += 1
            else:
                self.outcomes[f"{answer.outcome}/{answer.reason or ''}"] += 1
                if not follows_the_rule(answer, items):
                    self.violations["the ranking rule"] += 1
            if self.listens and len(self.said) < 5_000:
                self.said.append(repr(answer))

    def _threaded(self) -> None:
        while (asked := self._next()) is not None:
            items, options, _ = asked
            try:
                answer: Ranking | BaseException = self.reranker.rerank(f"ask {self._word}", items, **options)
            except BaseException as error:
                answer = error
            self._note(items, answer)

    async def _awaited(self) -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, __: self._complain())
        async with asyncio.TaskGroup() as group:
            for _ in range(_TASKS):
                group.create_task(self._ask_in_turn())

    async def _ask_in_turn(self) -> None:
        while (asked := self._next()) is not None:
            items, options, cancel_after = asked
            task = asyncio.ensure_future(self.reranker.arerank(f"ask {self._word}", items, **options))
            if cancel_after is not None:
                asyncio.get_running_loop().call_later(cancel_after, task.cancel)
            try:
                answer: Ranking | BaseException = await task
            except asyncio.CancelledError:
                if cancel_after is None:
                    self._note(items, RuntimeError("cancelled by nobody"))
                else:
                    with self._lock:
                        self.outcomes["cancelled"] += 1
                continue
            except BaseException as error:
                answer = error
            self._note(items, answer)

    def _complain(self) -> None:
        self.unretrieved += 1
