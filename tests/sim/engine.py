"""The real engine without threads: a virtual timer, loader and workers. Every rule stays the real one."""

import math
from collections.abc import Callable
from functools import partial
from typing import Any

from rerankd.core.breaker import Verdict
from rerankd.core.conclusion import Conclusion
from rerankd.core.types import OnDeadline
from rerankd.core.work import Run, Work
from rerankd.engine.engine import Engine
from rerankd.engine.loader import Loader
from rerankd.engine.ticket import Ticket
from rerankd.engine.workers import Workers, _Worker
from tests.sim.machine import Machine, Plan
from tests.sim.world import Ordered, World

__all__ = ["SimEngine", "engine_of"]


def engine_of(world: World, machine: Machine) -> Callable[..., "SimEngine"]:
    """What a `Reranker` takes as its `engine`."""
    return partial(SimEngine, world, machine)


class SimTimer:
    """Calls back from the event heap instead of from a thread."""

    def __init__(self, world: World, clock: Any, look: Callable[[float], float]) -> None:
        self._world = world
        self._look = look
        self._look_at = math.inf
        self._closed = False

    def call_at(self, at: float, callback: Callable[[], None]) -> None:
        self._world.at(at, lambda: None if self._closed else callback())

    def look_by(self, at: float) -> None:
        if at < self._look_at:
            self._look_at = at
            self._world.at(at, self._due)

    def close(self) -> None:
        self._closed = True

    def _due(self) -> None:
        now = self._world.now()
        if self._look_at <= now and not self._closed:
            self._look_at = math.inf
            self.look_by(self._look(now))


class SimLoader(Loader):
    """Loads after as long as the machine says; each attempt is the real one."""

    def __init__(self, world: World, machine: Machine, load: Callable[[], Any], **options: Any) -> None:
        self._world = world
        self._machine = machine
        super().__init__(load, **{**options, "clock": machine.stopwatch})

    def close(self) -> None:
        self._closed.set()

    def _begin(self) -> None:
        self._pause = self._retry
        self._world.at(self._world.now() + self._machine.load_seconds, self._try)

    def _try(self) -> None:
        if self._closed.is_set():
            self._tell()
            self._end()
        elif not self._attempt():
            self._world.at(self._world.now() + self._pause + self._machine.load_seconds, self._try)
            self._pause = min(self._pause * 2, self._retry_max)


class _Idle(Exception):
    """A worker has nothing to do: a thread would wait here."""


class _Bell:
    """Stands for the condition on which idle threads wait."""

    def __init__(self, wake: Callable[[int], None]) -> None:
        self._wake = wake

    def wait(self) -> None:
        raise _Idle

    def notify(self, count: int = 1) -> None:
        self._wake(count)

    def notify_all(self) -> None:
        self._wake(1_000_000)


class SimWorkers(Workers):
    """The real workers, whose threads are steps on the event heap."""

    def __init__(self, world: World, machine: Machine, *arguments: Any, **options: Any) -> None:
        self._world = world
        self._machine = machine
        self._hired: list[_Worker] = []
        self._idle = Ordered()
        super().__init__(*arguments, **options)
        self._work = _Bell(self._wake)  # type: ignore[assignment]
        self._alive, self._hung = Ordered(self._hired), Ordered()  # type: ignore[assignment]
        self._scheduler.active = Ordered()  # type: ignore[assignment]
        machine.scheduler = self._scheduler

    def _hire(self) -> None:
        worker = _Worker()
        self._hired.append(worker)
        self._alive.add(worker)
        self._world.soon(lambda: self._step(worker))

    def _wake(self, count: int) -> None:
        for worker in list(self._idle)[:count]:
            self._idle.discard(worker)
            self._world.soon(lambda worker=worker: self._step(worker))  # type: ignore[misc]

    def _step(self, worker: _Worker) -> None:
        """What a thread does from one wait to the next: take work, and be busy with it for a while."""
        try:
            work = self._take(worker)
        except _Idle:
            self._idle.add(worker)
            return
        if work is None:
            return
        plan = self._machine.begin(work, worker.stop, self._world.now())
        busy = _Busy(self, worker, work, plan)
        worker.stop.on_stop(busy.stopped)
        busy.end_at(plan.ends)

    def _finish(self, worker: _Worker, work: Work, plan: Plan) -> None:
        self._machine.plan = plan
        try:
            if isinstance(work, Run):
                self._score(worker, work)
            else:
                self._encode(worker, work)
        except BaseException:  # as a thread's own boundary: whatever killed it
            self._bury(worker)
            return
        self._step(worker)


class _Busy:
    """A worker in the middle of its work: it ends as planned, or soon after it was told to stop."""

    def __init__(self, workers: SimWorkers, worker: _Worker, work: Work, plan: Plan) -> None:
        self._workers = workers
        self._worker = worker
        self._work = work
        self._plan = plan
        self._ended = False

    def end_at(self, moment: float) -> None:
        if moment < math.inf:
            self._workers._world.at(moment, self._end)

    def stopped(self) -> None:
        if self._plan.interruptible:
            self._workers._world.at(self._workers._world.now() + self._plan.stop_seconds, self._cut)

    def _cut(self) -> None:
        """Cut off in its middle there are no scores: it must not look like a run that is quick."""
        if not self._ended:
            self._plan.error = self._plan.error or InterruptedError("stopped")
            self._end()

    def _end(self) -> None:
        if not self._ended:
            self._ended = True
            self._workers._finish(self._worker, self._work, self._plan)


class SimEngine(Engine):
    """The real engine in virtual time; counts its probes."""

    def __init__(self, world: World, machine: Machine, *arguments: Any, **options: Any) -> None:
        self.timer_type = partial(SimTimer, world)  # type: ignore[assignment]
        self.loader_type = partial(SimLoader, world, machine)
        self.workers_type = partial(SimWorkers, world, machine)
        self.machine = machine
        self.probes_under_way = 0
        self.most_probes = 0
        self.probes = 0
        self.conclusions: dict[int, Conclusion] = {}
        """What became of each job, for the checks to compare the answers with."""
        super().__init__(*arguments, **options)

    def conclude(self, ticket: Ticket, on_deadline: OnDeadline) -> Conclusion:
        conclusion = super().conclude(ticket, on_deadline)
        if ticket.job.number > 0 and ticket.job.tier is None:
            before = self.conclusions.setdefault(ticket.job.number, conclusion)
            assert before.logits == conclusion.logits, "a job changed after its end"
        return conclusion

    def probe(self, seconds: float, ended: Callable[[Verdict], None], *, refiner: bool = False) -> None:
        if refiner:  # each circuit has one of its own
            super().probe(seconds, ended, refiner=True)
            return
        self.probes += 1
        self.probes_under_way += 1
        self.most_probes = max(self.most_probes, self.probes_under_way)
        times = 0

        def once(verdict: Verdict) -> None:
            nonlocal times
            times += 1
            self.probes_under_way -= 1
            assert times == 1, "a probe ended twice"
            ended(verdict)

        super().probe(seconds, once)
