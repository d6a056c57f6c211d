"""The worker threads: they take the scheduler's next work, do it, and write down what came of it.

Lock ownership: `_lock` guards the scheduler and every job in it, and the set of workers. It is never held
while something is encoded or scored, an event is emitted, a caller is woken, or a run is stopped.
"""

import logging
import math
import threading
from collections.abc import Callable, Iterable, Sequence
from itertools import islice

from rerankd.core.conclusion import Conclusion, conclude
from rerankd.core.events import BatchLimitChanged, Event, ModelChanged, RunEnded, RunResult, WorkerReplaced
from rerankd.core.job import Job
from rerankd.core.ports import Clock, Model
from rerankd.core.scheduler import Scheduler
from rerankd.core.types import OnDeadline, Pair, Reason, Scores
from rerankd.core.watch import WatchPolicy
from rerankd.core.work import Encode, Run, Work
from rerankd.engine.stop import StopSignal
from rerankd.engine.ticket import Ticket, settle, settle_head
from rerankd.errors import BackendError, DeviceLost, OutOfMemory

__all__ = ["Workers"]

_log = logging.getLogger(__name__)

ALL_HANG = "every worker hangs in the model, and no more may be started"

LOOK_SECONDS = 0.05
"""How often busy workers are looked at. Callers wake by themselves; this only finds what hangs."""


class _Worker:
    """One thread and what it is doing."""

    __slots__ = ("retired", "stop", "thread", "work")

    def __init__(self) -> None:
        self.work: Work | None = None
        self.stop = StopSignal()
        self.retired = False
        """Its run hung and was written off: what it still brings is thrown away."""
        self.thread: threading.Thread | None = None


class Workers:
    """The threads around one loaded model's scheduler."""

    def __init__(
        self,
        model: Model,
        scheduler: Scheduler,
        *,
        clock: Clock,
        watch: WatchPolicy,
        emit: Callable[[Event], None],
        look_by: Callable[[float], None],
        lost: "Callable[[Workers, str], None]" = lambda workers, why: None,
    ) -> None:
        """`lost` hears, on a worker's thread and perhaps twice, that the scorer is of no more use, and why."""
        self._models = (model,) if model.refiner is None else (model, model.refiner)
        self._scheduler = scheduler
        self._clock = clock
        self._watch = watch
        self._emit = emit
        self._look_by = look_by
        self._lost = lost
        self._lock = threading.Lock()
        self._work = threading.Condition(self._lock)
        self._alive: set[_Worker] = set()
        self._hung: set[_Worker] = set()
        self._closed = False
        self._was_exhausted = False
        with self._lock:
            self._staff()
        if self._short:
            self._look_by(clock.now() + LOOK_SECONDS)

    # -- for callers ------------------------------------------------------------------------------------

    def submit(self, job: Job, fit_floor: int | None = None) -> Ticket | Reason:
        """Take a job in, or say why not; both at once. With a floor, its texts are cut to fit the budget."""
        with self._lock:
            now = self._clock.now()
            if self._closed or not self._alive:
                return Reason.MODEL_UNAVAILABLE
            if job.complete:
                return self._known(job)
            if fit_floor is not None:
                self._scheduler.fit(job, fit_floor, now)
            refused = self._scheduler.refuse(job, now)
            if refused is not None:
                return refused
            ticket = Ticket(job, self)
            self._scheduler.add(job, now)
            yielding = self._scheduler.yielding(now)
            stops = [worker.stop for worker in self._alive if worker.work in yielding]
            self._work.notify(len(job.texts))
        self._stop(stops)
        self._look_by(now + LOOK_SECONDS)
        return ticket

    def refine(self, jobs: Sequence[Job]) -> list[Ticket]:
        """Take in tiers for the larger model, in their order, as long as there is time and room for them."""
        with self._lock:
            now = self._clock.now()
            tickets: list[Ticket] = []
            for job in jobs:
                if self._closed or not self._alive:
                    break
                if job.complete:
                    tickets.append(self._known(job))
                elif self._scheduler.refine(job, now):
                    tickets.append(Ticket(job, self))
                else:
                    break
            self._work.notify(sum(len(ticket.job.texts) for ticket in tickets))
        self._look_by(now + LOOK_SECONDS)
        return tickets

    def _known(self, job: Job) -> Ticket:
        """Under the lock, where nobody waits yet. All scores were known before: there is nothing to wait for."""
        ticket = Ticket(job, self)
        settle(job)
        return ticket

    def conclude(self, ticket: Ticket, on_deadline: OnDeadline) -> Conclusion:
        """End a job for its caller, complete or not: what is not yet begun is dropped, the rest stopped."""
        with self._lock:
            job = ticket.job
            stops = self._close(job, self._clock.now())
            conclusion = conclude(job, on_deadline)
            # told once; and nobody waits any more, so a job and its ticket need not keep each other alive
            dropped, job.dropped = job.dropped, 0
            job.exchange = None
        self._stop(stops)
        if dropped:
            self._emit_run("dropped", job.lane, dropped, 0, 0, 0.0, 0.0, None)
        return conclusion

    def peek(self, ticket: Ticket) -> list[float | None]:
        """The raw scores that a job has so far."""
        with self._lock:
            return ticket.job.results()

    @property
    def exhausted(self) -> bool:
        """Whether every thread hangs, and no more may be started."""
        return not self._alive

    def counts(self) -> tuple[int, int, int, int]:
        """Waiting pairs, threads, busy threads, hung threads."""
        with self._lock:
            busy = sum(worker.work is not None for worker in self._alive)
            return self._scheduler.waiting_pairs, len(self._alive), busy, len(self._hung)

    def close(self) -> bool:
        """End every job and thread; tells whether all threads have ended (a hung one cannot be)."""
        with self._lock:
            self._closed = True
            jobs = self._scheduler.jobs()
            stops = [worker.stop for worker in self._alive]
            now = self._clock.now()
            for job in jobs:
                job.unserved = True
                self._scheduler.close(job, now)
            workers = list(self._alive)
            self._work.notify_all()
        self._settle(jobs)
        self._stop(stops)
        for worker in workers:
            if worker.thread is not None and worker.thread is not threading.current_thread():
                worker.thread.join(self._watch.hang_ms / 1000)
        return not self._hung and not any(w.thread is not None and w.thread.is_alive() for w in workers)

    # -- for the timer ----------------------------------------------------------------------------------

    def look(self, now: float) -> float:
        """Give up what hangs, and close what a frozen caller left behind; returns when to look again."""
        events: list[Event] = []
        with self._lock:
            expired = self._scheduler.expired(now - LOOK_SECONDS)
            stops = [stop for job in expired for stop in self._close(job, now)]
            for worker in list(self._alive):
                if worker.work is not None and self._hangs(worker.work, now):
                    stops.append(worker.stop)
                    self._retire(worker, worker.work, now)
                    events.append(WorkerReplaced(cause="hung", abandoned=len(self._hung)))
            self._staff()
            if not self._alive:
                # nobody is left to serve them, and some of their callers have no deadline
                for job in self._scheduler.jobs():
                    job.fail_all()
            events += self._availability()
            done = [*expired, *self._scheduler.take_complete()]
            # also while nobody has begun what waits: that one may hang in turn
            busy = self._scheduler.active or self._scheduler.jobs() or self._short
            again = now + LOOK_SECONDS if busy else math.inf
        self._settle(done)
        self._stop(stops)
        self._tell(events)
        return again

    def _hangs(self, work: Work, now: float) -> bool:
        waited_for = any(not job.closed and now < job.deadline < math.inf for job in work.jobs)
        return self._watch.hung(work.overrun_at, now) and not waited_for

    def _retire(self, worker: _Worker, work: Work, now: float) -> None:
        worker.retired = True
        self._alive.discard(worker)
        self._hung.add(worker)
        self._scheduler.hung(work.lane)
        self._write_off(work, now)

    # -- threads ----------------------------------------------------------------------------------------

    @property
    def _short(self) -> bool:
        """Whether there should be more threads: one for each worker, and so many that hang besides."""
        workers = self._scheduler.workers
        room = workers * (1 + self._watch.replacements) - len(self._alive) - len(self._hung)
        return not self._closed and len(self._alive) < workers and room >= 1

    def _staff(self) -> None:
        """Under the lock. Hire whoever is missing, as far as the system has threads for us."""
        before = -1
        while self._short and len(self._alive) > before:
            before = len(self._alive)
            self._hire()

    def _hire(self) -> None:
        worker = _Worker()
        worker.thread = threading.Thread(
            target=self._live, args=(worker,), name="rerankd-worker", daemon=True
        )
        try:
            worker.thread.start()
        except RuntimeError:
            # the system has no thread left for us: fewer workers, or none, is a state that callers are told of,
            # and that ends with the next look
            _log.error("a worker could not be started")
        else:
            self._alive.add(worker)

    def _live(self, worker: _Worker) -> None:
        try:
            self._loop(worker)
        except BaseException as error:  # noqa: BLE001 - the worker loop's boundary: no caller is stranded
            # not raised again: the thread ends here anyway, and Python would print the message, which may
            # quote a text (a panic inside the tokenizer is a BaseException)
            _log.error("a worker died of %s and is replaced", type(error).__name__)
            self._bury(worker)

    def _loop(self, worker: _Worker) -> None:
        while (work := self._take(worker)) is not None:
            if isinstance(work, Encode):
                self._encode(worker, work)
            else:
                self._score(worker, work)

    def _take(self, worker: _Worker) -> Work | None:
        """The next work, as soon as there is some; None: the thread has to end."""
        while True:
            with self._lock:
                worker.work = None
                if self._closed or worker.retired:
                    events, short = self._leave(worker), self._short
                    break
                work = self._scheduler.next(self._clock.now())
                done = self._scheduler.take_complete()
                if work is not None:
                    worker.work = work
                    worker.stop = StopSignal(work.deadline)
                elif not done:
                    self._work.wait()
            self._settle(done)
            if work is not None:
                return work
        self._tell(events)
        if short:
            self._look_by(self._clock.now() + LOOK_SECONDS)
        return None

    def _leave(self, worker: _Worker) -> list[Event]:
        """Under the lock. A thread ends; if it was a hung one, there is room for another again."""
        self._alive.discard(worker)
        self._hung.discard(worker)
        self._staff()
        return self._availability()

    def _availability(self) -> list[Event]:
        """Under the lock. What is to be told when the last worker hangs, and when there is one again."""
        if self.exhausted == self._was_exhausted or self._closed:
            return []
        self._was_exhausted = self.exhausted
        traits = self._models[0].scorer.traits
        return [
            ModelChanged(
                state="unavailable" if self.exhausted else "ready",
                model=traits.model,
                device=traits.device,
                error=ALL_HANG if self.exhausted else None,
            )
        ]

    def _bury(self, worker: _Worker) -> None:
        with self._lock:
            now = self._clock.now()
            work, worker.work = worker.work, None
            if not worker.retired:
                self._write_off(work, now)
            worker.retired = True
            done = self._scheduler.take_complete()
            events, short = self._leave(worker), self._short
            abandoned = len(self._hung)
        self._settle(done)
        self._tell([WorkerReplaced(cause="died", abandoned=abandoned), *events])
        if short:
            self._look_by(now + LOOK_SECONDS)

    # -- the work itself --------------------------------------------------------------------------------

    def _encode(self, worker: _Worker, work: Encode) -> None:
        job, tokenizer = work.job, self._models[work.lane].tokenizer
        error: Exception | None = None
        pairs: Sequence[tuple[Pair, ...]] = ()
        try:
            assert tokenizer is not None
            pairs = tokenizer.encode(
                job.query, work.texts, max_tokens=job.max_tokens, max_chunks=job.max_chunks
            )
            if len(pairs) != len(work.texts) or not all(_are_pairs(each) for each in pairs):
                raise BackendError("the tokenizer did not answer every text with pairs")
        except Exception as raised:  # noqa: BLE001 - the scorer's boundary: costs relevance only
            error = raised
        with self._lock:
            if worker.retired:
                return
            now = self._clock.now()
            if error is None:
                self._scheduler.encoded(work, pairs, now)
            else:
                self._scheduler.failed(work, now)
            done = self._scheduler.take_complete()
            heads = _finished_heads(work)
            self._work.notify_all()
        self._settle(done, heads)
        if error is not None:
            name = type(error).__name__
            seconds, predicted = now - work.started, work.predicted
            self._emit_run("failed", work.lane, len(work.texts), 0, 0, seconds, predicted, name)

    def _score(self, worker: _Worker, run: Run) -> None:
        error: Exception | None = None
        logits: Sequence[float | None] = ()
        left = Reason.DEADLINE
        try:
            answer = self._models[run.lane].scorer.score([item.pair for item in run.items], worker.stop)
            # one more than asked for is enough to see that it answers too many, be they without end
            numbers = [float(value) for value in islice(answer, len(run.items) + 1)]
            logits = numbers
            if isinstance(answer, Scores):
                logits, left = [None if math.isnan(each) else each for each in numbers], answer.reason
            if len(logits) != len(run.items):
                raise BackendError(f"the scorer did not give {len(run.items)} scores for as many pairs")
        except Exception as raised:  # noqa: BLE001 - the scorer's boundary: costs relevance only
            error = raised
        changed = False
        with self._lock:
            if worker.retired:
                return
            now = self._clock.now()
            wanted = any(item.job.wants(item) for item in run.items)
            if error is None:
                # also when it was told to stop: it came to its end all the same, and tells how long that takes
                changed = self._scheduler.scored(run, logits, now, left)
            elif worker.stop.stopped:
                self._scheduler.interrupted(run, now)
            elif isinstance(error, OutOfMemory):
                changed = self._scheduler.out_of_memory(run, now)
                self._work.notify_all()
            else:
                self._scheduler.failed(run, now)
            done = self._scheduler.take_complete()
            heads = _finished_heads(run)
            limit = self._scheduler.lanes[run.lane].limit
            limits = limit.pairs, limit.tokens
        self._settle(done, heads)
        result: RunResult = "scored" if error is None else "failed"
        if worker.stop.stopped and not wanted:
            result = "dropped"
        elif worker.stop.stopped and error is not None:
            result = "yielded"
        self._emit_run(
            result,
            run.lane,
            len(run.items),
            run.tokens,
            run.padded_tokens,
            now - run.started,
            run.predicted,
            None if error is None or worker.stop.stopped else type(error).__name__,
        )
        if changed:
            self._emit(BatchLimitChanged(max_pairs=limits[0], max_tokens=limits[1]))
        if isinstance(error, DeviceLost):
            self._lost(self, str(error))

    def _write_off(self, work: Work | None, now: float) -> None:
        if work is not None:
            self._scheduler.failed(work, now)
        else:
            # it died while choosing: the queue itself cannot be trusted, and would kill the next one too
            for job in self._scheduler.jobs():
                job.fail_all()

    # -- small steps ------------------------------------------------------------------------------------

    def _close(self, job: Job, now: float) -> list[StopSignal]:
        """Under the lock; what it returns is to be stopped outside of it."""
        useless = self._scheduler.close(job, now)
        return [worker.stop for worker in self._alive if worker.work in useless]

    def _stop(self, stops: Iterable[StopSignal]) -> None:
        for stop in stops:
            stop.fire()

    def _tell(self, events: Iterable[Event]) -> None:
        for event in events:
            self._emit(event)

    def _settle(self, jobs: Iterable[Job], heads: Iterable[Job] = ()) -> None:
        for job in jobs:
            settle(job)
        for job in heads:
            settle_head(job)

    def _emit_run(
        self,
        result: RunResult,
        lane: int,
        pairs: int,
        tokens: int,
        padded_tokens: int,
        seconds: float,
        predicted: float,
        error: str | None,
    ) -> None:
        self._emit(
            RunEnded(
                result=result,
                pairs=pairs,
                tokens=tokens,
                padded_tokens=padded_tokens,
                seconds=seconds,
                predicted_seconds=predicted,
                model=self._models[lane].scorer.traits.model,
                error=error,
            )
        )


def _finished_heads(work: Work) -> list[Job]:
    """The jobs whose first tier is finished, and whose rest may not be. Settled again and again: that is free."""
    return [job for job in work.jobs if job.head_complete]


def _are_pairs(answer: Sequence[object]) -> bool:
    """Whether a tokenizer's answer for one text is what a run can be made of."""
    return len(answer) > 0 and all(isinstance(pair, Pair) for pair in answer)
