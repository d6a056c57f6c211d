import pytest

from rerankd.bench.load import Shot
from rerankd.bench.report import summarise
from rerankd.core.types import Outcome, Reason


def shot(
    at: float, took: float, outcome: Outcome, reason: Reason | None, depth: int, late: float = 0.0
) -> Shot:
    return Shot(
        intended=at,
        started=at + late,
        ended=at + took,
        outcome=outcome,
        reason=reason,
        depth=depth,
        candidates=24,
    )


SHOTS = [
    shot(1.0, 0.1, Outcome.RERANKED, None, 24),
    shot(2.0, 0.2, Outcome.RERANKED, None, 24),
    shot(3.0, 0.25, Outcome.PARTIAL, Reason.DEADLINE, 12, late=0.004),
    shot(4.0, 1.0, Outcome.SKIPPED, Reason.OVERLOADED, 0),
]


def test_the_report_holds_what_the_requests_came_to() -> None:
    report = summarise(SHOTS)
    assert report.requests == 4
    assert report.seconds == pytest.approx(4.0)  # from 1.0, when the first was meant to go, to 5.0
    assert report.throughput == pytest.approx(1.0)
    assert report.latency_ms == pytest.approx(
        {"p50": 200, "p95": 1000, "p99": 1000, "max": 1000, "mean": 387.5}
    )
    assert report.outcomes == {"reranked": 0.5, "partial": 0.25, "skipped": 0.25}
    assert report.reasons == {"deadline": 0.25, "overloaded": 0.25}
    assert report.depth == 15
    assert report.candidates == 24
    assert report.pairs_per_second == pytest.approx(15.0)
    assert report.late_ms == pytest.approx(4.0)


def test_outcomes_that_did_not_occur_have_a_share_of_nothing() -> None:
    assert summarise(SHOTS[:1]).outcomes == {"reranked": 1.0, "partial": 0.0, "skipped": 0.0}


def test_the_json_has_every_figure() -> None:
    assert set(summarise(SHOTS).as_json()) == {
        "requests", "seconds", "throughput", "pairs_per_second", "latency_ms",
        "outcomes", "reasons", "depth", "candidates", "late_ms",
    }  # fmt: skip


def test_nothing_measured_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one"):
        summarise([])
