"""The circuit opens, the switch switches, the metrics parse."""

import math
from typing import Any

import pytest

from rerankd.core.flag import Flag, Mode
from rerankd.core.types import Outcome, Reason
from rerankd.doctor.behaviour import (
    METRICS,
    CircuitTrial,
    FlagTrial,
    circuit_check,
    flag_check,
    metric_names,
    metrics_check,
    summary_check,
    try_circuit,
    try_flag,
)
from rerankd.doctor.check import Status
from rerankd.metrics import PrometheusObserver
from rerankd.summary import Summary
from rerankd.testing import FakeScorer, fake_reranker

ON, OFF = (Outcome.RERANKED, None), (Outcome.SKIPPED, Reason.DISABLED)


def trial(*, opened: bool = True, kept_order: bool = True) -> CircuitTrial:
    return CircuitTrial(calls=10, opened=opened, kept_order=kept_order, slowest_ms=80)


@pytest.mark.threads
def test_the_circuit_of_a_real_reranker_opens_when_its_model_hangs() -> None:
    seen = try_circuit()
    assert seen.opened
    assert seen.kept_order
    assert circuit_check(seen).status is Status.PASS


@pytest.mark.parametrize("seen", [trial(opened=False), trial(kept_order=False)])
def test_a_circuit_that_stays_closed_or_moves_candidates_fails(seen: CircuitTrial) -> None:
    assert circuit_check(seen).status is Status.FAIL


def test_a_circuit_that_opens_in_retrieval_order_passes() -> None:
    check = circuit_check(trial())
    assert check.status is Status.PASS
    assert check.figure.startswith("open after 10 slow calls, retrieval order kept")


@pytest.mark.threads
def test_the_switch_of_a_real_reranker_toggles() -> None:
    assert try_flag().outcomes == (ON, OFF, ON)


@pytest.mark.threads
def test_a_switch_that_does_not_toggle_is_noticed() -> None:
    class Stuck:
        name = "stuck"
        immediate = True

        def read(self, context: Any) -> Flag:
            return Flag()

        def set(self, flag: Flag) -> None:
            pass

    def build(scorer: FakeScorer) -> Any:
        return fake_reranker(scorer, flag=Stuck())

    assert flag_check(try_flag(build), Flag(), "stuck").status is Status.FAIL


def test_the_flag_in_force_is_told_with_its_source() -> None:
    good = FlagTrial(outcomes=(ON, OFF, ON))
    assert flag_check(good, Flag(), "memory").figure == "toggles; here on (memory)"
    assert flag_check(good, Flag(Mode.SHADOW, 5), "file").figure == "toggles; here shadow for 5 % (file)"
    assert flag_check(good, None, "flag.json").status is Status.FAIL


@pytest.mark.threads
def test_the_metrics_of_a_reranker_parse_and_are_all_there() -> None:
    prometheus = PrometheusObserver()
    with fake_reranker(observers=[prometheus]) as reranker:
        reranker.rerank("query", ["a"])
    names = metric_names(prometheus.render().decode())
    assert metrics_check(names).status is Status.PASS


def test_a_metric_that_is_missing_is_named() -> None:
    check = metrics_check(set(METRICS) - {"rerank_queue_pairs"})
    assert check.status is Status.FAIL
    assert "rerank_queue_pairs" in check.figure


def test_metrics_that_cannot_be_parsed_fail() -> None:
    with pytest.raises(ValueError, match="could not convert") as caught:
        metric_names("rerank_requests{ 1\n")
    assert metrics_check(caught.value).status is Status.FAIL


def test_the_summary_has_to_be_valid_json_with_its_figures() -> None:
    good = Summary(batch_size=32).as_dict()
    assert summary_check(good).status is Status.PASS
    assert summary_check({**good, "rerank_latency_ms": {"p50": math.nan}}).status is Status.FAIL
    assert summary_check({"device": "cpu"}).status is Status.FAIL
