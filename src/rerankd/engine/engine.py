"""The engine: one model, its workers, and the timer that watches them."""

import logging
import math
import threading
from collections.abc import Callable, Sequence
from functools import partial

from rerankd.core.batch import BatchPolicy
from rerankd.core.breaker import Verdict
from rerankd.core.conclusion import Conclusion
from rerankd.core.estimate import EstimatePolicy
from rerankd.core.events import Event, ModelChanged, ModelState, ScorerLost
from rerankd.core.job import Job
from rerankd.core.ports import Clock, HealthChange, Model
from rerankd.core.scheduler import Scheduler
from rerankd.core.types import OnDeadline, Reason
from rerankd.core.watch import WatchPolicy
from rerankd.engine.calibration import PROBE_QUERY, PROBE_TEXT, Calibration
from rerankd.engine.loader import Loader
from rerankd.engine.ticket import Ticket
from rerankd.engine.timer import Timer
from rerankd.engine.workers import Workers

__all__ = ["Engine"]

_log = logging.getLogger(__name__)


class Engine:
    """Runs jobs. Knows no flag and no circuit; nothing here blocks but `close`."""

    # what has threads of its own: the simulation puts virtual ones here, and keeps every rule
    timer_type: Callable[..., Timer] = Timer
    loader_type: Callable[..., Loader] = Loader
    workers_type: Callable[..., Workers] = Workers

    def __init__(
        self,
        load: Callable[[], Model],
        *,
        name: str,
        batch: BatchPolicy,
        estimate: EstimatePolicy,
        watch: WatchPolicy,
        clock: Clock,
        emit: Callable[[Event], None],
        retry_ms: float = 1_000.0,
        retry_max_ms: float = 60_000.0,
    ) -> None:
        """`name`: the model's id until it is loaded. `retry_ms`: pause after a failed load, doubling."""
        self._load = load
        self._name = name
        self._batch = batch
        self._estimate = estimate
        self._watch = watch
        self._clock = clock
        self._emit = emit
        self._retry_ms = retry_ms
        self._retry_max_ms = retry_max_ms
        self._left_behind: list[object] = []
        self.generation = 0
        """How many forks this process is away from the one that made the engine."""
        self._reset()

    def _reset(self) -> None:
        self._start_lock = threading.Lock()
        self._loader: Loader | None = None
        self._timer = self.timer_type(self._clock, self._look)
        self._closed = False
        self.model: Model | None = None
        self.workers: Workers | None = None
        self.error: str | None = None
        self.load_seconds: float | None = None

    def forked(self) -> None:
        """Begin afresh in a forked child: its threads are gone, and locks may be held for ever.

        What the parent had loaded is kept but never touched again: a lock inside it may be held as well. The
        child loads its own model with its first request.
        """
        self._left_behind.append((self.model, self.workers, self._loader, self._timer))
        self.generation += 1
        closed = self._closed
        self._reset()
        self._closed = closed

    def start(self) -> Loader:
        """Begin to load, unless that was done. Once closed, nothing is loaded any more."""
        with self._start_lock:
            if self._loader is None:
                self._loader = self._begin_to_load(self._load)
            return self._loader

    def _begin_to_load(self, load: Callable[[], Model]) -> Loader:
        return self.loader_type(
            load,
            clock=self._clock,
            retry=self._retry_ms / 1000,
            retry_max=self._retry_max_ms / 1000,
            loaded=self._loaded,
            failed=self._failed,
            closed=self._closed,
        )

    def state(self) -> ModelState:
        """Whether the model can score now. Starts nothing: see `start`."""
        workers, model = self.workers, self.model
        if workers is not None:
            if workers.exhausted or self._closed:
                return "unavailable"
            return "ready" if model is None or model.health is None else model.health.state
        return "loading" if self.error is None and not self._closed else "unavailable"

    def submit(self, job: Job, fit_floor: int | None = None) -> Ticket | Reason:
        """Take a job in, or say why not. Only while the model is ready."""
        workers = self.workers
        return Reason.MODEL_UNAVAILABLE if workers is None else workers.submit(job, fit_floor)

    def refine(self, jobs: Sequence[Job]) -> list[Ticket]:
        """Take in tiers for the larger model of a cascade, in their order, as long as there is time and room."""
        return [] if self.workers is None else self.workers.refine(jobs)

    def refiner_state(self) -> ModelState:
        """Whether the larger model of a cascade can score now."""
        refiner = None if self.model is None else self.model.refiner
        if refiner is None or self.state() != "ready":
            return "unavailable"
        return "ready" if refiner.health is None else refiner.health.state

    def conclude(self, ticket: Ticket, on_deadline: OnDeadline) -> Conclusion:
        """End a job for its caller, complete or not. A second time gives the same answer."""
        conclusion: Conclusion = ticket.owner.conclude(ticket, on_deadline)
        return conclusion

    def peek(self, ticket: Ticket) -> list[float | None]:
        """The raw scores that a job has so far."""
        scores: list[float | None] = ticket.owner.peek(ticket)
        return scores

    def probe(self, seconds: float, ended: Callable[[Verdict], None], *, refiner: bool = False) -> None:
        """Score one synthetic pair; `ended` hears once, within so many seconds, how that went.

        `refiner`: with the larger model of a cascade.
        """
        model, now = self.model, self._clock.now()
        if model is not None and refiner:
            model = model.refiner
        if model is None:
            ended(Verdict.UNJUDGED)
            return
        job = Job(
            -1,
            PROBE_QUERY,
            [PROBE_TEXT],
            arrived=now,
            deadline=now + seconds,
            head=1,
            max_tokens=model.max_tokens,
            tier=0 if refiner else None,
        )
        ticket = next(iter(self.refine([job])), Reason.OVERLOADED) if refiner else self.submit(job)
        if isinstance(ticket, Reason):
            ended(Verdict.UNJUDGED)
            return
        once = _Once(lambda: ended(self.conclude(ticket, "partial").verdict))
        ticket.done.add_done_callback(lambda _: once())
        self.call_at(job.deadline, once)

    def call_at(self, at: float, callback: Callable[[], None]) -> None:
        """Call it on the timer's thread; it must not block."""
        self._timer.call_at(at, callback)

    def close(self) -> None:
        """Answer everybody, end the threads, free the model. A second time does nothing."""
        with self._start_lock:
            if self._closed:
                return
            self._closed = True
            loader = self._loader
        if loader is not None:
            loader.close()
        self._timer.close()
        _discard(self.workers, self.model)

    def _look(self, now: float) -> float:
        return math.inf if self.workers is None else self.workers.look(now)

    def _loaded(self, model: Model, measured: Calibration, seconds: float) -> None:
        refiner = model.refiner
        scheduler = Scheduler(
            model.scorer.traits,
            batch=self._batch,
            estimate=self._estimate,
            watch=self._watch,
            encodes=model.tokenizer is not None,
            refiner=None if refiner is None else refiner.scorer.traits,
            refiner_encodes=refiner is not None and refiner.tokenizer is not None,
        )
        now = self._clock.now()
        for lane, timed in zip(scheduler.lanes, (measured, measured.refiner or measured), strict=False):
            lane.costs.running.calibrate(timed.runs, now)
            lane.costs.encoding.calibrate(timed.encodings, now)
        with self._start_lock:
            # `close` may have given up waiting for this; and what stands in stays, unless there is something better
            before = self.workers, self.model
            useless = self._closed or (self.model is not None and _same_device(model, self.model))
            if not useless:
                self.workers = self.workers_type(
                    model,
                    scheduler,
                    clock=self._clock,
                    watch=self._watch,
                    emit=self._emit,
                    look_by=self._timer.look_by,
                    lost=self._lost,
                )
                self.model = model
                self.load_seconds = seconds
                self.error = None
        if model.stands_in_s is not None:
            self.call_at(now + model.stands_in_s, self._look_for_better)
        if useless:
            model.close()
            return
        for each in (model,) if refiner is None else (model, refiner):
            traits = each.scorer.traits
            self._emit(
                ModelChanged(state="ready", model=traits.model, device=traits.device, load_seconds=seconds)
            )
            if each.health is not None:
                each.health.watch(partial(self._replaced, each))
        _discard(*before)

    def _lost(self, workers: Workers, why: str) -> None:
        """The device failed under a run: whatever is loaded there would fail again. Load anew, for which the loader
        finds the place."""
        with self._start_lock:
            model = self.model
            if self._closed or self.workers is not workers or model is None:
                return  # another worker has said so before
            self.workers = self.model = self.error = None
            former = [(workers, model)]

            def load() -> Model:
                while former:  # not here: it waits for the thread that this is
                    _discard(*former.pop())
                return self._load()

            self._loader = self._begin_to_load(load)
        traits = model.scorer.traits
        _log.warning("model %s was lost on %s and is loaded anew: %s", traits.model, traits.device, why)
        self._emit(ModelChanged(state="loading", model=traits.model, device=traits.device, error=why))

    def _look_for_better(self) -> None:
        """What runs stands in for a device that was lost: see whether that is usable again, and use it then."""
        with self._start_lock:
            if not self._closed and self.model is not None and self.model.stands_in_s is not None:
                self._loader = self._begin_to_load(self._load)

    def _replaced(self, model: Model, change: HealthChange) -> None:
        """The scorer's process was lost, or the next one is ready. What waits fails by itself meanwhile."""
        if self.model is None or model not in (self.model, self.model.refiner) or self._closed:
            return
        traits = model.scorer.traits
        if model is self.model:
            self.error = change.error
            if change.seconds is not None:
                self.load_seconds = change.seconds
        if change.cause is not None:
            self._emit(ScorerLost(cause=change.cause, model=traits.model))
        self._emit(
            ModelChanged(
                state=change.state,
                model=traits.model,
                device=traits.device,
                error=change.error,
                load_seconds=change.seconds,
            )
        )

    def _failed(self, reason: str) -> None:
        changed = reason != self.error
        self.error = reason
        if changed:
            self._emit(ModelChanged(state="unavailable", model=self._name, error=reason))


def _same_device(one: Model, other: Model) -> bool:
    return one.scorer.traits.device == other.scorer.traits.device


def _discard(workers: Workers | None, model: Model | None) -> None:
    """Answer everybody who waits for them, and free the model. Waits for the workers."""
    if workers is not None and workers.close() and model is not None:
        model.close()


class _Once:
    """Two may want to end a probe: its result, and its time-out."""

    __slots__ = ("_call", "_lock")

    def __init__(self, call: Callable[[], None]) -> None:
        self._call: Callable[[], None] | None = call
        self._lock = threading.Lock()

    def __call__(self) -> None:
        with self._lock:
            call, self._call = self._call, None
        if call is not None:
            call()
