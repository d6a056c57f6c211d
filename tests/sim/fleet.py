"""Many replicas in virtual time: the real rules in each, tenants after a power law, failures and stragglers.

Each replica is the real reranker on a virtual machine. What stands between them is a model: of two drawn by lot
the one with fewer requests under way is asked; one that dies answers nobody, so its requests fall open at their
deadlines, and it is drawn no more from the moment at which its death is noticed until it is back with a model.
"""

import logging
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from rerankd.core.batch import BatchPolicy
from rerankd.reranker import Reranker
from tests.sim.engine import engine_of
from tests.sim.machine import Fault, Machine, MachinePolicy
from tests.sim.traffic import Ask, Caller, Mix, Pool
from tests.sim.world import World

__all__ = ["Fleet", "FleetReport", "FleetScenario", "draws", "run_fleet"]

_MIX = Mix(
    budgets=((1.0, 250.0, 250.0),),
    large=0.0,
    long=0.0,
    cancels=0.0,
    frozen=0.0,
    rate_limited=0.0,
    plain=True,
    count=24,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetScenario:
    replicas: int
    seed: int = 1
    seconds: float = 8.0
    load: float = 0.6
    """Offered work as a share of what all replicas can do."""
    tenants: int = 1_000
    exponent: float = 1.1
    """Of the power law: the n-th largest tenant asks n to the minus this as often as the largest."""
    burst: float = 10.0
    """How many times as much a tenant asks for while it is busy; about a tenth of the time."""
    failures: float = 0.02
    """The share of replicas that die within the time, at least one where there are several."""
    notice: float = 1.0
    """Seconds until a death is noticed."""
    restart: float = 4.0
    """Seconds from then until another one takes its place, its model loaded."""
    stragglers: float = 0.05
    """The share of replicas that are ten times slower for a third of the time, at least one where there are
    several."""
    way: float = 0.004
    """Seconds for the way there and back; the replica is told what is left without 10 ms."""
    machine: MachinePolicy = field(default_factory=lambda: MachinePolicy(concurrency=4))


@dataclass(slots=True)
class FleetReport:
    scenario: FleetScenario
    requests: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    seconds: list[float] = field(default_factory=list)
    """Of every answer, from its arrival at the ingress."""
    depths: int = 0
    deaths: int = 0

    def share(self, outcome: str) -> float:
        return self.outcomes[outcome] / max(1, self.requests)

    def percentile(self, share: float) -> float:
        ordered = sorted(self.seconds)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0


class _Replica:
    def __init__(self, world: World, number: int, scenario: FleetScenario, faults: Sequence[Fault]) -> None:
        self.number = number
        self.ongoing = 0
        self.dead = False
        """It answers nobody."""
        self.machine = Machine(scenario.machine, faults, seed=scenario.seed * 100_003 + number)
        self.reranker = Reranker(
            self.machine.load,
            name="virtual",
            batch=BatchPolicy(),
            clock=world,
            engine=engine_of(world, self.machine),
        )
        self.reranker._random = random.Random(scenario.seed * 7 + number)


def draws(scenario: FleetScenario) -> list[float]:
    """When requests arrive: each tenant at a rate of its own, and in bursts; one after the other, all together."""
    draw = random.Random(scenario.seed)
    weights = [(rank + 1) ** -scenario.exponent for rank in range(scenario.tenants)]
    pool = Pool(_MIX, scenario.seed)
    pairs = scenario.replicas * Machine(scenario.machine).capacity(min(400.0, pool.mean_characters / 4.2))
    total = scenario.load * pairs / pool.mean_pairs
    # a tenth of the time at `burst` times the rate of the rest: the mean stays what it is
    calm = total / sum(weights) / (0.9 + 0.1 * scenario.burst)
    found: list[float] = []
    for weight in weights:
        now = draw.uniform(0, 1)
        while now < scenario.seconds:
            busy = draw.random() < 0.1
            span = draw.expovariate(1.0)
            rate = weight * calm * (scenario.burst if busy else 1.0)
            at = now + draw.expovariate(rate)
            while at < min(now + span, scenario.seconds):
                found.append(at)
                at += draw.expovariate(rate)
            now += span
    return sorted(found)


class Fleet:
    """Runs one scenario."""

    def __init__(self, scenario: FleetScenario) -> None:
        self.scenario = scenario
        self.world = World()
        self.report = FleetReport(scenario)
        self._draw = random.Random(scenario.seed + 1)
        self._pool = Pool(_MIX, scenario.seed)
        self._start = scenario.machine.load_seconds + 0.1
        slow, dying = self._chosen(scenario.stragglers), self._chosen(scenario.failures)
        self._replicas = [
            _Replica(self.world, number, scenario, self._slowness() if number in slow else ())
            for number in range(scenario.replicas)
        ]
        self._known = list(self._replicas)
        for number in sorted(dying):
            moment = self._start + self._draw.uniform(0.1, 0.6) * scenario.seconds
            self.world.at(moment, lambda replica=self._replicas[number]: self._dies(replica))  # type: ignore[misc]

    def _chosen(self, share: float) -> set[int]:
        count = round(self.scenario.replicas * share)
        count = max(count, 1 if share and self.scenario.replicas > 1 else 0)
        return set(self._draw.sample(range(self.scenario.replicas), count))

    def _slowness(self) -> list[Fault]:
        begins = self._start + self._draw.uniform(0.0, 0.6) * self.scenario.seconds
        return [Fault(kind="slow", start=begins, end=begins + self.scenario.seconds / 3)]

    def run(self) -> FleetReport:
        for replica in self._replicas:
            replica.reranker.start()
        for at in draws(self.scenario):
            self.world.at(self._start + at, self._arrives)
        level = logging.getLogger("rerankd").level
        logging.getLogger("rerankd").setLevel(logging.CRITICAL)
        try:
            self.world.run(self._start + self.scenario.seconds + 1.0)
        finally:
            logging.getLogger("rerankd").setLevel(level)
        for replica in self._replicas:
            replica.reranker.close()
        return self.report

    def _arrives(self) -> None:
        self.report.requests += 1
        arrived, ask = self.world.now(), self._pool.ask()
        if not self._known:
            self._answered(arrived, "skipped", 0)
            return
        replica = min(self._two(), key=lambda each: each.ongoing)
        replica.ongoing += 1
        budget = float(ask.options["budget_ms"])
        told = Ask(ask.items, ask.texts, {**ask.options, "budget_ms": budget - 10.0}, None, 0.0, False)
        if replica.dead:
            # nobody answers: the ingress does, just before the deadline
            self.world.at(arrived + budget / 1000 - 0.005, lambda: self._silent(replica, arrived))
            return
        there = self.scenario.way / 2
        self.world.at(arrived + there, lambda: self._asks(replica, told, arrived))

    def _two(self) -> list[_Replica]:
        return self._draw.sample(self._known, min(2, len(self._known)))

    def _asks(self, replica: _Replica, ask: Ask, arrived: float) -> None:
        def answered(caller: Caller) -> None:
            def back() -> None:
                replica.ongoing -= 1
                if replica.dead:  # it died with the request in it
                    self._answered(arrived, "skipped", 0)
                else:
                    assert caller.answer is not None
                    self._answered(arrived, str(caller.answer.outcome), caller.answer.depth)

            self.world.at(self.world.now() + self.scenario.way / 2, back)

        Caller(self.world, replica.reranker, ask, answered).arrive()

    def _silent(self, replica: _Replica, arrived: float) -> None:
        replica.ongoing -= 1
        self._answered(arrived, "skipped", 0)

    def _answered(self, arrived: float, outcome: str, depth: int) -> None:
        report = self.report
        report.outcomes[outcome] += 1
        report.seconds.append(self.world.now() - arrived)
        report.depths += depth

    def _dies(self, replica: _Replica) -> None:
        self.report.deaths += 1
        replica.dead = True
        notice, restart = self.scenario.notice, self.scenario.restart
        self.world.at(self.world.now() + notice, lambda: self._known.remove(replica))
        self.world.at(self.world.now() + notice + restart, lambda: self._returns(replica))

    def _returns(self, replica: _Replica) -> None:
        replica.dead = False
        self._known.append(replica)


def run_fleet(scenario: FleetScenario) -> FleetReport:
    return Fleet(scenario).run()
