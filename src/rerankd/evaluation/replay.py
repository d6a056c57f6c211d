"""Recorded requests under load, in virtual time: the real scheduler, on workers that cost what was recorded."""

import heapq
import itertools
import math
import random
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from rerankd.core.batch import BatchPolicy
from rerankd.core.estimate import EstimatePolicy
from rerankd.core.job import Job
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

    @property
    def depth(self) -> int:
        return sum(self.scored)


def replay(
    recording: Recording,
    *,
    budget_ms: float | None,
    rate: float,
    requests: int,
    seed: int = 0,
    top_k: int | None = None,
) -> list[Replayed]:
    """Ask every recorded query in turn, `requests` times in all, by Poisson arrivals of `rate` a second.

    The queries come in a new order each round, so that each is met by every kind of queue. `top_k` decides how
    many candidates are the head, as in a real request.
    """
    draw = random.Random(seed)
    simulation = _Simulation(recording, budget_ms, top_k)
    at, names = 0.0, list(recording.queries)
    for number in range(requests):
        if number % len(names) == 0:
            draw.shuffle(names)
        at += draw.expovariate(rate)
        simulation.arrives(number, names[number % len(names)], at)
    return simulation.run()


class _Simulation:
    """A heap of events, and workers that take the next work as soon as they are free."""

    def __init__(self, recording: Recording, budget_ms: float | None, top_k: int | None) -> None:
        self._recording = recording
        self._policy = RerankPolicy()
        self._budget_ms = budget_ms
        self._top_k = top_k
        self._scheduler = Scheduler(
            ScorerTraits(model="replay", device="cpu", concurrency=recording.workers, interruptible=True),
            batch=BatchPolicy(),
            estimate=EstimatePolicy(),
            watch=WatchPolicy(),
            encodes=True,
        )
        self._scheduler.costs.running.calibrate(recording.calibration.runs, 0.0)
        self._scheduler.costs.encoding.calibrate(recording.calibration.encodings, 0.0)
        self._idle = recording.workers
        self._open: dict[Job, str] = {}
        self._answers: list[Replayed] = []
        self._order = itertools.count()
        self._events: list[tuple[float, int, Callable[[float], None]]] = []

    def arrives(self, number: int, name: str, moment: float) -> None:
        self._at(moment, partial(self._arrive, number, name))

    def run(self) -> list[Replayed]:
        while self._events:
            now, _, event = heapq.heappop(self._events)
            event(now)
            while self._idle and (work := self._scheduler.next(now)) is not None:
                self._idle -= 1
                self._at(now + self._seconds(work), partial(self._end, work))
            for job in self._scheduler.take_complete():
                self._answer(job)
        return self._answers

    def _at(self, moment: float, event: Callable[[float], None]) -> None:
        heapq.heappush(self._events, (moment, next(self._order), event))

    def _arrive(self, number: int, name: str, now: float) -> None:
        recorded = self._recording.queries[name]
        budget, count = self._budget_ms, len(recorded.texts)
        deadline = math.inf if budget is None else now + budget / 1000 - self._policy.guard(budget)
        job = Job(
            number,
            recorded.query,
            recorded.texts,
            arrived=now,
            deadline=deadline,
            head=head_size(self._policy, self._top_k),
            max_tokens=self._recording.max_tokens,
        )
        if self._scheduler.refuse(job, now) is not None:
            self._answers.append(Replayed(name, (False,) * count))
            return
        self._open[job] = name
        self._scheduler.add(job, now)
        if deadline < math.inf:
            self._at(deadline, partial(self._wake, job))

    def _wake(self, job: Job, now: float) -> None:
        """The caller's time is over, unless it has its answer."""
        if job in self._open:
            for work in self._scheduler.close(job, now):
                if not isinstance(work, Encode):
                    self._at(now + _STOP, partial(self._end, work, stopped=True))
            self._answer(job)

    def _answer(self, job: Job) -> None:
        name = self._open.pop(job, None)
        if name is not None:
            self._answers.append(Replayed(name, tuple(logit is not None for logit in job.results())))

    def _of(self, job: Job) -> RecordedQuery:
        return self._recording.queries[self._open[job]]

    def _seconds(self, work: Work) -> float:
        if isinstance(work, Encode):
            return self._recording.encode_seconds(sum(map(len, work.texts)))
        return sum(self._of(item.job).seconds[item.candidate] for item in work.items)

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
        return self._of(job).logits[candidate] if job in self._open else 0.0

    def _pairs(self, work: Encode, number: int) -> list[Pair]:
        job = work.job
        if job not in self._open:
            return []
        return [Pair(job.query, job.texts[number], self._of(job).tokens[number], ids=())]
