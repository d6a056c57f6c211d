"""Recorded requests under load, in virtual time: the real scheduler, on workers that cost what was recorded."""

import heapq
import itertools
import math
import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from functools import partial

from rerankd.core import cascade
from rerankd.core.batch import BatchPolicy
from rerankd.core.cascade import CascadePolicy
from rerankd.core.estimate import EstimatePolicy
from rerankd.core.job import REFINING, Job
from rerankd.core.ports import ScorerTraits
from rerankd.core.request import RerankPolicy, head_size
from rerankd.core.scheduler import Scheduler
from rerankd.core.types import Pair
from rerankd.core.watch import WatchPolicy
from rerankd.core.work import Encode, Work
from rerankd.evaluation.recording import RecordedQuery, Recording

__all__ = ["Replayed", "replay"]

_STOP = 0.002
"""Seconds until a run that was told to stop has stopped: ONNX Runtime ends one within 1.4 to 4 ms."""


@dataclass(frozen=True, slots=True)
class Replayed:
    """What became of one request: which of its query's candidates were scored in time."""

    query: str
    scored: tuple[bool, ...]
    refined: tuple[bool, ...] = ()
    """Which of them the larger model of a cascade rescored; empty: none."""

    @property
    def depth(self) -> int:
        return sum(self.scored)


def replay(
    recording: Recording,
    refiner: Recording | None = None,
    *,
    budget_ms: float | None,
    rate: float,
    requests: int,
    seed: int = 0,
    top_k: int | None = None,
    policy: CascadePolicy | None = None,
) -> list[Replayed]:
    """Ask every recorded query in turn, `requests` times in all, by Poisson arrivals of `rate` a second.

    The queries come in a new order each round, so that each is met by every kind of queue. `top_k` decides how
    many candidates are the head, as in a real request. `refiner`: the larger model of a cascade, recorded on the
    same candidates; `policy`: how it is used.
    """
    draw = random.Random(seed)
    simulation = _Simulation(recording, refiner, budget_ms, top_k, policy or CascadePolicy())
    at, names = 0.0, list(recording.queries)
    for number in range(requests):
        if number % len(names) == 0:
            draw.shuffle(names)
        at += draw.expovariate(rate)
        simulation.arrives(number, names[number % len(names)], at)
    return simulation.run()


@dataclass(slots=True, eq=False)
class _Asked:
    """A request under way."""

    name: str
    first: Job
    tiers: list[Job] = field(default_factory=list)
    positions: list[tuple[int, ...]] = field(default_factory=list)

    @property
    def waits(self) -> bool:
        """Whether a tier is under way, and every one above it was complete in time."""
        undone = next((tier for tier in self.tiers if not tier.whole), None)
        return undone is not None and not undone.complete


class _Simulation:
    """A heap of events, and workers that take the next work as soon as they are free."""

    def __init__(
        self,
        recording: Recording,
        refiner: Recording | None,
        budget_ms: float | None,
        top_k: int | None,
        cascade: CascadePolicy,
    ) -> None:
        self._recordings = (recording,) if refiner is None else (recording, refiner)
        self._policy = RerankPolicy()
        self._cascade = cascade
        self._budget_ms = budget_ms
        self._top_k = top_k
        traits = ScorerTraits(model="replay", device="cpu", concurrency=recording.workers, interruptible=True)
        self._scheduler = Scheduler(
            traits,
            refiner=None if refiner is None else replace(traits, concurrency=refiner.workers),
            batch=BatchPolicy(),
            estimate=EstimatePolicy(),
            watch=WatchPolicy(),
            encodes=True,
        )
        for lane, recorded in zip(self._scheduler.lanes, self._recordings, strict=True):
            lane.costs.running.calibrate(recorded.calibration.runs, 0.0)
            lane.costs.encoding.calibrate(recorded.calibration.encodings, 0.0)
        self._idle = recording.workers
        self._open: dict[Job, _Asked] = {}
        """First passes and tiers of requests that have no answer yet."""
        self._answers: list[Replayed] = []
        self._order = itertools.count()
        self._events: list[tuple[float, int, Callable[[float], None]]] = []

    def arrives(self, number: int, name: str, moment: float) -> None:
        self._at(moment, partial(self._arrive, number, name))

    def run(self) -> list[Replayed]:
        while self._events:
            now, _, event = heapq.heappop(self._events)
            event(now)
            self._begin(now)
            while done := self._scheduler.take_complete():
                for job in done:
                    self._complete(job, now)
                self._begin(now)  # a complete first pass may have made more work
        return self._answers

    def _begin(self, now: float) -> None:
        while self._idle and (work := self._scheduler.next(now)) is not None:
            self._idle -= 1
            self._at(now + self._seconds(work), partial(self._end, work))

    def _at(self, moment: float, event: Callable[[float], None]) -> None:
        heapq.heappush(self._events, (moment, next(self._order), event))

    def _arrive(self, number: int, name: str, now: float) -> None:
        recorded = self._recordings[0].queries[name]
        budget, count = self._budget_ms, len(recorded.texts)
        deadline = math.inf if budget is None else now + budget / 1000 - self._policy.guard(budget)
        job = Job(
            number,
            recorded.query,
            recorded.texts,
            arrived=now,
            deadline=deadline,
            head=head_size(self._policy, self._top_k),
            max_tokens=self._recordings[0].max_tokens,
        )
        if self._scheduler.refuse(job, now) is not None:
            self._answers.append(Replayed(name, (False,) * count))
            return
        asked = _Asked(name, job)
        self._open[job] = asked
        self._scheduler.add(job, now)
        self._stop(self._scheduler.yielding(now), now)
        if deadline < math.inf:
            self._at(deadline, partial(self._wake, asked))

    def _wake(self, asked: "_Asked", now: float) -> None:
        """The caller's time is over, unless it has its answer."""
        if asked.first in self._open:
            self._answer(asked, now)

    def _complete(self, job: Job, now: float) -> None:
        """A first pass is over, or a tier: go on, or answer."""
        asked = self._open.get(job)
        if asked is None:
            return
        if job is asked.first and len(self._recordings) > 1:
            self._refine(asked, now)
        if not asked.waits:
            self._answer(asked, now)

    def _refine(self, asked: "_Asked", now: float) -> None:
        """As `rerankd.refining` does."""
        first, recorded = asked.first, self._recordings[REFINING]
        for number, positions in enumerate(cascade.tiers(first.results(), self._cascade)):
            job = Job(
                first.number,
                first.query,
                [first.texts[position] for position in positions],
                arrived=now,
                deadline=first.deadline,
                head=len(positions),
                max_tokens=recorded.max_tokens,
                tier=number,
            )
            if not self._scheduler.refine(job, now):
                break
            asked.tiers.append(job)
            asked.positions.append(positions)
            self._open[job] = asked

    def _answer(self, asked: "_Asked", now: float) -> None:
        for job in (asked.first, *asked.tiers):
            self._stop(self._scheduler.close(job, now), now)
            del self._open[job]
        scored = tuple(logit is not None for logit in asked.first.results())
        refined = [False] * len(scored)
        for job, positions in zip(asked.tiers, asked.positions, strict=True):
            if not job.whole:
                break
            for position in positions:
                refined[position] = True
        self._answers.append(Replayed(asked.name, scored, tuple(refined) if any(refined) else ()))

    def _stop(self, works: Iterable[Work], now: float) -> None:
        for work in works:
            if not isinstance(work, Encode):
                self._at(now + _STOP, partial(self._end, work, stopped=True))

    def _of(self, job: Job) -> RecordedQuery:
        return self._recordings[job.lane].queries[self._open[job].name]

    def _place(self, job: Job, candidate: int) -> int:
        """Which of its query's candidates a job's candidate is."""
        asked = self._open[job]
        return candidate if job.tier is None else asked.positions[job.tier][candidate]

    def _seconds(self, work: Work) -> float:
        if isinstance(work, Encode):
            return self._recordings[work.lane].encode_seconds(sum(map(len, work.texts)))
        return sum(self._of(item.job).seconds[self._place(item.job, item.candidate)] for item in work.items)

    def _end(self, work: Work, now: float, *, stopped: bool = False) -> None:
        if work not in self._scheduler.active:
            return  # it was stopped before its time
        self._idle += 1
        if isinstance(work, Encode):
            self._scheduler.encoded(work, [self._pairs(work, n) for n in range(work.first, work.last)], now)
        elif stopped:
            self._scheduler.interrupted(work, now)
        else:
            self._scheduler.scored(work, [self._logit(item.job, item.candidate) for item in work.items], now)

    def _logit(self, job: Job, candidate: int) -> float:
        # it may have come to its end while it was being stopped: nobody reads that
        return self._of(job).logits[self._place(job, candidate)] if job in self._open else 0.0

    def _pairs(self, work: Encode, number: int) -> list[Pair]:
        job = work.job
        if job not in self._open:
            return []
        tokens = self._of(job).tokens[self._place(job, number)]
        return [Pair(job.query, job.texts[number], tokens, ids=())]
