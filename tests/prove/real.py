"""The real model under load, and what its answers and deadlines were like; several rows read it."""

import asyncio
import functools
import itertools
import math
import random
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import rerankd
from rerankd.core.answer import Ranking
from rerankd.core.types import Outcome
from rerankd.errors import BackendError
from rerankd.sample.workload import requests
from rerankd.settings import Settings
from tests.prove.rss import resident_mb

__all__ = ["BUDGET_MS", "Load", "Loaded", "follows_the_rule", "mixed", "real_load", "real_reranker"]

BUDGET_MS = 250.0
_SIZES = (4, 8, 12, 24)
"""Candidates of a request: smaller ones too, or twenty thousand requests would take two hours."""


class _Row:
    """A caller's object, to see whether it comes back as it went in."""

    __slots__ = ("id", "metadata", "text")

    def __init__(self, identity: str, text: str) -> None:
        self.id = identity
        self.text = text
        self.metadata = object()


@dataclass(slots=True)
class Load:
    """One stretch of time at one load."""

    share: float
    """Offered work as a share of what the machine can do."""
    overshoots: list[float] = field(default_factory=list)
    """Seconds after the deadline at which callers had their answers; negative: before."""
    outcomes: Counter[str] = field(default_factory=Counter)
    violations: Counter[str] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)


@dataclass(slots=True)
class Loaded:
    loads: list[Load]
    misfits: int
    begun: int
    capacity: float
    """Queries of 24 candidates a second."""
    resident_mb: tuple[float, float]
    """Before and after."""

    @property
    def requests(self) -> int:
        return sum(len(load.overshoots) for load in self.loads)


@contextmanager
def real_reranker(**options: Any) -> Iterator[rerankd.Reranker]:
    """The embedded model, without a hub and without this machine's settings. Raises `BackendError` without it."""
    with tempfile.TemporaryDirectory() as data_dir:
        settings = Settings.load(data_dir=data_dir)
        with rerankd.open(settings=settings, require_model=True, **options) as reranker:
            yield reranker


def mixed(seed: int = 0) -> Iterator[tuple[str, list[_Row]]]:
    """Queries with 4 to 24 candidates of mixed length, without end."""
    draw = random.Random(seed)
    sources = [requests(size, seed=seed + size) for size in _SIZES]
    while True:
        query, passages = next(draw.choice(sources))
        yield query, [_Row(passage.id, passage.text) for passage in passages]


@functools.cache
def real_load(quick: bool) -> Loaded | None:
    """Twenty thousand requests at 70 % and 400 % load, or a hundred; None: there is no model here."""
    plan = [(0.7, 20), (4.0, 60)] if quick else [(0.7, 7_000), (4.0, 13_000)]
    try:
        with real_reranker() as reranker:
            return _loaded(reranker, plan)
    except BackendError:
        return None


def _loaded(reranker: rerankd.Reranker, plan: Sequence[tuple[float, int]]) -> Loaded:
    begun, misfits = _watch(reranker)
    capacity = _capacity(reranker, 4 if plan[0][1] < 100 else 24)
    before = resident_mb()
    loads = []
    for share, count in plan:
        rate = share * capacity * 24 / (sum(_SIZES) / len(_SIZES))
        if count < 100:
            # in the quick form a busy machine may not make it a long one
            rate = max(rate, 5.0)
        loads.append(_one_load(reranker, share, rate, count))
    return Loaded(loads, misfits[0], begun[0], capacity, (before, resident_mb()))


def _watch(reranker: rerankd.Reranker) -> tuple[list[int], list[int]]:
    """Count the work that is begun, and that which was predicted not to end in time."""
    workers = reranker._engine.workers
    assert workers is not None
    scheduler = workers._scheduler
    following = scheduler.next
    begun, misfits = [0], [0]

    def watched(now: float) -> Any:
        work = following(now)
        if work is not None:
            begun[0] += 1
            misfits[0] += any(now + work.predicted > job.deadline + 1e-9 for job in work.jobs)
        return work

    scheduler.next = watched  # type: ignore[method-assign]
    return begun, misfits


def _capacity(reranker: rerankd.Reranker, count: int) -> float:
    source = requests(24, seed=99)
    began = time.monotonic()
    for query, passages in itertools.islice(source, count):
        reranker.rerank(query, [passage.text for passage in passages], budget_ms=None)
    return count / (time.monotonic() - began)


def _one_load(reranker: rerankd.Reranker, share: float, rate: float, count: int) -> Load:
    """Open arrivals, half of them awaited on one event loop and half by threads that wait."""
    load, lock = Load(share), threading.Lock()
    source = mixed(seed=int(share * 10))

    def note(began: float, rows: list[_Row], ranking: Ranking | None, error: BaseException | None) -> None:
        overshoot = time.monotonic() - began - BUDGET_MS / 1000
        with lock:
            load.overshoots.append(overshoot)
            if error is not None or ranking is None:
                load.errors[type(error).__name__] += 1
                return
            load.outcomes[ranking.outcome] += 1
            if not follows_the_rule(ranking, rows):
                load.violations["the ranking rule"] += 1

    def threaded(query: str, rows: list[_Row]) -> None:
        began, ranking, error = time.monotonic(), None, None
        try:
            ranking = reranker.rerank(query, rows, budget_ms=BUDGET_MS)
        except BaseException as raised:
            error = raised
        note(began, rows, ranking, error)

    async def awaited(query: str, rows: list[_Row]) -> None:
        began, ranking, error = time.monotonic(), None, None
        try:
            ranking = await reranker.arerank(query, rows, budget_ms=BUDGET_MS)
        except BaseException as raised:
            error = raised
        note(began, rows, ranking, error)

    with ThreadPoolExecutor(64) as pool:
        asyncio.run(_arrivals(source, rate, count, pool, threaded, awaited))
    return load


async def _arrivals(
    source: Iterator[tuple[str, list[_Row]]],
    rate: float,
    count: int,
    pool: ThreadPoolExecutor,
    threaded: Callable[[str, list[_Row]], None],
    awaited: Callable[[str, list[_Row]], Any],
) -> None:
    draw, loop = random.Random(1), asyncio.get_running_loop()
    at, waiting = loop.time(), set()
    for number in range(count):
        at += draw.expovariate(rate)
        query, rows = next(source)
        await asyncio.sleep(max(0.0, at - loop.time()))
        if number % 2:
            task: asyncio.Future[Any] = asyncio.ensure_future(awaited(query, rows))
        else:
            task = loop.run_in_executor(pool, threaded, query, rows)
        waiting.add(task)
        task.add_done_callback(waiting.discard)
    await asyncio.gather(*waiting)


def follows_the_rule(ranking: Ranking, items: Sequence[Any]) -> bool:
    """Whether an uncut answer is a permutation by the ranking rule, with the caller's own objects."""
    places = [candidate.retrieval_rank - 1 for candidate in ranking]
    if sorted(places) != list(range(len(items))):
        return False
    if any(candidate.item is not items[place] for candidate, place in zip(ranking, places, strict=True)):
        return False
    if any(c.metadata is not items[c.retrieval_rank - 1].metadata for c in ranking):
        return False
    scored = [candidate for candidate in ranking if candidate.scored]
    kept = all(c.scored or c.retrieval_rank == c.rank for c in ranking)
    best_first = all(
        (-a.logit, a.retrieval_rank) < (-b.logit, b.retrieval_rank)  # type: ignore[operator]
        for a, b in itertools.pairwise(scored)
    )
    numbers = all(c.logit is not None and math.isfinite(c.logit) for c in scored)
    return kept and best_first and numbers and _outcome_agrees(ranking, len(scored))


def _outcome_agrees(ranking: Ranking, depth: int) -> bool:
    if ranking.depth != depth:
        return False
    if ranking.outcome is Outcome.RERANKED:
        return ranking.reason is None and depth == ranking.candidates_total
    return ranking.reason is not None and (depth > 0) == (ranking.outcome is Outcome.PARTIAL)
