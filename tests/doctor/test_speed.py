"""Latency and throughput are judged by the profile's limits, on complete answers only."""

from typing import Any

import pytest

from rerankd.bench.report import LoadReport
from rerankd.core.types import Outcome
from rerankd.doctor.check import Profile, Status
from rerankd.doctor.speed import CANDIDATES, measure_speed, speed_checks
from rerankd.testing import fake_reranker


def report(
    p50: float = 30, p95: float = 100, p99: float = 200, reranked: float = 1.0, a_minute: float = 200
) -> LoadReport:
    return LoadReport(
        requests=100,
        seconds=100 / a_minute * 60,
        latency_ms={"p50": p50, "p95": p95, "p99": p99},
        outcomes={Outcome.RERANKED: reranked, Outcome.PARTIAL: 0.0, Outcome.SKIPPED: 1 - reranked},
        reasons={"model_error": 1 - reranked} if reranked < 1 else {},
        depth=24.0,
        candidates=24.0,
        late_ms=0.0,
    )


def failed(profile: Profile, seen: LoadReport) -> list[str]:
    return [check.name for check in speed_checks(profile, seen) if check.status is Status.FAIL]


@pytest.mark.parametrize("profile", Profile)
def test_a_fast_host_passes(profile: Profile) -> None:
    assert failed(profile, report()) == []


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"p50": 50}, "Latency p50"),
        ({"p95": 150}, "Latency p95"),
        ({"p99": 250}, "Latency p99"),
        ({"reranked": 0.99}, "Fully reranked"),
        ({"a_minute": 99}, "Throughput"),
    ],
)
def test_each_limit_of_the_gpu_profile_fails_its_own_line(changes: dict[str, Any], line: str) -> None:
    assert failed(Profile.GPU, report(**changes)) == [line]


def test_the_median_is_only_told_on_a_cpu() -> None:
    checks = {check.name: check for check in speed_checks(Profile.CPU, report(p50=120))}
    assert checks["Latency p50"].status is Status.NOT_APPLICABLE
    assert checks["Latency p50"].figure == "120.0 ms, for information"


def test_a_slow_cpu_is_told_of_the_small_model() -> None:
    checks = {check.name: check for check in speed_checks(Profile.CPU, report(p95=300, p99=400))}
    for name in ("Latency p95", "Latency p99"):
        assert "CROSS_ENCODER_MODEL=small" in checks[name].remedy


def test_answers_that_are_not_complete_are_counted_with_their_reason() -> None:
    first = speed_checks(Profile.CPU, report(reranked=0.9))[0]
    assert first.figure == "90% of 100 queries with 24 candidates, model_error"


@pytest.mark.threads
def test_the_measured_answers_have_no_deadline_and_24_candidates() -> None:
    heard: list[int] = []
    with fake_reranker() as reranker:
        seen = measure_speed(reranker, queries=5, done=heard.append)
    assert (seen.requests, seen.candidates, seen.depth) == (5, CANDIDATES, CANDIDATES)
    assert seen.outcomes[Outcome.RERANKED] == 1.0
    assert heard == list(range(1, 9))
