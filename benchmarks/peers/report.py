"""What a run came to: rows, what was wanted of them, and the JSON that docs/benchmarks.md is written from."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from statistics import median, quantiles
from typing import Any

from benchmarks.peers.contenders import OURS
from benchmarks.peers.turn import Turn
from benchmarks.workloads import Workload

__all__ = ["SCHEMA", "TARGETS", "Row", "rows", "verdicts"]

SCHEMA = 2
TARGETS = {
    ("mixed", "flashrank"): 4.5,
    ("mixed", "fastembed"): 5.0,
    ("mixed", "sentence-transformers"): 5.0,
    ("equal-55", "flashrank"): 1.7,
    ("equal-55", "fastembed"): 1.7,
    ("equal-20", "flashrank"): 1.3,
    ("equal-20", "fastembed"): 1.3,
}
"""How many times a peer's pairs a second ours should be at least, the peer as it comes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    workload: str
    contender: str
    median_ms: float
    p10_ms: float
    p90_ms: float
    pairs_per_second: float
    ratio: float
    """Our pairs a second as a multiple of this contender's."""
    cpu_ms: float
    """Median processor time, all threads together."""
    rss_mb: float
    """What its process held after the workload's last turn; earlier workloads have left theirs in it."""
    batch_size: int | None
    """That a `+tuned` contender has chosen for this workload."""
    disturbed: float
    """The largest share of the machine that other programs took during a turn that counts."""
    largest_logit_difference: float
    """To rerankd's scores, over the whole run: shows that the same work was done."""
    same_top_8: float
    """Share of the best eight candidates that rerankd has among its best eight as well."""


def rows(
    workload: Workload, turns: Mapping[str, list[Turn]], sizes: Mapping[str, int] | None = None
) -> list[Row]:
    """A row a contender, from its turns with the same requests."""
    baseline = OURS if OURS in turns else next(iter(turns))
    ours = median(turn.ms for turn in turns[baseline])
    reference = [turn.logits for turn in turns[baseline]]
    found = []
    for name, taken in turns.items():
        logits = [turn.logits for turn in taken]
        times = [turn.ms for turn in taken]
        middle = median(times)
        tenths = quantiles(times, n=10, method="inclusive") if len(times) > 1 else times
        found.append(
            Row(
                workload=workload.name,
                contender=name,
                median_ms=middle,
                p10_ms=tenths[0],
                p90_ms=tenths[-1],
                pairs_per_second=workload.candidates / middle * 1e3,
                ratio=middle / ours,
                cpu_ms=median(turn.cpu_ms for turn in taken),
                rss_mb=taken[-1].rss_mb,
                batch_size=(sizes or {}).get(name),
                disturbed=max(turn.others for turn in taken),
                largest_logit_difference=max(
                    abs(a - b)
                    for one, other in zip(logits, reference, strict=True)
                    for a, b in zip(one, other, strict=True)
                ),
                same_top_8=_overlap(logits, reference),
            )
        )
    return found


def verdicts(found: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Each figure that the project wants to reach, and what was measured."""
    return [
        {
            "workload": row["workload"],
            "contender": row["contender"],
            "ratio": round(row["ratio"], 2),
            "target": TARGETS[row["workload"], row["contender"]],
            "reached": row["ratio"] >= TARGETS[row["workload"], row["contender"]],
        }
        for row in found
        if (row["workload"], row["contender"]) in TARGETS
    ]


def _overlap(some: list[list[float]], others: list[list[float]]) -> float:
    shares = [len(_best(one) & _best(other)) / 8 for one, other in zip(some, others, strict=True)]
    return sum(shares) / len(shares)


def _best(logits: list[float]) -> set[int]:
    return set(sorted(range(len(logits)), key=lambda place: -logits[place])[:8])
