"""Row 7: the circuit opens soon, for the right reasons, and is never stuck."""

from collections import Counter
from collections.abc import Iterator
from itertools import product

from tests.core.circuit_walk import walk
from tests.prove.line import Line
from tests.prove.simulated import in_two_processes, simulated
from tests.sim.bounds import OPENING, Opening, opening
from tests.sim.machine import MachinePolicy
from tests.sim.scenario import Report, Scenario, run
from tests.sim.traffic import Mix

__all__ = ["measure"]


def measure(quick: bool) -> Iterator[Line]:
    yield _random_steps(quick)
    yield from _openings(quick)
    yield _load_alone(quick)


def _random_steps(quick: bool) -> Line:
    steps, walks = (10_000, 2) if quick else (100_000, 10)
    changes: Counter[str] = Counter()
    try:
        seeds = range(walks)
        parts = [walk(steps, seed) for seed in seeds] if quick else in_two_processes(_walk, iter(seeds))
        for part in parts:
            changes += part
    except AssertionError as error:
        return Line(7, "random steps of the circuit", "0 stuck states in 1,000,000", str(error), False)
    return Line(
        7,
        "stuck states, wrong turns and second probes in random steps of the circuit",
        "0 in 1,000,000",
        f"0 in {steps * walks:,} ({sum(changes.values()):,} changes of state)",
        True,
    )


def _walk(seed: int) -> Counter[str]:
    return walk(100_000, seed)


def _openings(quick: bool) -> Iterator[Line]:
    rates = (6.0,) if quick else (5.5, 6.0, 8.0, 20.0, 60.0)
    cases = list(product(OPENING, rates, range(1 if quick else 12)))
    seen = [_opening(case) for case in cases] if quick else list(in_two_processes(_opening, iter(cases)))
    never = [
        case for case, each in zip(cases, seen, strict=True) if each.opened is None and each.due is not None
    ]
    late = [
        (case, each)
        for case, each in zip(cases, seen, strict=True)
        if each.opened is not None and each.due is not None and each.opened > each.due
    ]
    most = max(each.bad_calls for each in seen)
    slowest = max(each.opened or 0.0 for each in seen if each.due is not None)
    broken = [case for case, each in zip(cases, seen, strict=True) if each.broken]
    hangs = [each.opened for case, each in zip(cases, seen, strict=True) if case[0] == "hang" and each.opened]
    yield Line(
        7,
        "bad calls until it opens, with every kind of fault and rate",
        "≤ 20",
        f"at most {most} in {len(seen)} failures" + (f", broken: {broken}" if broken else ""),
        most <= 20 and not broken,
    )
    yield Line(
        7,
        "opens within 2 s and a budget of the first of ten bad calls in 2 s, also when every worker hangs",
        "always",
        f"{len(late)} late, {len(never)} never, slowest {slowest:.2f} s after the fault began,"
        f" with every worker hanging {max(hangs, default=0.0):.2f} s"
        + (f"; {late[:3]} {never[:3]}" if late or never else ""),
        not late and not never,
    )


def _opening(case: tuple[str, float, int]) -> Opening:
    kind, rate, seed = case
    return opening(kind, rate=rate, seed=seed)


def _load_alone(quick: bool) -> Line:
    """Heavy loads and long texts in scenarios of their own, and all random ones without faults."""
    cases = list(product((0.7, 2.0, 10.0), (False, True), range(1 if quick else 40)))
    reports = [_loaded(case) for case in cases] if quick else list(in_two_processes(_loaded, iter(cases)))
    seen = simulated(quick)
    opened = sum(report.opened() for report in reports)
    opened += seen.broken["load and long texts never open the circuit"]
    return Line(
        7,
        "openings from load or long texts alone",
        "0",
        f"{opened} in {len(reports)} heavy and {seen.without_faults:,} random scenarios without a fault",
        opened == 0,
    )


def _loaded(case: tuple[float, bool, int]) -> Report:
    load, grouped, seed = case
    machine = MachinePolicy(noise=0.3, batch_invariant=grouped, max_batch_tokens=4_096 if grouped else 0)
    mix = Mix(long=0.3, budgets=((0.7, 250.0, 250.0), (0.3, 5.0, 60.0)))
    pattern = ("poisson", "bursts", "closed")[seed % 3]
    return run(Scenario(seed=seed, requests=400, load=load, machine=machine, mix=mix, pattern=pattern))  # type: ignore[arg-type]
