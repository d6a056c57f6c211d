"""The reranker: checks a request, asks the gate, waits, and orders. Where the library fails open."""

import asyncio
import hashlib
import itertools
import logging
import math
import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self, TypeVar

from rerankd.circuit import Circuit
from rerankd.core import gate
from rerankd.core.answer import Progress, Ranking, Rescored, compare, ranked
from rerankd.core.batch import BatchPolicy
from rerankd.core.breaker import BreakerPolicy, Permit, Verdict
from rerankd.core.cascade import CascadePolicy
from rerankd.core.conclusion import Conclusion
from rerankd.core.deadline import Deadline
from rerankd.core.estimate import EstimatePolicy
from rerankd.core.events import CircuitChanged, Event, ModelChanged, Settled, Timings
from rerankd.core.flag import Flag, Mode
from rerankd.core.job import Job
from rerankd.core.ports import Clock, FlagSource, Model, Observer
from rerankd.core.request import Request, RerankPolicy, read_request
from rerankd.core.status import Status
from rerankd.core.types import Activation, LongText, OnDeadline, Outcome, Reason
from rerankd.core.watch import WatchPolicy
from rerankd.engine.clock import SystemClock
from rerankd.engine.engine import Engine
from rerankd.engine.fork import after_fork_in_child
from rerankd.engine.ticket import Ticket, wait, wait_async
from rerankd.engine.workers import ALL_HANG
from rerankd.errors import BackendError, InvalidRequest
from rerankd.flags.memory import MemoryFlag
from rerankd.refining import Refinement, Refining
from rerankd.switch import Switch

__all__ = ["UNSET", "Reranker", "Unset"]

_log = logging.getLogger(__name__)

_Answer = TypeVar("_Answer", Ranking, Ranking | None)

_FLAG_SECONDS = 1.0
"""How long entering the context waits for the flag's source; after that the initial flag holds for now."""


class Unset:
    """Tells "left out" from None, which means no limit."""

    def __repr__(self) -> str:
        return "<the policy's>"


UNSET = Unset()


@dataclass(slots=True, eq=False)
class _Call:
    """A request on its way to its answer."""

    number: int
    request: Request
    arrived: float
    deadline: Deadline
    wakes: float
    """When the caller stops waiting: the deadline less a small guard."""
    draw: float
    rate_limited: bool
    scores_only: bool = False
    """Nobody is given an order, so a flag in shadow mode has nothing to hide."""
    shadow: bool = False
    permit: Permit | None = None
    ticket: Ticket | None = None
    refinement: Refinement | None = None


class Reranker:
    """Reorders candidates within a budget. Thread-safe; works on any event loop, and after `fork`.

    Use it as a context manager, sync or async: entering loads the model, leaving ends its threads. Whatever
    the model does, `rerank` and `arerank` return in time; only a wrong argument raises.
    """

    def __init__(
        self,
        load: Callable[[], Model],
        *,
        name: str,
        policy: RerankPolicy | None = None,
        breaker: BreakerPolicy | None = None,
        batch: BatchPolicy | None = None,
        estimate: EstimatePolicy | None = None,
        watch: WatchPolicy | None = None,
        cascade: CascadePolicy | None = None,
        flag: FlagSource | None = None,
        initial_flag: Flag | None = None,
        flag_poll_ms: float = 500.0,
        retry_ms: float = 1_000.0,
        retry_max_ms: float = 60_000.0,
        clock: Clock | None = None,
        observers: Sequence[Observer] = (),
        wait: bool = True,
        require_model: bool = False,
        engine: Callable[..., Engine] = Engine,
    ) -> None:
        """`load` is called on a thread of its own, again after each failure; `name` is the id until then.

        `wait`: entering the context waits for the first attempt to load; else answers fall open until then.
        `require_model`: entering raises `BackendError` when that attempt fails. `engine`: what runs the jobs;
        the simulation puts one of virtual time here.
        """
        self.policy = policy or RerankPolicy()
        self._name = name
        self._clock: Clock = clock or SystemClock()
        self._observers = tuple(observers)
        self._wait = wait
        self._require_model = require_model
        self._numbers = itertools.count(1)
        self._known_model: Model | None = None
        self._random = random.Random()
        self._engine = engine(
            load,
            name=name,
            batch=batch or BatchPolicy(),
            estimate=estimate or EstimatePolicy(),
            watch=watch or WatchPolicy(),
            clock=self._clock,
            emit=self._hear,
            retry_ms=retry_ms,
            retry_max_ms=retry_max_ms,
        )
        self._circuit = Circuit(
            breaker or BreakerPolicy(),
            clock=self._clock,
            emit=self._emit,
            name=lambda: self._scorer_name() or self._name,
            probe=self._engine.probe,
            call_at=self._engine.call_at,
            draw=lambda: self._random.random(),
        )
        self._refining = Refining(
            cascade or CascadePolicy(),
            self._engine,
            breaker=breaker or BreakerPolicy(),
            clock=self._clock,
            emit=self._emit,
            draw=lambda: self._random.random(),
        )
        initial = initial_flag or Flag()
        self._switch = Switch(
            flag or MemoryFlag(initial),
            initial=initial,
            poll_seconds=flag_poll_ms / 1000,
            emit=self._emit,
        )
        after_fork_in_child(self._forked)

    def _forked(self) -> None:
        # threads and locks of the parent are of no use here, and its random numbers would repeat
        self._random = random.Random()
        self._known_model = None
        self._circuit.reset(remote=False)
        self._refining.circuit.reset(remote=False)
        self._switch.reset()
        self._engine.forked()

    # -- life -------------------------------------------------------------------------------------------

    def start(self) -> Self:
        """Begin to load the model; returns at once."""
        self._engine.start()
        self._switch.start()
        return self

    def __enter__(self) -> Self:
        try:
            for done, seconds in self._awaited():
                wait(done, seconds)
            return self._check_required()
        except BaseException:
            self.close()
            raise

    async def __aenter__(self) -> Self:
        try:
            for done, seconds in self._awaited():
                await wait_async(done, seconds)
            return self._check_required()
        except BaseException:
            # not awaited: this task may be in the middle of being cancelled
            asyncio.get_running_loop().run_in_executor(None, self.close)
            raise

    def _awaited(self) -> list[tuple[Future[None], float]]:
        """What entering the context waits for, and how many seconds at most."""
        loader, poller = self._engine.start(), self._switch.start()
        awaited = [] if poller is None else [(poller.asked, _FLAG_SECONDS)]
        if self._wait or self._require_model:
            awaited.append((loader.tried, math.inf))
        return awaited

    def _check_required(self) -> Self:
        if self._require_model and self._engine.state() != "ready":
            raise BackendError(self._engine.error or "the model is not available")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # joining threads takes a moment, which is not the event loop's to spend
        await asyncio.get_running_loop().run_in_executor(None, self.close)

    def wait_ready(self, timeout_s: float | None = None) -> bool:
        """Block until the model is loaded, however many attempts that takes, or the time is over; can it score?"""
        wait(self._engine.start().ended, math.inf if timeout_s is None else timeout_s)
        return self._engine.state() == "ready"

    def close(self) -> None:
        """End the threads and free the model. Whoever still waits is answered. Later calls fall open."""
        self._switch.close()
        self._engine.close()

    @property
    def clock(self) -> Clock:
        """What `arrived` is read from."""
        return self._clock

    # -- reranking --------------------------------------------------------------------------------------

    def rerank(
        self,
        query: str,
        candidates: Iterable[Any],
        *,
        budget_ms: float | Unset | None = UNSET,
        top_k: int | None = None,
        min_score: float | None = None,
        on_deadline: OnDeadline | None = None,
        long_text: LongText | None = None,
        text: Callable[[Any], str] | None = None,
        flag_key: str | None = None,
        rate_limited: bool = False,
    ) -> Ranking:
        """Reorder candidates, best first, within `budget_ms` milliseconds from now.

        `query`: not empty. `candidates`: strings, objects or rows in retrieval order; `text` takes the text
        out of one, else its `text` is used. `budget_ms`: left out, the policy's (250); None, no limit.
        `top_k`: how many to return; None, all. `min_score`: drop scored candidates below it, from 0 to 1.
        `on_deadline="retrieval"`: all scored or the retrieval order. `long_text`: `truncate`, `chunk`, `fit`.
        `flag_key`: requests with the same key fall on the same side of the flag's percentage.
        `rate_limited`: the edge refused this caller the scorer; answer in retrieval order.

        Raises `InvalidRequest`, before anything is queued, naming the argument; and what the caller's own
        `text` or iterable raises. Nothing else.
        """
        return self._serve(
            self._receive(
                query,
                candidates,
                budget_ms,
                flag_key=flag_key,
                rate_limited=rate_limited,
                top_k=top_k,
                min_score=min_score,
                on_deadline=on_deadline,
                long_text=long_text,
                text=text,
            )
        )

    async def arerank(
        self,
        query: str,
        candidates: Iterable[Any],
        *,
        budget_ms: float | Unset | None = UNSET,
        top_k: int | None = None,
        min_score: float | None = None,
        on_deadline: OnDeadline | None = None,
        long_text: LongText | None = None,
        text: Callable[[Any], str] | None = None,
        flag_key: str | None = None,
        rate_limited: bool = False,
        arrived: float | None = None,
        progress: Callable[[Progress], None] | None = None,
    ) -> Ranking:
        """`rerank` for the running event loop, which it never blocks. Cancelling it drops its work.

        `arrived`: when the request arrived, by `clock`, where that was before this call: the budget counts from
        then. `progress` is called in the event loop with each order on the way to the answer: with the
        retrieval order at once, with a better one when the head is scored before the rest, and with the first
        pass's when a cascade's larger model goes on from there. In shadow mode
        and with `on_deadline="retrieval"` it never hears of a better one. What it raises, this raises.
        """
        return await self._serve_async(
            self._receive(
                query,
                candidates,
                budget_ms,
                flag_key=flag_key,
                rate_limited=rate_limited,
                top_k=top_k,
                min_score=min_score,
                on_deadline=on_deadline,
                long_text=long_text,
                text=text,
                arrived=arrived,
            ),
            progress,
        )

    def score(self, query: str, texts: Iterable[str]) -> list[float]:
        """Just the scores, in the order of the texts, without a limit of time.

        Of a cascade those of the small model: a text's score must not depend on what it is scored with.

        Raises `InvalidRequest` for wrong arguments and `BackendError` when not every text could be scored,
        also because the flag is off; in shadow mode they are.
        """
        return _scores(self._serve(self._receive(query, texts, None, scores_only=True)))

    async def ascore(self, query: str, texts: Iterable[str]) -> list[float]:
        """`score` for the running event loop."""
        return _scores(await self._serve_async(self._receive(query, texts, None, scores_only=True)))

    # -- the flag and the status ------------------------------------------------------------------------

    def set_flag(self, flag: Flag) -> None:
        """Change the in-process flag. Raises `ConfigError` when a file or a provider owns it."""
        self._switch.set(flag)

    def status(self) -> Status:
        """How it is doing now."""
        engine = self._engine
        state, flag = engine.state(), self._switch.now()
        workers, model = engine.workers, engine.model
        waiting, alive, busy, hung = workers.counts() if workers is not None else (0, 0, 0, 0)
        return Status(
            model=self._model_name(),
            device=None if model is None else model.scorer.traits.device,
            model_state=state,
            error=engine.error if workers is None or not workers.exhausted else ALL_HANG,
            load_seconds=engine.load_seconds,
            circuit=self._circuit.state,
            queue_pairs=waiting,
            workers=alive,
            busy=busy,
            hung=hung,
            flag=flag,
            flag_source=self._switch.source,
            enabled=state == "ready" and flag.mode is not Mode.OFF and flag.percent > 0,
            max_tokens=None if model is None else model.max_tokens,
            scorer=self._scorer_name(),
            **self._refining.status(),
        )

    # -- a request's way --------------------------------------------------------------------------------

    def _receive(
        self,
        query: str,
        candidates: Iterable[Any],
        budget_ms: float | Unset | None,
        *,
        flag_key: str | None = None,
        rate_limited: bool = False,
        scores_only: bool = False,
        arrived: float | None = None,
        **asked: Any,
    ) -> _Call:
        """Turn the budget into a deadline, once, and check the arguments. `asked`: of `read_request`."""
        arrived = self._clock.now() if arrived is None else arrived
        if flag_key is not None and not isinstance(flag_key, str):
            raise InvalidRequest("flag_key", f"must be a string, or None, got {type(flag_key).__name__}")
        budget = self.policy.budget_ms if isinstance(budget_ms, Unset) else budget_ms
        request = read_request(self.policy, query, candidates, budget_ms=budget, **asked)
        deadline = Deadline.after(arrived, request.budget_ms)
        return _Call(
            number=next(self._numbers),
            request=request,
            arrived=arrived,
            deadline=deadline,
            wakes=deadline.at - self.policy.guard(request.budget_ms),
            draw=self._random.random() * 100 if flag_key is None else _draw(flag_key),
            rate_limited=rate_limited,
            scores_only=scores_only,
        )

    def _serve(self, call: _Call) -> Ranking:
        if self._reloading(call):
            wait(self._engine.start().tried, call.wakes - self._clock.now())
        answer = self._fail_open(call, self._admit)
        if answer is not None:
            return answer
        assert call.ticket is not None
        try:
            wait(call.ticket.done, call.wakes - self._clock.now())
            answer = self._fail_open(call, self._refine)
            if answer is not None:
                return answer
            for ticket in self._tiers(call):
                wait(ticket.done, call.wakes - self._clock.now())
        except BaseException:
            self._abandon(call)
            raise
        return self._fail_open(call, self._settle)

    async def _serve_async(self, call: _Call, progress: Callable[[Progress], None] | None = None) -> Ranking:
        if self._reloading(call):
            await wait_async(self._engine.start().tried, call.wakes - self._clock.now())
        answer = self._fail_open(call, self._admit)
        if answer is not None:
            if progress is not None:
                progress(self._so_far(call, ()))
            return answer
        assert call.ticket is not None
        try:
            if progress is not None:
                await self._show(call, call.ticket, progress)
            await wait_async(call.ticket.done, call.wakes - self._clock.now())
            answer = self._fail_open(call, self._refine)
            if answer is not None:
                return answer
            if progress is not None and call.refinement is not None and self._may_show(call):
                progress(self._so_far(call, self._engine.peek(call.ticket)))
            for ticket in self._tiers(call):
                await wait_async(ticket.done, call.wakes - self._clock.now())
        except BaseException:
            self._abandon(call)
            raise
        return self._fail_open(call, self._settle)

    async def _show(self, call: _Call, ticket: Ticket, progress: Callable[[Progress], None]) -> None:
        """Tell of the orders on the way to the answer."""
        progress(self._so_far(call, ()))
        if not self._may_show(call):
            return
        await wait_async(ticket.head, call.wakes - self._clock.now())
        if ticket.head.done() and not ticket.done.done():
            better = self._so_far(call, self._engine.peek(ticket))
            if better.depth:
                progress(better)

    def _may_show(self, call: _Call) -> bool:
        """Whether a better order may be told of before the answer."""
        return not call.shadow and call.request.on_deadline != "retrieval"

    def _so_far(self, call: _Call, logits: Sequence[float | None]) -> Progress:
        """The order that these scores give; none yet: the retrieval order."""
        request = call.request
        return Progress(
            candidates=ranked(
                request,
                logits or (None,) * len(request.candidates),
                self._activation(),
                model=self._scorer_name(),
            ),
            depth=sum(logit is not None for logit in logits),
            candidates_total=len(request.candidates),
            elapsed_ms=(self._clock.now() - call.arrived) * 1000,
        )

    def _reloading(self, call: _Call) -> bool:
        """Whether a caller without a limit finds itself in a forked child that has yet to load its model."""
        forked = self._engine.generation > 0 and self._wait
        return forked and call.request.budget_ms is None and self._engine.state() == "loading"

    def _fail_open(self, call: _Call, step: Callable[[_Call], _Answer]) -> _Answer | Ranking:
        try:
            return step(call)
        except Exception as error:  # noqa: BLE001 - the fail-open boundary: a bug of ours costs relevance only
            # no traceback: its message could quote a text
            _log.error("request %d falls open: %s %s", call.number, type(error).__name__, _place(error))
        try:
            self._abandon(call)
        except Exception as error:  # noqa: BLE001 - the same boundary: tidying up may meet the same bug
            _log.error("request %d is left behind: %s %s", call.number, type(error).__name__, _place(error))
        return self._skip(call, Reason.MODEL_ERROR)

    def _admit(self, call: _Call) -> Ranking | None:
        """The answer where it is known at once; None: wait for the ticket."""
        request = call.request
        if not request.candidates:
            return self._answer(call, _nothing(Outcome.RERANKED, None, 0))
        flag = self._switch.now()
        if flag.applies(call.draw) is not Mode.OFF:
            # only now: a flag that is off touches no model
            self._engine.start()
        decision = self._circuit.decide(
            flag=flag,
            draw=call.draw,
            model=self._engine.state(),
            rate_limited=call.rate_limited,
            deadline=call.wakes,
        )
        call.shadow = decision.shadow and not call.scores_only
        if isinstance(decision, gate.Skip):
            return self._skip(call, decision.reason)
        call.permit = decision.permit
        model = self._engine.model
        if model is None:
            return self._refuse(call, Reason.MODEL_UNAVAILABLE)
        job = Job(
            call.number,
            request.query,
            [candidate.text for candidate in request.candidates],
            arrived=call.arrived,
            deadline=call.wakes,
            head=request.head,
            max_tokens=model.max_tokens,
            max_chunks=self.policy.max_chunks if request.long_text == "chunk" else 1,
        )
        floor = self.policy.fit_floor_tokens if request.long_text == "fit" else None
        ticket = self._engine.submit(job, floor)
        if isinstance(ticket, Reason):
            return self._refuse(call, ticket)
        call.ticket = ticket
        return None

    def _refine(self, call: _Call) -> None:
        """After a complete first pass: ask the larger model of a cascade, where that is of use."""
        assert call.ticket is not None
        # single scores are all of one model: a text's must not depend on what it is scored with
        if not call.scores_only:
            call.refinement = self._refining.begin(
                call.number,
                call.request,
                call.ticket,
                deadline=call.wakes,
                max_chunks=self.policy.max_chunks if call.request.long_text == "chunk" else 1,
            )

    def _tiers(self, call: _Call) -> Iterator[Ticket]:
        return iter(()) if call.refinement is None else call.refinement.awaited()

    def _settle(self, call: _Call) -> Ranking:
        """The answer when the job is complete, or its caller's time is over."""
        assert call.ticket is not None
        conclusion = self._engine.conclude(call.ticket, call.request.on_deadline)
        self._end_permit(call, conclusion.verdict)
        rescored = self._end_refinement(call)
        return self._answer(call, conclusion, rescored if conclusion.depth else None)

    def _end_refinement(self, call: _Call, *, judged: bool = True) -> Rescored | None:
        if call.refinement is None:
            return None
        return self._refining.end(call.refinement, len(call.request.candidates), judged=judged)

    def _refuse(self, call: _Call, reason: Reason) -> Ranking:
        self._end_permit(call, Verdict.UNJUDGED)
        return self._skip(call, reason)

    def _skip(self, call: _Call, reason: Reason) -> Ranking:
        return self._answer(call, _nothing(Outcome.SKIPPED, reason, len(call.request.candidates)))

    def _abandon(self, call: _Call) -> None:
        """Its caller was cancelled, or a step failed: drop its work, judge nothing."""
        self._end_permit(call, Verdict.UNJUDGED)
        if call.ticket is not None:
            self._engine.conclude(call.ticket, call.request.on_deadline)
        self._end_refinement(call, judged=False)

    def _answer(self, call: _Call, conclusion: Conclusion, rescored: Rescored | None = None) -> Ranking:
        began = self._clock.now()
        request = call.request
        shadow = None
        if call.shadow:
            shadow = compare(conclusion, request.top_k, (began - call.arrived) * 1000, rescored)
            conclusion = _nothing(Outcome.SKIPPED, Reason.SHADOW, len(request.candidates))
            rescored = None
        candidates = ranked(
            request, conclusion.logits, self._activation(), model=self._scorer_name(), rescored=rescored
        )
        now = self._clock.now()
        answer = Ranking(
            candidates=candidates,
            outcome=conclusion.outcome,
            reason=conclusion.reason,
            depth=conclusion.depth,
            candidates_total=len(request.candidates),
            elapsed_ms=(now - call.arrived) * 1000,
            timings=_timings(call, began, now),
            model=self._model_name(),
            refined_depth=0 if rescored is None else rescored.depth,
        )
        self._emit(
            Settled(
                request=call.number,
                outcome=answer.outcome,
                reason=answer.reason,
                depth=answer.depth,
                candidates=answer.candidates_total,
                budget_ms=request.budget_ms,
                elapsed_ms=answer.elapsed_ms,
                timings=answer.timings,
                model=answer.model,
                shadow=shadow,
                refined_depth=None if self._refining.model is None else answer.refined_depth,
            )
        )
        return answer

    @property
    def activation(self) -> Activation:
        """What turns the loaded model's raw values into scores; `sigmoid` until it is loaded."""
        return self._activation()

    def _activation(self) -> Activation:
        model = self._engine.model
        return "sigmoid" if model is None else model.scorer.traits.activation

    def _model_name(self) -> str:
        model = self._engine.model
        return self._name if model is None else model.name

    def _scorer_name(self) -> str | None:
        """The model of the first pass; None until it is loaded."""
        model = self._engine.model
        return None if model is None else model.scorer.traits.model

    def _end_permit(self, call: _Call, verdict: Verdict) -> None:
        if call.permit is not None:
            self._circuit.end(call.permit, verdict)

    # -- events -----------------------------------------------------------------------------------------

    def _hear(self, event: Event) -> None:
        """What the engine tells."""
        model = self._engine.model
        if isinstance(event, ModelChanged) and model is not None:
            refiner = model.refiner
            if model is not self._known_model:
                self._known_model = model
                self._renew(self._circuit, model)
                if refiner is not None:
                    self._renew(self._refining.circuit, refiner)
            elif event.state == "ready":
                # a process that took the place of another has done nothing wrong yet
                if refiner is not None and event.model == self._refining.name:
                    self._renew(self._refining.circuit, refiner)
                elif model.health is not None:
                    self._renew(self._circuit, model)
        self._emit(event)

    def _renew(self, circuit: Circuit, model: Model) -> None:
        """A scorer that has done nothing yet has a circuit without a memory."""
        was, traits = circuit.state, model.scorer.traits
        circuit.reset(remote=not traits.local)
        if was != "closed":
            self._emit(CircuitChanged(scorer=traits.model, state="closed", previous=was, bad=0, calls=0))

    def _emit(self, event: Event) -> None:
        for observer in self._observers:
            try:
                observer.on(event)
            except Exception as error:  # noqa: BLE001 - the observers' boundary: watching must not break
                _log.warning(
                    "observer %s failed on %s: %s",
                    type(observer).__name__,
                    type(event).__name__,
                    type(error).__name__,
                )


def _nothing(outcome: Outcome, reason: Reason | None, count: int) -> Conclusion:
    return Conclusion((None,) * count, outcome, reason, 0, Verdict.UNJUDGED)


def _timings(call: _Call, began: float, now: float) -> Timings:
    order = (now - began) * 1000
    if call.ticket is None:
        return Timings(order=order)
    job = call.ticket.job
    first = began if job.first_work is None else job.first_work
    refinement = call.refinement
    return Timings(
        queue=(first - call.arrived) * 1000,
        tokenize=job.spent("tokenize", began) * 1000,
        inference=job.spent("inference", began) * 1000,
        refine=0.0 if refinement is None else (began - refinement.began) * 1000,
        order=order,
    )


def _scores(ranking: Ranking) -> list[float]:
    if ranking.outcome is not Outcome.RERANKED:
        raise BackendError(
            f"only {ranking.depth} of {ranking.candidates_total} were scored: {ranking.reason}"
        )
    by_position = sorted(ranking, key=lambda candidate: candidate.retrieval_rank)
    return [candidate.score for candidate in by_position if candidate.score is not None]


def _draw(key: str) -> float:
    """The same number from [0, 100) for the same key, on every replica."""
    digest = hashlib.blake2b(key.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest) / 2**64 * 100


def _place(error: BaseException) -> str:
    """Where it was raised."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return "" if trace is None else f"in {trace.tb_frame.f_code.co_name}, line {trace.tb_lineno}"
