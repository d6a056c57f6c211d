"""One simulated stretch of time from a seed: a machine, its faults, its callers, and what came of it."""

import hashlib
import logging
import math
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from rerankd.core.batch import BatchPolicy
from rerankd.core.breaker import BreakerPolicy, Permit, Verdict
from rerankd.core.cache import CachePolicy
from rerankd.core.cascade import CascadePolicy
from rerankd.core.events import CircuitChanged, Event, Settled, WorkerReplaced
from rerankd.core.flag import Flag
from rerankd.core.gate import Go
from rerankd.core.types import Outcome
from rerankd.reranker import Reranker
from tests.sim.check import Violations, check_answer
from tests.sim.engine import SimEngine, engine_of
from tests.sim.machine import KINDS, Fault, Machine, MachinePolicy
from tests.sim.traffic import Ask, Caller, Mix, Pool
from tests.sim.world import World

__all__ = ["Report", "Scenario", "Simulation", "random_scenario", "run"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    seed: int
    requests: int = 500
    load: float = 0.7
    """Offered work as a share of what the machine can do."""
    rate: float = 0.0
    """Requests a second instead; 0: as the load says."""
    until: float = math.inf
    """Where a fault never ends nothing ever comes to rest: how long to go on at least."""
    pattern: Literal["poisson", "even", "bursts", "closed"] = "poisson"
    machine: MachinePolicy = field(default_factory=MachinePolicy)
    mix: Mix = field(default_factory=Mix)
    faults: Sequence[Fault] = ()
    batch: BatchPolicy = field(default_factory=BatchPolicy)
    breaker: BreakerPolicy = field(default_factory=BreakerPolicy)
    cache: CachePolicy = field(default_factory=CachePolicy)
    cascade: CascadePolicy = field(default_factory=CascadePolicy)
    flags: Sequence[tuple[float, Flag]] = ()
    """When the flag is set to what."""
    closes_at: float = math.inf
    bad_observer: bool = False
    trace: bool = False
    warm: bool = True
    """Whether the first caller comes after the model was loaded."""
    epilogue: bool = True
    """Whether healing is checked at the end."""

    @property
    def endless(self) -> bool:
        """Whether something hangs for ever, so that it is probed for ever."""
        return any(not fault.released for fault in self.faults)

    @property
    def timed(self) -> bool:
        """Whether the scorer is timed at load, and so never judged before anything is known of it."""
        return self.machine.local and self.machine.unit_of_work == "pair"


@dataclass(slots=True)
class Report:
    scenario: Scenario
    broken: Violations = field(default_factory=Violations)
    callers: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    cancelled: int = 0
    refined: int = 0
    """Answers for which the larger model of a cascade had time."""
    changes: list[tuple[float, str]] = field(default_factory=list)
    """When the circuit went to which state."""
    answers: list[tuple[float, float, str, str | None, int, int]] = field(default_factory=list)
    """Arrival, answer, outcome, reason, depth, head; only where the scenario is traced."""
    admitted: list[float] = field(default_factory=list)
    """When requests were taken in; only where the scenario is traced."""
    verdicts: list[tuple[float, Verdict]] = field(default_factory=list)
    """When permits ended and how; only where the scenario is traced."""
    trace: str = ""
    seconds: float = 0.0
    """How much virtual time it took."""
    begun: int = 0
    misfits: int = 0
    probes: int = 0
    hits: int = 0
    """Candidates whose score was known before."""
    depth: int = 0
    """Candidates scored, of all answers together."""

    def opened(self) -> int:
        return sum(state == "open" for _, state in self.changes)


class Simulation:
    """Runs one scenario. Also the observer and the log handler of its reranker."""

    def __init__(self, scenario: Scenario) -> None:
        self.scenario = scenario
        self.report = Report(scenario)
        self.world = World()
        self.machine = Machine(scenario.machine, scenario.faults, seed=scenario.seed)
        self.pool = Pool(scenario.mix, scenario.seed)
        self._random = random.Random(scenario.seed + 1)
        observers: list[Any] = [self, _Awkward()] if scenario.bad_observer else [self]
        self.reranker = Reranker(
            self.machine.load,
            name="virtual",
            batch=scenario.batch,
            breaker=scenario.breaker,
            cache=scenario.cache,
            cascade=scenario.cascade,
            clock=self.world,
            observers=observers,
            retry_ms=500,
            engine=engine_of(self.world, self.machine),
        )
        self.reranker._random = random.Random(scenario.seed + 2)
        self.engine: SimEngine = self.reranker._engine  # type: ignore[assignment]
        self._settled: Counter[int] = Counter()
        self._permits: dict[Permit, int] = {}
        self._hash = hashlib.blake2b(digest_size=16)
        self._waiting: dict[Caller, None] = {}
        self._left = scenario.requests
        self._watch_permits()

    # -- the observer -------------------------------------------------------------------------------------

    def on(self, event: Event) -> None:
        if isinstance(event, Settled):
            self._settled[event.request] += 1
        elif isinstance(event, CircuitChanged):
            self.report.changes.append((self.world.now(), event.state))
        elif isinstance(event, WorkerReplaced) and event.cause == "died":
            killers = any(fault.kind == "kill" for fault in self.scenario.faults)
            self.report.broken.expect("no worker dies but of what kills it", killers)
        if self.scenario.trace:
            self._hash.update(f"{self.world.now()!r} {event!r}".encode())

    def _watch_permits(self) -> None:
        circuit = self.reranker._circuit
        decide, end = circuit.decide, circuit.end

        def watched_decide(**arguments: Any) -> Any:
            decision = decide(**arguments)
            if isinstance(decision, Go):
                self._permits[decision.permit] = 0
            return decision

        def watched_end(permit: Permit, verdict: Verdict) -> None:
            self._permits[permit] += not permit.ended
            if self.scenario.trace:
                self.report.verdicts.append((self.world.now(), verdict))
            end(permit, verdict)

        circuit.decide = watched_decide  # type: ignore[method-assign]
        circuit.end = watched_end  # type: ignore[method-assign]

    # -- the run ------------------------------------------------------------------------------------------

    def run(self) -> Report:
        scenario, report = self.scenario, self.report
        self.reranker.start()
        for moment, flag in scenario.flags:
            self.world.at(moment, lambda flag=flag: self.reranker.set_flag(flag))  # type: ignore[misc]
        if scenario.closes_at < math.inf:
            self.world.at(scenario.closes_at, self.reranker.close)
        self.world.at(scenario.machine.load_seconds + 0.1 if scenario.warm else 0.0, self._begin)
        handler = _Complaints(report.broken)
        logger = logging.getLogger("rerankd")
        logger.addHandler(handler)
        before, logger.propagate = logger.propagate, False
        try:
            self._run_to_rest()
            if scenario.epilogue and scenario.closes_at == math.inf and not scenario.endless:
                self._heal()
        finally:
            logger.removeHandler(handler)
            logger.propagate = before
        if not scenario.faults and scenario.timed:
            report.broken.expect("load and long texts never open the circuit", not report.opened())
        self._check_end()
        cache = self.reranker.status().cache
        report.hits = 0 if cache is None else cache.hits
        self.reranker.close()
        report.trace = self._hash.hexdigest()
        report.seconds = self.world.now()
        report.begun, report.misfits = self.machine.begun, self.machine.misfits
        report.probes = self.engine.probes
        return report

    def _run_to_rest(self) -> None:
        """Until nothing happens any more; where a fault never ends, until a minute after the last request."""
        if not self.scenario.endless:
            self.world.run()
            return
        most = min(self.scenario.until, 100_000.0)
        while self._left > 0 and self.world.now() < most:
            self.world.run(self.world.now() + 10.0)
        self.world.run(max(self.world.now() + 60.0, 0.0 if self.scenario.until == math.inf else most))

    def _begin(self) -> None:
        if self.scenario.pattern == "closed":
            for _ in range(max(1, round(self.scenario.load * 8))):
                self._arrive()
        else:
            self._open_arrival()

    def _open_arrival(self) -> None:
        many = self._random.randint(2, 60) if self.scenario.pattern == "bursts" else 1
        for _ in range(many):
            self._arrive()
        if self._left > 0:
            even = self.scenario.pattern == "even"
            gap = 1 / self.rate if even else self._random.expovariate(self.rate / many)
            self.world.at(self.world.now() + gap, self._open_arrival)

    @property
    def rate(self) -> float:
        """Requests a second."""
        if self.scenario.rate:
            return self.scenario.rate
        pool = self.pool
        pairs_a_second = self.machine.capacity(min(400.0, pool.mean_characters / 4.2))
        return self.scenario.load * pairs_a_second / max(1.0, pool.mean_pairs)

    def _arrive(self, ask: Ask | None = None) -> Caller | None:
        if self._left <= 0 and ask is None:
            return None
        self._left -= 1
        caller = Caller(self.world, self.reranker, ask or self.pool.ask(), self._answered)
        self._waiting[caller] = None
        caller.arrive()
        if self.scenario.trace and caller.call is not None and caller.call.ticket is not None:
            self.report.admitted.append(caller.call.arrived)
        return caller

    def _answered(self, caller: Caller) -> None:
        report = self.report
        self._waiting.pop(caller, None)
        report.callers += 1
        assert caller.call is not None
        conclusion = self.engine.conclusions.pop(caller.call.number, None)
        self._watch_runs(caller)
        permit = caller.call.permit
        if permit is not None:
            ends = self._permits.pop(permit)
            report.broken.expect("every permit ends exactly once", ends == 1, caller.call.number, ends)
        settled = self._settled.pop(caller.call.number, 0)
        if caller.cancelled:
            report.cancelled += 1
            report.broken.expect("a cancelled caller gets no answer", settled == 0, caller.call.number)
        else:
            assert caller.answer is not None
            report.depth += caller.answer.depth
            report.refined += caller.answer.refined_depth > 0
            report.outcomes[f"{caller.answer.outcome}/{caller.answer.reason or ''}"] += 1
            report.broken.expect("exactly one Settled", settled == 1, caller.call.number, settled)
            check_answer(report.broken, caller, conclusion)
            if self.scenario.trace:
                answer = caller.answer
                order = [c.retrieval_rank for c in answer]
                self._hash.update(f"{self.world.now()!r} {answer.outcome} {answer.reason} {order}".encode())
                report.answers.append(
                    (
                        caller.call.arrived,
                        self.world.now(),
                        answer.outcome,
                        answer.reason,
                        answer.depth,
                        min(caller.call.request.head, answer.candidates_total),
                    )
                )
        if self.scenario.pattern == "closed":
            think = self._random.expovariate(1 / 0.02)
            self.world.at(self.world.now() + think, lambda: self._arrive() and None)

    def _watch_runs(self, caller: Caller) -> None:
        """What nobody waits for any more ends soon, where runs can be ended."""
        assert caller.call is not None
        ticket, machine = caller.call.ticket, self.scenario.machine
        if ticket is None or self.scenario.faults or not machine.interruptible:
            return

        def look() -> None:
            own = [work for work in self.machine.scheduler.active if work.jobs == {ticket.job}]
            useless = [work for work in own if work.stage == "inference"]
            self.report.broken.expect("a run ends soon after its caller has gone", not useless)

        self.world.at(self.world.now() + machine.stop_seconds * 1.001, look)

    def _heal(self) -> None:
        """Faults are over, nobody calls: a good while later, reranking works again."""
        remote = not self.scenario.machine.local
        ends = max([fault.end for fault in self.scenario.faults], default=0.0)
        self.world.run(until=max(self.world.now(), ends) + (33.0 if remote else 3.0))
        self.reranker.set_flag(Flag())
        answers = []
        for _ in range(5 if remote else 1):
            texts = ["good", "better", "best of all"]
            ask = Ask(list(texts), texts, {"budget_ms": 2_000.0}, None, 0.0, False)
            caller = self._arrive(ask)
            self.world.run()
            assert caller is not None
            answers.append(caller.answer)
        last = answers[-1]
        healed = last is not None and last.outcome is Outcome.RERANKED
        self.report.broken.expect("reranks again when the faults are over", healed, last)

    def _check_end(self) -> None:
        broken, engine = self.report.broken, self.engine
        broken.expect("everybody is answered", not self._waiting, len(self._waiting))
        broken.expect("no permit is left", not self._permits, len(self._permits))
        broken.expect("nothing is settled twice or for nobody", not +self._settled)
        broken.expect("at most one probe at a time", engine.most_probes <= 1, engine.most_probes)
        broken.expect("nothing began that would not fit", self.machine.misfits == 0, self.machine.misfits)
        scheduler = self.machine.scheduler
        if scheduler is not None and not self.scenario.endless:
            broken.expect("no probe is lost", engine.probes_under_way == 0)
            broken.expect("the queue is empty", scheduler.waiting_pairs == 0 and not scheduler.jobs())


class _Awkward:
    """An observer that fails."""

    def on(self, event: Event) -> None:
        raise RuntimeError("not today")


class _Complaints(logging.Handler):
    """Falling open because of an error of our own is a broken promise."""

    def __init__(self, broken: Violations) -> None:
        super().__init__()
        self._broken = broken

    def emit(self, record: logging.LogRecord) -> None:
        if "falls open" in record.msg:
            self._broken.add("no error of our own", record.getMessage())


def random_scenario(seed: int, requests: int = 500, *, trace: bool = False, refiner: float = 0.0) -> Scenario:
    """Anything at all; about a third without faults. `refiner`: of a cascade, what its larger model costs."""
    draw = random.Random(seed)
    machine = _random_machine(draw, refiner)
    if refiner:
        machine = replace(machine, unit_of_work="pair", local=True)
    faults = [] if draw.random() < 0.33 else [_random_fault(draw) for _ in range(draw.randint(1, 6))]
    flags = [
        (
            draw.uniform(0, 30),
            Flag(draw.choice(("on", "on", "off", "shadow")), draw.choice((0, 20, 100, 100))),
        )  # type: ignore[arg-type]
        for _ in range(draw.choice((0, 0, 0, 1, 5)))
    ]
    return Scenario(
        seed=seed,
        requests=requests,
        load=draw.choice((0.2, 0.7, 0.7, 1.0, 2.0, 4.0, 10.0)),
        pattern=draw.choice(("poisson", "bursts", "closed")),
        machine=machine,
        mix=Mix(frozen=draw.choice((0.0, 0.005))),
        faults=faults,
        batch=BatchPolicy(queue_pairs=draw.choice((20_000, 20_000, 300, 30))),
        flags=flags,
        closes_at=draw.uniform(1, 60) if draw.random() < 0.05 else math.inf,
        bad_observer=draw.random() < 0.1,
        warm=draw.random() < 0.8,
        trace=trace,
    )


def _random_machine(draw: random.Random, refiner: float) -> MachinePolicy:
    grouped = draw.random() < 0.25
    return MachinePolicy(
        fixed=draw.choice((0.0015, 0.0, 0.01)),
        unit=0.000172 * draw.choice((1.0, 1.0, 0.2, 0.01, 3.0)),
        noise=draw.choice((0.0, 0.1, 0.3)),
        load_failures=draw.choice((0, 0, 0, 1, 3)),
        memory_tokens=draw.choice((0, 0, 2_000)) if grouped else 0,
        concurrency=draw.choice((1, 2, 2, 4)),
        interruptible=draw.random() < 0.7,
        unit_of_work="query" if draw.random() < 0.1 else "pair",
        batch_invariant=grouped,
        max_batch_tokens=4_096 if grouped else 0,
        local=draw.random() < 0.85,
        encodes=draw.random() < 0.8,
        refiner=refiner,
    )


def _random_fault(draw: random.Random) -> Fault:
    kind = draw.choice(KINDS)
    start = draw.uniform(0, 40)
    return Fault(
        kind=kind,
        start=start,
        end=start + draw.choice((0.1, 1.0, 5.0, 20.0)),
        share=draw.choice((1.0, 1.0, 0.5, 0.1, 0.01)),
        lasts={"hang": 60.0, "stop": 0.8}.get(kind, 0.0),
    )


def run(scenario: Scenario) -> Report:
    return Simulation(scenario).run()
