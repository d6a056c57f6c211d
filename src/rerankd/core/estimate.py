"""What work will cost, learned from the work before it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from rerankd.core.policy import check_range

__all__ = ["Estimate", "EstimatePolicy", "pair_weight", "run_weight"]

_ATTENTION = 700.0
"""Tokens at which attention costs as much as everything else. Measured with MiniLM-L-12 int8 on one thread:
4.4 ms at 16 tokens, 16.4 at 78, 60 at 256, 165 at 512; `n + n * n / 700` follows within 12 %."""

_UNKNOWN_UNIT = 1e-6
"""Seconds a unit of weight before anything was measured: next to nothing, so that everything is tried."""

_FIRST_RUNS = 3
"""Where nothing was timed at load, the quickest of so many runs is the baseline: one may be a cold start."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EstimatePolicy:
    """How fast the cost estimate learns and forgets."""

    weight: float = 0.2
    """The share of a new observation in the running mean, from 0 to 1."""
    clip: float = 4.0
    """One observation counts at most this many times the current estimate: a hiccup is not a trend."""
    half_life_ms: float = 2_000.0
    """Without news, half of a slow spell is forgotten in this time."""
    forget_ms: float = 30_000.0
    """Without news for this long, the calibration at load is doubted too, and decays in the same way."""

    def __post_init__(self) -> None:
        check_range(self, "weight", 0.001, 1)
        check_range(self, "clip", 1)
        check_range(self, "half_life_ms", 1)
        check_range(self, "forget_ms", 0)


def pair_weight(tokens: int) -> float:
    """The relative cost of one pair of that many tokens."""
    return tokens + tokens * tokens / _ATTENTION


def run_weight(lengths: Sequence[int]) -> float:
    """The relative cost of one run: every pair costs as much as the longest, to which it is padded."""
    return len(lengths) * pair_weight(max(lengths)) if lengths else 0.0


class Estimate:
    """Seconds for a piece of work: `(fixed * runs + unit * weight) * slowness`.

    `fixed` and `unit` are the machine at its best, from the first runs after loading; `slowness` is a running
    mean of observed over expected. It decays while nothing is observed: an estimate that only observations
    could lower would refuse everything for ever after one slow spell, and so never observe again.
    """

    __slots__ = ("_at", "_fixed", "_policy", "_runs", "_slowness", "_unit")

    def __init__(self, policy: EstimatePolicy) -> None:
        self._policy = policy
        self._fixed = 0.0
        self._unit = _UNKNOWN_UNIT
        self._runs = 0
        """How many runs the baseline rests on, up to `_FIRST_RUNS`."""
        self._slowness = 1.0
        self._at = 0.0

    @property
    def known(self) -> bool:
        """Whether the baseline rests on enough."""
        return self._runs >= _FIRST_RUNS

    def calibrate(self, runs: Sequence[tuple[float, float]], now: float) -> None:
        """Set the baseline from `(weight, seconds)` of undisturbed runs: a line through the extremes."""
        points = sorted((weight, seconds) for weight, seconds in runs if weight > 0 and seconds > 0)
        if not points:
            return
        (light, quick), (heavy, slow) = points[0], points[-1]
        self._unit = max(0.0, (slow - quick) / (heavy - light)) if heavy > light else slow / heavy
        self._fixed = max(0.0, quick - self._unit * light)
        self._slowness = 1.0
        self._at = now
        self._runs = _FIRST_RUNS

    def seconds(self, weight: float, now: float, runs: int = 1) -> float:
        """What work of that weight will take, split over so many runs."""
        return self._expected(weight, runs) * self.slowness(now)

    def patience(self, weight: float, now: float) -> float:
        """What one run is held against while it lasts: `seconds` without what was only forgotten.

        Forgetting is hope, there to let requests in again. A run that takes what such runs have always taken
        is not overdue because the machine had been idle before it.
        """
        return self._expected(weight, 1) * self._remembered(now)

    def slowness(self, now: float) -> float:
        """How many times slower than its baseline the machine is now thought to be."""
        # a baseline that rests on little is doubted at once
        forget = self._policy.forget_ms if self.known else 0.0
        floor = math.exp2(-max(0.0, self._age_ms(now) - forget) / self._policy.half_life_ms)
        return self._remembered(now) - max(0.0, min(1.0, self._slowness) - floor)

    def observe(self, weight: float, seconds: float, now: float) -> None:
        """Learn from one run that took so long."""
        if weight <= 0 or seconds <= 0:
            return
        if not self.known:
            unit = seconds / weight
            self._unit = min(self._unit, unit) if self._runs else unit
            self._slowness = 1.0
            self._runs += 1
            self._at = now
            return
        seen = seconds / self._expected(weight, 1)
        if self._age_ms(now) <= self._policy.forget_ms:
            before = self.slowness(now)
            seen = before + self._policy.weight * (min(seen, max(before, 1.0) * self._policy.clip) - before)
        self._slowness = seen
        self._at = now

    def outlasted(self, weight: float, seconds: float, now: float) -> None:
        """Learn from one run that was stopped, and would have taken at least about so long.

        That can raise what is thought of the machine now, never lower it, and a baseline rests on runs that came
        to their end. A bound that only says that the hope of `slowness` was in vain brings back what was
        remembered.
        """
        if not self.known or weight <= 0 or seconds <= 0:
            return
        least, remembered = seconds / self._expected(weight, 1), self._remembered(now)
        if least > remembered:
            self.observe(weight, seconds, now)
        elif least > self.slowness(now):
            self._slowness = remembered
            self._at = now

    def _remembered(self, now: float) -> float:
        """The slowness that was last seen, less what of a slow spell has faded."""
        if self._slowness <= 1.0:
            return self._slowness
        return 1.0 + (self._slowness - 1.0) * math.exp2(-self._age_ms(now) / self._policy.half_life_ms)

    def _age_ms(self, now: float) -> float:
        return max(0.0, now - self._at) * 1000

    def _expected(self, weight: float, runs: int) -> float:
        return self._fixed * runs + self._unit * weight
