"""What the larger model of a cascade does for requests whose first pass is complete.

It has a circuit of its own, and nothing that becomes of it touches the answer that the first pass has made.
"""

import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from rerankd.caching import Caching, Lookup
from rerankd.circuit import Circuit
from rerankd.core import cascade, gate
from rerankd.core.answer import Rescored
from rerankd.core.breaker import BreakerPolicy, Permit, Verdict
from rerankd.core.cascade import CascadePolicy
from rerankd.core.events import Event
from rerankd.core.flag import Flag
from rerankd.core.job import Job
from rerankd.core.ports import Clock, Model
from rerankd.core.request import Request
from rerankd.engine.engine import Engine
from rerankd.engine.ticket import Ticket

__all__ = ["Refinement", "Refining"]


@dataclass(slots=True, eq=False)
class Refinement:
    """One request's, from the end of its first pass."""

    began: float
    permit: Permit
    tiers: list[tuple[int, ...]]
    """Positions of candidates, the best first."""
    tickets: list[Ticket]
    """One a tier, as far as they were taken in."""
    lookups: list[Lookup | None]
    """One a tier: what was known of it before."""

    def awaited(self) -> Iterator[Ticket]:
        """What to wait for, one after the other: nothing more once a tier was not complete in time."""
        for ticket in self.tickets:
            yield ticket
            if not ticket.job.whole:
                break


class Refining:
    """The reranker's part that knows the larger model; idle where there is none."""

    def __init__(
        self,
        policy: CascadePolicy,
        engine: Engine,
        *,
        breaker: BreakerPolicy,
        clock: Clock,
        emit: Callable[[Event], None],
        draw: Callable[[], float],
        caching: Caching,
    ) -> None:
        self._policy = policy
        self._caching = caching
        self._engine = engine
        self._clock = clock
        self.circuit = Circuit(
            breaker,
            clock=clock,
            emit=emit,
            name=lambda: self.name or "",
            probe=functools.partial(engine.probe, refiner=True),
            call_at=engine.call_at,
            draw=draw,
        )

    @property
    def model(self) -> Model | None:
        """The larger model; None: it is no cascade, or nothing is loaded yet."""
        return None if self._engine.model is None else self._engine.model.refiner

    @property
    def name(self) -> str | None:
        return None if self.model is None else self.model.scorer.traits.model

    def status(self) -> dict[str, Any]:
        """Its fields of a reranker's status."""
        model = self.model
        if model is None:
            return {}
        return {
            "refiner": model.scorer.traits.model,
            "refiner_device": model.scorer.traits.device,
            "refiner_state": self._engine.refiner_state(),
            "refiner_circuit": self.circuit.state,
        }

    def begin(
        self,
        number: int,
        request: Request,
        ticket: Ticket,
        *,
        deadline: float,
        max_chunks: int,
        tenant: str | None,
    ) -> Refinement | None:
        """Ask the larger model for what is worth it; None: there is nothing to wait for.

        `ticket`: of the first pass. `deadline`: when the caller stops waiting. `tenant`: whose scores may be known.
        """
        model, now = self.model, self._clock.now()
        if model is None or not ticket.done.done() or now >= deadline:
            return None
        tiers = cascade.tiers(self._engine.peek(ticket), self._policy)
        if not tiers:
            return None
        decision = self.circuit.decide(
            flag=Flag(),  # the request's own was asked before its first pass
            draw=0.0,
            model=self._engine.refiner_state(),
            rate_limited=False,
            deadline=deadline,
        )
        if isinstance(decision, gate.Skip):
            return None
        jobs, lookups = [], []
        for tier, positions in enumerate(tiers):
            texts = [request.candidates[position].text for position in positions]
            lookup = self._caching.look(model, tenant, request, texts, max_chunks=max_chunks)
            lookups.append(lookup)
            jobs.append(
                Job(
                    number,
                    request.query,
                    texts,
                    arrived=now,
                    deadline=deadline,
                    head=len(positions),
                    max_tokens=model.max_tokens,
                    max_chunks=max_chunks,
                    tier=tier,
                    known=() if lookup is None else lookup.known,
                )
            )
        return Refinement(now, decision.permit, tiers, self._engine.refine(jobs), lookups)

    def end(self, refinement: Refinement, count: int, *, judged: bool = True) -> Rescored | None:
        """What the larger model came to: the tiers that are complete, down to the first that is not.

        `count`: of the request's candidates. `judged`: whether it says anything about the scorer.
        """
        logits: list[float | None] = [None] * count
        verdicts, counts = set(), True
        each_tier = zip(refinement.tiers, refinement.tickets, refinement.lookups, strict=False)
        for positions, ticket, lookup in each_tier:
            conclusion = self._engine.conclude(ticket, "partial")
            self._caching.keep(lookup, conclusion.logits)
            verdicts.add(conclusion.verdict)
            counts = counts and ticket.job.whole
            if counts:
                for position, logit in zip(positions, conclusion.logits, strict=True):
                    logits[position] = logit
        worst = next((each for each in (Verdict.BAD, Verdict.GOOD) if each in verdicts), Verdict.UNJUDGED)
        self.circuit.end(refinement.permit, worst if judged else Verdict.UNJUDGED)
        model = self.model
        if model is None:
            return None
        return Rescored(
            logits=logits, model=model.scorer.traits.model, activation=model.scorer.traits.activation
        )
