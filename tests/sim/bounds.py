"""How long the circuit takes to open when the model fails, and reranking to come back, in virtual time."""

import math
from dataclasses import dataclass

from rerankd.core.breaker import Verdict
from tests.sim.check import Violations
from tests.sim.machine import Fault, MachinePolicy
from tests.sim.scenario import Report, Scenario, run
from tests.sim.traffic import Mix

__all__ = ["BUDGET", "OPENING", "RECOVERING", "Opening", "Recovery", "opening", "recovery"]

BUDGET = 0.25
OPENING = ("hang", "raise", "nan", "short", "long", "garbage", "kill", "stop", "oom", "encode")
"""Faults that open it. A machine ten times slower is not one of them as such: its estimate follows."""
RECOVERING = (*OPENING, "slow")

_BEGINS = 10.0
_USUAL = Mix(budgets=((1.0, 250.0, 250.0),), plain=True, cancels=0, frozen=0, large=0, long=0, count=24)


@dataclass(frozen=True, slots=True)
class Opening:
    """One failure of everything, and how it was noticed."""

    opened: float | None
    """Seconds from the beginning of the fault; None: never."""
    due: float | None
    """By when it had to: two seconds and a budget from the first of ten bad calls in two seconds; None: there
    were not so many in any two seconds."""
    bad_calls: int
    broken: Violations


@dataclass(frozen=True, slots=True)
class Recovery:
    """One failure that ends, and how soon somebody gets a whole head again."""

    seconds: float
    """From the end of the fault to the first such answer."""
    requests: int
    """How many were answered without, from the end of the fault or, for a remote scorer, 30 s later."""
    broken: Violations


def opening(kind: str, *, rate: float, seed: int) -> Opening:
    """Everything goes wrong at once, under usual requests at so many a second."""
    fault = Fault(kind=kind, start=_BEGINS, end=_BEGINS + 10, lasts=math.inf if kind == "hang" else 0.8)
    report = run(
        Scenario(
            seed=seed,
            requests=int(rate * (_BEGINS + 10)),
            rate=rate,
            mix=_USUAL,
            faults=[fault],
            trace=True,
            epilogue=False,
        )
    )
    opened = next((at for at, state in report.changes if state == "open" and at >= _BEGINS), None)
    judged = [
        at
        for at, verdict in report.verdicts
        if verdict is Verdict.BAD and at >= _BEGINS and (opened is None or at <= opened)
    ]
    return Opening(
        None if opened is None else opened - _BEGINS, _due(report, opened), len(judged), report.broken
    )


def _due(report: Report, opened: float | None) -> float | None:
    # a request that no worker had begun when its time was over was load; one with enough good numbers is good
    others = sum(
        verdict is not Verdict.BAD and at >= _BEGINS and (opened is None or at <= opened)
        for at, verdict in report.verdicts
    )
    admitted = [at for at in report.admitted if at >= _BEGINS]
    needed = 10 + others
    return min(
        (
            first + 2.0 + BUDGET - _BEGINS
            for first, last in zip(admitted, admitted[needed - 1 :], strict=False)
            if last - first <= 2.0
        ),
        default=None,
    )


def recovery(kind: str, *, lasts: float, rate: float, seed: int, local: bool = True) -> Recovery:
    """Everything goes wrong for a while, then all is well."""
    ends = _BEGINS + lasts
    fault = Fault(kind=kind, start=_BEGINS, end=ends, lasts=math.inf if kind == "hang" else 0.8)
    grace = 0.0 if local else 30.0
    report = run(
        Scenario(
            seed=seed,
            requests=int(rate * (ends + grace + 10)),
            rate=rate,
            pattern="even",
            machine=MachinePolicy(local=local, concurrency=2 if local else 8),
            mix=_USUAL,
            faults=[fault],
            trace=True,
            epilogue=False,
        )
    )
    whole = [
        answered
        for arrived, answered, _, _, depth, head in report.answers
        if arrived >= ends and depth >= head
    ]
    back = min(whole, default=math.inf)
    without = sum(
        1 for arrived, answered, *_ in report.answers if arrived >= ends + grace and answered < back
    )
    return Recovery(back - ends, without, report.broken)
