"""A request's way to its answer: checked, admitted, waited for, ordered. The library fails open here."""

import itertools
import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from rerankd.caching import Caching, Lookup
from rerankd.circuit import Circuit
from rerankd.core import gate
from rerankd.core.answer import Progress, Ranking, Rescored, compare, ranked
from rerankd.core.breaker import Permit, Verdict
from rerankd.core.conclusion import Conclusion, refused
from rerankd.core.deadline import Deadline
from rerankd.core.events import Event, Settled, Timings
from rerankd.core.flag import Mode, draw_of
from rerankd.core.job import Job
from rerankd.core.ports import Clock
from rerankd.core.request import Request, RerankPolicy, read_request
from rerankd.core.types import Activation, Outcome, Reason
from rerankd.engine.engine import Engine
from rerankd.engine.ticket import Ticket, wait, wait_async
from rerankd.errors import InvalidRequest
from rerankd.refining import Refinement, Refining
from rerankd.switch import Switch

__all__ = ["UNSET", "Call", "Serving", "Unset"]

_log = logging.getLogger(__name__)

_Answer = TypeVar("_Answer", Ranking, Ranking | None)


class Unset:
    """Tells "left out" from None, which means no limit."""

    def __repr__(self) -> str:
        return "<the policy's>"


UNSET = Unset()


@dataclass(slots=True, eq=False)
class Call:
    """A request on its way to its answer."""

    number: int
    request: Request
    arrived: float
    deadline: Deadline
    wakes: float
    """When the caller stops waiting: the deadline less a small guard."""
    draw: float
    rate_limited: bool
    tenant: str | None = None
    """Whose scores may be known already; None: nobody's."""
    scores_only: bool = False
    """Nobody is given an order, so a flag in shadow mode has nothing to hide."""
    shadow: bool = False
    permit: Permit | None = None
    ticket: Ticket | None = None
    lookup: Lookup | None = None
    """What was known of its scores before."""
    refinement: Refinement | None = None


class Serving:
    """Takes every request from its arguments to its answer, for callers that block and for event loops.

    The steps are functions of a `Call` that never wait; `serve` and `serve_async` wait between them.
    """

    def __init__(
        self,
        policy: RerankPolicy,
        *,
        name: str,
        engine: Engine,
        circuit: Circuit,
        refining: Refining,
        caching: Caching,
        switch: Switch,
        clock: Clock,
        emit: Callable[[Event], None],
        draw: Callable[[], float],
        waits: bool,
    ) -> None:
        """`name`: the model's until one is loaded. `draw`: a random number from [0, 1). `waits`: a caller without
        a limit waits for a model that a forked child has yet to load."""
        self._policy = policy
        self._name = name
        self._engine = engine
        self._circuit = circuit
        self._refining = refining
        self._caching = caching
        self._switch = switch
        self._clock = clock
        self._emit = emit
        self._draw = draw
        self._waits = waits
        self._numbers = itertools.count(1)

    def receive(
        self,
        query: str,
        candidates: Iterable[Any],
        budget_ms: float | Unset | None,
        *,
        flag_key: str | None = None,
        tenant: str | None = None,
        rate_limited: bool = False,
        scores_only: bool = False,
        arrived: float | None = None,
        **asked: Any,
    ) -> Call:
        """Turn the budget into a deadline, once, and check the arguments. `asked`: of `read_request`."""
        arrived = self._clock.now() if arrived is None else arrived
        for argument, value in (("flag_key", flag_key), ("tenant", tenant)):
            if value is not None and not isinstance(value, str):
                raise InvalidRequest(argument, f"must be a string, or None, got {type(value).__name__}")
        budget = self._policy.budget_ms if isinstance(budget_ms, Unset) else budget_ms
        request = read_request(self._policy, query, candidates, budget_ms=budget, **asked)
        deadline = Deadline.after(arrived, request.budget_ms)
        return Call(
            number=next(self._numbers),
            request=request,
            arrived=arrived,
            deadline=deadline,
            wakes=deadline.at - self._policy.guard(request.budget_ms),
            draw=self._draw() * 100 if flag_key is None else draw_of(flag_key),
            rate_limited=rate_limited,
            tenant=tenant,
            scores_only=scores_only,
        )

    def serve(self, call: Call) -> Ranking:
        if self._reloading(call):
            wait(self._engine.start().tried, call.wakes - self._clock.now())
        answer = self.fail_open(call, self.admit)
        if answer is not None:
            return answer
        assert call.ticket is not None
        try:
            wait(call.ticket.done, call.wakes - self._clock.now())
            answer = self.fail_open(call, self.refine)
            if answer is not None:
                return answer
            for ticket in self.tiers(call):
                wait(ticket.done, call.wakes - self._clock.now())
        except BaseException:
            self.abandon(call)
            raise
        return self.fail_open(call, self.settle)

    async def serve_async(self, call: Call, progress: Callable[[Progress], None] | None = None) -> Ranking:
        if self._reloading(call):
            await wait_async(self._engine.start().tried, call.wakes - self._clock.now())
        answer = self.fail_open(call, self.admit)
        if answer is not None:
            if progress is not None:
                progress(self._so_far(call, ()))
            return answer
        assert call.ticket is not None
        try:
            if progress is not None:
                await self._show(call, call.ticket, progress)
            await wait_async(call.ticket.done, call.wakes - self._clock.now())
            answer = self.fail_open(call, self.refine)
            if answer is not None:
                return answer
            if progress is not None and call.refinement is not None and self._may_show(call):
                progress(self._so_far(call, self._engine.peek(call.ticket)))
            for ticket in self.tiers(call):
                await wait_async(ticket.done, call.wakes - self._clock.now())
        except BaseException:
            self.abandon(call)
            raise
        return self.fail_open(call, self.settle)

    async def _show(self, call: Call, ticket: Ticket, progress: Callable[[Progress], None]) -> None:
        """Tell of the orders on the way to the answer."""
        progress(self._so_far(call, ()))
        if not self._may_show(call):
            return
        await wait_async(ticket.head, call.wakes - self._clock.now())
        if ticket.head.done() and not ticket.done.done():
            better = self._so_far(call, self._engine.peek(ticket))
            if better.depth:
                progress(better)

    def _may_show(self, call: Call) -> bool:
        """Whether a better order may be told of before the answer."""
        return not call.shadow and call.request.on_deadline != "retrieval"

    def _so_far(self, call: Call, logits: Sequence[float | None]) -> Progress:
        """The order that these scores give; none yet: the retrieval order."""
        request = call.request
        return Progress(
            candidates=ranked(
                request,
                logits or (None,) * len(request.candidates),
                self.activation(),
                model=self.scorer_name(),
            ),
            depth=sum(logit is not None for logit in logits),
            candidates_total=len(request.candidates),
            elapsed_ms=(self._clock.now() - call.arrived) * 1000,
        )

    def _reloading(self, call: Call) -> bool:
        """Whether a caller without a limit finds itself in a forked child that has yet to load its model."""
        forked = self._engine.generation > 0 and self._waits
        return forked and call.request.budget_ms is None and self._engine.state() == "loading"

    def fail_open(self, call: Call, step: Callable[[Call], _Answer]) -> _Answer | Ranking:
        try:
            return step(call)
        except Exception as error:  # noqa: BLE001 - the fail-open boundary: a bug of ours costs relevance only
            # no traceback: its message could quote a text
            _log.error("request %d falls open: %s %s", call.number, type(error).__name__, _place(error))
        try:
            self.abandon(call)
        except Exception as error:  # noqa: BLE001 - the same boundary: tidying up may meet the same bug
            _log.error("request %d is left behind: %s %s", call.number, type(error).__name__, _place(error))
        return self._skip(call, Reason.MODEL_ERROR)

    def admit(self, call: Call) -> Ranking | None:
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
        texts = [candidate.text for candidate in request.candidates]
        chunks = self._max_chunks(call)
        call.lookup = self._caching.look(model, call.tenant, request, texts, max_chunks=chunks)
        job = Job(
            call.number,
            request.query,
            texts,
            arrived=call.arrived,
            deadline=call.wakes,
            head=request.head,
            max_tokens=model.max_tokens,
            max_chunks=chunks,
            known=() if call.lookup is None else call.lookup.known,
        )
        floor = self._policy.fit_floor_tokens if request.long_text == "fit" else None
        ticket = self._engine.submit(job, floor)
        if isinstance(ticket, Reason):
            self._end_permit(call, Verdict.UNJUDGED)
            return self._answer(call, refused(job, ticket, request.on_deadline))
        call.ticket = ticket
        return None

    def refine(self, call: Call) -> None:
        """After a complete first pass: ask the larger model of a cascade, where that is of use."""
        assert call.ticket is not None
        # single scores are all of one model: a text's must not depend on what it is scored with
        if not call.scores_only:
            call.refinement = self._refining.begin(
                call.number,
                call.request,
                call.ticket,
                deadline=call.wakes,
                max_chunks=self._max_chunks(call),
                tenant=call.tenant,
            )

    def _max_chunks(self, call: Call) -> int:
        return self._policy.max_chunks if call.request.long_text == "chunk" else 1

    def tiers(self, call: Call) -> Iterator[Ticket]:
        return iter(()) if call.refinement is None else call.refinement.awaited()

    def settle(self, call: Call) -> Ranking:
        """The answer when the job is complete, or its caller's time is over."""
        assert call.ticket is not None
        conclusion = self._engine.conclude(call.ticket, call.request.on_deadline)
        self._end_permit(call, conclusion.verdict)
        if call.lookup is not None:
            # not the conclusion's: what was scored of an answer in retrieval order was scored all the same
            self._caching.keep(call.lookup, self._engine.peek(call.ticket))
        rescored = self._end_refinement(call)
        return self._answer(call, conclusion, rescored if conclusion.depth else None)

    def _end_refinement(self, call: Call, *, judged: bool = True) -> Rescored | None:
        if call.refinement is None:
            return None
        return self._refining.end(call.refinement, len(call.request.candidates), judged=judged)

    def _refuse(self, call: Call, reason: Reason) -> Ranking:
        self._end_permit(call, Verdict.UNJUDGED)
        return self._skip(call, reason)

    def _skip(self, call: Call, reason: Reason) -> Ranking:
        return self._answer(call, _nothing(Outcome.SKIPPED, reason, len(call.request.candidates)))

    def abandon(self, call: Call) -> None:
        """Its caller was cancelled, or a step failed: drop its work, judge nothing."""
        self._end_permit(call, Verdict.UNJUDGED)
        if call.ticket is not None:
            self._engine.conclude(call.ticket, call.request.on_deadline)
        self._end_refinement(call, judged=False)

    def _answer(self, call: Call, conclusion: Conclusion, rescored: Rescored | None = None) -> Ranking:
        began = self._clock.now()
        request = call.request
        shadow = None
        if call.shadow:
            shadow = compare(conclusion, request.top_k, (began - call.arrived) * 1000, rescored)
            conclusion = _nothing(Outcome.SKIPPED, Reason.SHADOW, len(request.candidates))
            rescored = None
        candidates = ranked(
            request, conclusion.logits, self.activation(), model=self.scorer_name(), rescored=rescored
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
            model=self.model_name(),
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

    def activation(self) -> Activation:
        model = self._engine.model
        return "sigmoid" if model is None else model.scorer.traits.activation

    def model_name(self) -> str:
        model = self._engine.model
        return self._name if model is None else model.name

    def scorer_name(self) -> str | None:
        """The model of the first pass; None until it is loaded."""
        model = self._engine.model
        return None if model is None else model.scorer.traits.model

    def _end_permit(self, call: Call, verdict: Verdict) -> None:
        if call.permit is not None:
            self._circuit.end(call.permit, verdict)


def _nothing(outcome: Outcome, reason: Reason | None, count: int) -> Conclusion:
    return Conclusion((None,) * count, outcome, reason, 0, Verdict.UNJUDGED)


def _timings(call: Call, began: float, now: float) -> Timings:
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


def _place(error: BaseException) -> str:
    """Where it was raised."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return "" if trace is None else f"in {trace.tb_frame.f_code.co_name}, line {trace.tb_lineno}"
