"""What a run of the load generator comes to."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rerankd.bench.load import Shot
from rerankd.bench.percentiles import percentile, percentiles
from rerankd.core.types import Outcome

__all__ = ["LoadReport", "summarise"]


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadReport:
    """The figures of a run."""

    requests: int
    seconds: float
    """From the first request's intended sending to the last answer."""
    latency_ms: Mapping[str, float]
    """p50, p95, p99, max and mean, each from the intended sending to the answer."""
    outcomes: Mapping[str, float]
    """Outcome → its share, from 0 to 1; all three are there."""
    reasons: Mapping[str, float]
    """Reason → its share of all requests; those that occurred."""
    depth: float
    """Candidates scored, in the mean of all requests."""
    candidates: float
    """Candidates sent, in the mean."""
    late_ms: float
    """p99 of how much later than intended the generator sent: large, and it measured itself."""

    @property
    def throughput(self) -> float:
        """Answers a second."""
        return self.requests / self.seconds if self.seconds else 0.0

    @property
    def pairs_per_second(self) -> float:
        """Scores a second that reached an answer in time."""
        return self.throughput * self.depth

    def as_json(self) -> dict[str, Any]:
        return {
            "requests": self.requests,
            "seconds": round(self.seconds, 3),
            "throughput": round(self.throughput, 2),
            "pairs_per_second": round(self.pairs_per_second, 1),
            "latency_ms": {name: round(value, 2) for name, value in self.latency_ms.items()},
            "outcomes": {name: round(value, 4) for name, value in self.outcomes.items()},
            "reasons": {name: round(value, 4) for name, value in self.reasons.items()},
            "depth": round(self.depth, 2),
            "candidates": round(self.candidates, 2),
            "late_ms": round(self.late_ms, 2),
        }


def summarise(shots: Sequence[Shot]) -> LoadReport:
    """The figures of these requests. Raises `ValueError` when there are none."""
    if not shots:
        raise ValueError("shots: at least one is needed, got none")
    count = len(shots)
    latencies = [shot.latency_ms for shot in shots]
    outcomes = Counter(shot.outcome for shot in shots)
    reasons = Counter(shot.reason.value for shot in shots if shot.reason is not None)
    return LoadReport(
        requests=count,
        seconds=max(shot.ended for shot in shots) - min(shot.intended for shot in shots),
        latency_ms={**percentiles(latencies), "max": max(latencies), "mean": sum(latencies) / count},
        outcomes={outcome.value: outcomes[outcome] / count for outcome in Outcome},
        reasons={name: seen / count for name, seen in reasons.most_common()},
        depth=sum(shot.depth for shot in shots) / count,
        candidates=sum(shot.candidates for shot in shots) / count,
        late_ms=percentile(((shot.started - shot.intended) * 1000 for shot in shots), 99),
    )
