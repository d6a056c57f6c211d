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

    __slots__ = ("_at", "_calibrated", "_fixed", "_policy", "_slowness", "_unit")

    def __init__(self, policy: EstimatePolicy) -> None:
        self._policy = policy
        self._fixed = 0.0
        self._unit = _UNKNOWN_UNIT
        self._calibrated = False
        self._slowness = 1.0
        self._at = 0.0

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
        self._calibrated = True

    def seconds(self, weight: float, now: float, runs: int = 1) -> float:
        """What work of that weight will take, split over so many runs."""
        return self._expected(weight, runs) * self.slowness(now)

    def slowness(self, now: float) -> float:
        """How many times slower than its baseline the machine is now thought to be."""
        age = max(0.0, now - self._at) * 1000
        half_life = self._policy.half_life_ms
        floor = math.exp2(-max(0.0, age - self._policy.forget_ms) / half_life)
        if self._slowness <= 1.0:
            return min(self._slowness, floor)
        return floor + (self._slowness - 1.0) * math.exp2(-age / half_life)

    def observe(self, weight: float, seconds: float, now: float) -> None:
        """Learn from one run that took so long."""
        expected = self._expected(weight, 1)
        if expected <= 0 or seconds <= 0:
            return
        seen = seconds / expected
        if self._calibrated and (now - self._at) * 1000 <= self._policy.forget_ms:
            before = self.slowness(now)
            seen = before + self._policy.weight * (min(seen, max(before, 1.0) * self._policy.clip) - before)
        self._slowness = seen
        self._at = now
        self._calibrated = True

    def _expected(self, weight: float, runs: int) -> float:
        return self._fixed * runs + self._unit * weight
