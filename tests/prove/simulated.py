"""Many random scenarios in virtual time, on two processes; several rows read their figures off them."""

import functools
import itertools
import multiprocessing
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from tests.sim.scenario import random_scenario, run

__all__ = ["Simulated", "in_two_processes", "simulated"]

_REQUESTS = 500
_SCENARIOS = 16


@dataclass(slots=True)
class Simulated:
    callers: int = 0
    scenarios: int = 0
    without_faults: int = 0
    begun: int = 0
    misfits: int = 0
    virtual_seconds: float = 0.0
    outcomes: Counter[str] = field(default_factory=Counter)
    broken: Counter[str] = field(default_factory=Counter)
    examples: list[Any] = field(default_factory=list)

    def add(self, other: "Simulated") -> None:
        self.callers += other.callers
        self.scenarios += other.scenarios
        self.without_faults += other.without_faults
        self.begun += other.begun
        self.misfits += other.misfits
        self.virtual_seconds += other.virtual_seconds
        self.outcomes += other.outcomes
        self.broken += other.broken
        self.examples = (self.examples + other.examples)[:5]


@functools.cache
def simulated(quick: bool) -> Simulated:
    """At least two million callers, or a few thousand."""
    total = Simulated()
    if quick:
        total.add(_scenarios(range(20), 200))
        return total
    batches = (range(first, first + _SCENARIOS) for first in itertools.count(0, _SCENARIOS))
    for part in in_two_processes(_batch, batches):
        total.add(part)
        if total.callers >= 2_000_000:
            return total
    return total


def in_two_processes(work: Any, arguments: Iterator[Any]) -> Iterator[Any]:
    """What `work` gives for each argument, as it comes; for as long as somebody asks."""
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as pool:
        waiting = [pool.submit(work, argument) for argument in itertools.islice(arguments, 6)]
        while waiting:
            yield waiting.pop(0).result()
            waiting += [pool.submit(work, argument) for argument in itertools.islice(arguments, 1)]


def _batch(seeds: range) -> Simulated:
    return _scenarios(seeds, _REQUESTS)


def _scenarios(seeds: range, requests: int) -> Simulated:
    total = Simulated()
    for seed in seeds:
        scenario = random_scenario(seed, requests)
        report = run(scenario)
        total.scenarios += 1
        total.callers += report.callers
        total.without_faults += not scenario.faults and scenario.timed
        total.begun += report.begun
        total.misfits += report.misfits
        total.virtual_seconds += report.seconds
        total.outcomes += report.outcomes
        total.broken += report.broken.counts
        if report.broken:
            total.examples.append((seed, report.broken.examples))
    return total
