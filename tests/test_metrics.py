"""The metrics say what happened under their agreed names, and hold no text."""

import asyncio
import logging
import re
import subprocess
import sys
from dataclasses import replace

import pytest
from prometheus_client import REGISTRY, CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

from rerankd.core.cache import CacheStatus
from rerankd.core.events import (
    BatchLimitChanged,
    CircuitChanged,
    FlagChanged,
    MemoryFailed,
    MemoryQueried,
    ModelChanged,
    RecordsRejected,
    RunEnded,
    ScorerLost,
    Settled,
    Shadow,
    Timings,
    WorkerReplaced,
)
from rerankd.core.flag import Flag, Mode
from rerankd.core.types import Outcome, Reason
from rerankd.errors import ConfigError
from rerankd.metrics import LoopLag, PrometheusObserver
from rerankd.testing import FakeClock
from tests.test_summary import settled, status

NAMES = {
    "rerank_requests_total": {"outcome", "reason"},
    "rerank_skipped_total": set(),
    "rerank_pairs_total": {"result"},
    "rerank_scorer_restarts_total": {"cause"},
    "rerank_memory_queries_total": {"outcome", "reason"},
    "rerank_memory_latency_seconds": set(),
    "rerank_memory_stage_seconds": {"stage"},
    "rerank_memory_failures_total": {"call", "error"},
    "rerank_memory_rejected_records_total": set(),
    "rerank_latency_seconds": set(),
    "rerank_stage_seconds": {"stage"},
    "rerank_depth_ratio": set(),
    "rerank_refined_ratio": set(),
    "rerank_batch_tokens": set(),
    "rerank_padding_ratio": set(),
    "rerank_event_loop_lag_seconds": set(),
    "rerank_queue_pairs": set(),
    "rerank_circuit_state": {"scorer"},
    "rerank_enabled": set(),
    "rerank_model_loaded": {"model", "device"},
    "rerank_shadow_requests_total": {"outcome", "reason"},
    "rerank_shadow_latency_seconds": set(),
    "rerank_shadow_depth_ratio": set(),
    "rerank_shadow_overlap_ratio": set(),
    "rerank_shadow_moved_ratio": set(),
    "rerank_shadow_enabled": set(),
    "rerank_cache_lookups_total": {"result"},
    "rerank_cache_entries": set(),
    "rerank_cache_bytes": set(),
}


class Scrape:
    """What Prometheus would read."""

    def __init__(self, observer):
        families = list(text_string_to_metric_families(observer.render().decode()))
        self.samples = [sample for family in families for sample in family.samples]

    def __call__(self, name, **labels):
        found = [each.value for each in self.samples if each.name == name and each.labels == labels]
        assert len(found) <= 1
        return found[0] if found else None

    def series(self, name):
        """The values by their labels' values, in the order of the labels' names."""
        return {
            tuple(v for _, v in sorted(each.labels.items())): each.value
            for each in self.samples
            if each.name == name
        }


@pytest.fixture
def observer():
    return PrometheusObserver()


def run(result="scored", pairs=4, tokens=300, padded_tokens=400):
    return RunEnded(
        result=result,
        pairs=pairs,
        tokens=tokens,
        padded_tokens=padded_tokens,
        seconds=0.1,
        predicted_seconds=0.1,
        model="fake",
    )


def test_the_names_and_labels_are_the_agreed_ones_and_no_others(observer):
    observer.bind(lambda: status(cache=CacheStatus(hits=1, misses=1, entries=1, size_bytes=200)))
    observer.on(run())
    observer.on(shadowed())
    scrape = Scrape(observer)
    labels = {}
    for sample in scrape.samples:
        if sample.name.endswith("_created"):
            continue
        name = re.sub(r"_(bucket|sum|count)$", "", sample.name)
        labels.setdefault(name, set()).update(set(sample.labels) - {"le"})
    assert labels == NAMES


def test_a_request_is_counted_by_outcome_and_reason(observer):
    observer.on(settled())
    observer.on(settled())
    observer.on(settled(outcome=Outcome.PARTIAL, reason=Reason.DEADLINE))
    observer.on(settled(outcome=Outcome.SKIPPED, reason=Reason.CIRCUIT_OPEN))
    scrape = Scrape(observer)
    assert scrape("rerank_requests_total", outcome="reranked", reason="none") == 2
    assert scrape("rerank_requests_total", outcome="partial", reason="deadline") == 1
    assert scrape("rerank_requests_total", outcome="skipped", reason="circuit_open") == 1
    assert scrape("rerank_skipped_total") == 1


def test_every_reason_is_shown_at_zero_before_it_first_happens(observer):
    series = Scrape(observer).series("rerank_requests_total")
    assert {reason for outcome, reason in series if outcome == "skipped"} == {
        reason.value for reason in Reason
    }
    assert set(series.values()) == {0.0}
    assert Scrape(observer).series("rerank_scorer_restarts_total") == {
        ("died",): 0,
        ("stopped",): 0,
        ("hung",): 0,
    }
    assert Scrape(observer).series("rerank_pairs_total") == {
        ("scored",): 0,
        ("dropped",): 0,
        ("failed",): 0,
        ("yielded",): 0,
    }


def test_latency_and_depth_are_those_of_requests_that_asked_something_of_the_reranker(observer):
    full = Settled(
        request=1,
        outcome=Outcome.PARTIAL,
        reason=Reason.DEADLINE,
        depth=6,
        candidates=24,
        budget_ms=250,
        elapsed_ms=240,
        timings=Timings(queue=4, tokenize=0, inference=200, order=0.2),
        model="fake",
    )
    observer.on(full)
    observer.on(settled(outcome=Outcome.SKIPPED, reason=Reason.DISABLED))
    observer.on(settled(candidates=0))
    scrape = Scrape(observer)
    assert scrape("rerank_latency_seconds_count") == 1
    assert scrape("rerank_latency_seconds_sum") == pytest.approx(0.24)
    assert scrape("rerank_depth_ratio_sum") == 0.25
    assert scrape("rerank_depth_ratio_count") == 1
    counts = scrape.series("rerank_stage_seconds_count")
    assert counts == {("queue",): 1, ("tokenize",): 0, ("inference",): 1, ("refine",): 0, ("order",): 1}
    assert scrape("rerank_stage_seconds_sum", stage="inference") == pytest.approx(0.2)


def test_a_cascade_has_a_circuit_a_model_and_tells_how_much_was_rescored(observer):
    observer.on(replace(settled(candidates=8), refined_depth=2))
    observer.on(settled(candidates=8))
    observer.bind(
        lambda: status(
            model="fake+large",
            scorer="fake",
            refiner="large",
            refiner_device="cpu",
            refiner_state="ready",
            refiner_circuit="open",
        )
    )
    scrape = Scrape(observer)
    assert scrape("rerank_refined_ratio_sum") == 0.25
    assert scrape("rerank_refined_ratio_count") == 1, "only of cascades"
    assert scrape.series("rerank_circuit_state")[("large",)] == 2
    assert set(scrape.series("rerank_circuit_state")) == {("fake",), ("large",)}
    assert {model for _, model in scrape.series("rerank_model_loaded")} == {"fake", "large"}


def test_the_target_and_the_budget_are_bounds_of_latency_buckets(observer):
    bounds = {labels[0] for labels in Scrape(observer).series("rerank_latency_seconds_bucket")}
    assert {"0.2", "0.25", "0.26", "0.275"} <= bounds


def shadowed():
    return Settled(
        request=1,
        outcome=Outcome.SKIPPED,
        reason=Reason.SHADOW,
        depth=0,
        candidates=10,
        budget_ms=250,
        elapsed_ms=100,
        timings=Timings(inference=90),
        model="fake",
        shadow=Shadow(outcome=Outcome.RERANKED, reason=None, depth=5, overlap=0.75, moved=4, elapsed_ms=99),
    )


def test_a_shadowed_request_tells_what_would_have_been_and_does_not_pull_the_depth_down(observer):
    observer.on(shadowed())
    scrape = Scrape(observer)
    assert scrape("rerank_shadow_requests_total", outcome="reranked", reason="none") == 1
    assert scrape("rerank_shadow_latency_seconds_sum") == pytest.approx(0.099)
    assert scrape("rerank_shadow_depth_ratio_sum") == 0.5
    assert scrape("rerank_shadow_overlap_ratio_sum") == 0.75
    assert scrape("rerank_shadow_moved_ratio_sum") == 0.4
    assert scrape("rerank_depth_ratio_count") == 0
    assert scrape("rerank_latency_seconds_count") == 1
    observer.on(settled(outcome=Outcome.SKIPPED, reason=Reason.SHADOW))
    assert Scrape(observer)("rerank_shadow_depth_ratio_count") == 1


def test_pairs_are_counted_by_what_became_of_them_and_dropped_ones_were_in_no_run(observer):
    observer.on(run())
    observer.on(run("failed", pairs=2, tokens=100, padded_tokens=100))
    observer.on(run("dropped", pairs=7, tokens=50, padded_tokens=50))
    observer.on(run("yielded", pairs=3, tokens=60, padded_tokens=60))
    observer.on(run("scored", pairs=1, tokens=0, padded_tokens=0))
    scrape = Scrape(observer)
    assert scrape.series("rerank_pairs_total") == {
        ("scored",): 5,
        ("failed",): 2,
        ("dropped",): 7,
        ("yielded",): 3,
    }
    assert scrape("rerank_batch_tokens_count") == 2
    assert scrape("rerank_batch_tokens_sum") == 500
    assert scrape("rerank_padding_ratio_sum") == 0.25


def test_the_gauges_show_the_status_of_the_moment(observer):
    now = {"queue_pairs": 17, "circuit": "half_open"}
    observer.bind(lambda: status(**now))
    scrape = Scrape(observer)
    assert scrape("rerank_queue_pairs") == 17
    assert scrape("rerank_circuit_state", scorer="fake") == 1
    assert scrape("rerank_enabled") == 1
    assert scrape("rerank_shadow_enabled") == 0
    assert scrape("rerank_model_loaded", model="fake", device="cpu") == 1
    now.update(model_state="unavailable", device=None, enabled=False, circuit="open")
    scrape = Scrape(observer)
    assert scrape.series("rerank_model_loaded") == {("", "fake"): 0}
    assert scrape("rerank_enabled") == 0
    assert scrape("rerank_circuit_state", scorer="fake") == 2
    now.update(model=None)
    assert Scrape(observer).series("rerank_model_loaded") == {}
    now.update(enabled=True, flag=Flag(Mode.SHADOW))
    assert Scrape(observer)("rerank_shadow_enabled") == 1


def test_the_cache_is_shown_where_it_is_on(observer):
    observer.bind(status)
    assert not [each for each in Scrape(observer).samples if each.name.startswith("rerank_cache_")]
    kept = CacheStatus(hits=3, misses=5, entries=4, size_bytes=800)
    observer.bind(lambda: status(cache=kept))
    scrape = Scrape(observer)
    assert scrape.series("rerank_cache_lookups_total") == {("hit",): 3, ("miss",): 5}
    assert scrape("rerank_cache_entries") == 4
    assert scrape("rerank_cache_bytes") == 800


def test_without_a_status_the_gauges_show_the_last_events(observer):
    assert Scrape(observer).series("rerank_enabled") == {}
    observer.on(ModelChanged(state="loading", model="fake"))
    assert Scrape(observer)("rerank_enabled") == 0
    observer.on(ModelChanged(state="ready", model="fake", device="cpu"))
    observer.on(CircuitChanged(scorer="fake", state="open", previous="closed", bad=10, calls=10))
    scrape = Scrape(observer)
    assert scrape.series("rerank_model_loaded") == {("cpu", "fake"): 1}
    assert scrape.series("rerank_circuit_state") == {("fake",): 2}
    assert scrape("rerank_enabled") == 1
    observer.on(CircuitChanged(scorer="fake", state="closed", previous="open", bad=0, calls=0))
    for flag, enabled, shadow in (
        (Flag(Mode.SHADOW), 1, 1),
        (Flag(Mode.OFF), 0, 0),
        (Flag(Mode.ON, 0), 0, 0),
        (Flag(Mode.ON, 1), 1, 0),
    ):
        observer.on(FlagChanged(flag=flag, previous=Flag(), source="memory"))
        scrape = Scrape(observer)
        assert (scrape("rerank_enabled"), scrape("rerank_shadow_enabled")) == (enabled, shadow)
    assert scrape.series("rerank_circuit_state") == {("fake",): 0}


def test_events_without_a_metric_change_nothing(observer):
    before = observer.render()
    observer.on(WorkerReplaced(cause="hung", abandoned=1))
    observer.on(BatchLimitChanged(max_pairs=1, max_tokens=100))
    assert observer.render() == before


def test_two_rerankers_in_a_process_do_not_clash():
    first, second = PrometheusObserver(), PrometheusObserver()
    first.on(settled())
    assert Scrape(second)("rerank_requests_total", outcome="reranked", reason="none") == 0
    assert first.registry is not REGISTRY


def test_one_registry_takes_one_observer_and_is_free_again_after_closing_it():
    registry = CollectorRegistry()
    first = PrometheusObserver(registry)
    with pytest.raises(ConfigError, match="this registry holds a reranker's metrics already"):
        PrometheusObserver(registry)
    first.on(settled())
    assert Scrape(first)("rerank_requests_total", outcome="reranked", reason="none") == 1
    first.close()
    assert registry.get_sample_value("rerank_enabled") is None
    PrometheusObserver(registry).close()


def test_the_host_s_own_registry_may_be_used():
    observer = PrometheusObserver(REGISTRY)
    try:
        observer.on(settled())
        assert (
            REGISTRY.get_sample_value("rerank_requests_total", {"outcome": "reranked", "reason": "none"}) == 1
        )
    finally:
        observer.close()


def test_the_importing_of_the_package_imports_no_prometheus():
    code = "import sys, rerankd, rerankd.summary, rerankd.logs; sys.exit('prometheus_client' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


class Loop:
    """An event loop's sleep that wakes as late as it is told, and then ends the probe."""

    def __init__(self, clock, lates):
        self.clock, self.lates = clock, list(lates)

    async def sleep(self, seconds):
        if not self.lates:
            raise asyncio.CancelledError
        self.clock.advance(seconds + self.lates.pop(0))


async def test_the_lag_is_how_late_the_loop_wakes_and_never_negative():
    clock, seen = FakeClock(), []
    probe = LoopLag(seen.append, clock, every_s=0.1, sleep=Loop(clock, [0, 0.25, -0.01]).sleep)
    with pytest.raises(asyncio.CancelledError):
        await probe.run()
    assert seen == pytest.approx([0, 0.25, 0])


async def test_the_probe_runs_once_while_its_context_lasts_and_ends_with_it(observer):
    clock = FakeClock()
    async with observer.loop_lag(clock, every_s=0) as probe:
        probe.start()
        tasks = [task for task in asyncio.all_tasks() if task.get_name() == "rerankd-loop-lag"]
        assert len(tasks) == 1
        for _ in range(5):
            await asyncio.sleep(0)
    assert tasks[0].cancelled()
    await probe.stop()
    assert Scrape(observer)("rerank_event_loop_lag_seconds_count") >= 1
    assert Scrape(observer)("rerank_event_loop_lag_seconds_sum") == 0


def test_the_metrics_are_silent(observer, caplog):
    caplog.set_level(logging.DEBUG)
    observer.on(settled())
    observer.render()
    assert caplog.records == []


def test_a_lost_scorer_is_counted_by_what_became_of_it(observer):
    observer.on(ScorerLost(cause="hung", model="fake"))
    assert Scrape(observer).series("rerank_scorer_restarts_total") == {
        ("died",): 0,
        ("stopped",): 0,
        ("hung",): 1,
    }


def test_the_memory_s_questions_failures_and_rejected_records_are_counted(observer):
    observer.on(
        MemoryQueried(
            outcome=Outcome.PARTIAL,
            reason=Reason.DEADLINE,
            depth=3,
            candidates=24,
            rejected=1,
            budget_ms=250,
            elapsed_ms=249.0,
            embed_ms=9.0,
            store_ms=2.0,
            rank_ms=0.0,
            open_ms=1.0,
            rerank_ms=237.0,
        )
    )
    observer.on(MemoryFailed(call="query", error="SealError"))
    observer.on(RecordsRejected(subject="0a1b", records=2))
    scrape = Scrape(observer)
    assert scrape("rerank_memory_queries_total", outcome="partial", reason="deadline") == 1
    assert scrape("rerank_memory_latency_seconds_sum") == pytest.approx(0.249)
    assert scrape("rerank_memory_stage_seconds_sum", stage="rerank") == pytest.approx(0.237)
    assert scrape("rerank_memory_stage_seconds_count", stage="rank") == 0
    assert scrape("rerank_memory_failures_total", call="query", error="SealError") == 1
    assert scrape("rerank_memory_failures_total", call="query", error="StoreError") == 0
    assert scrape("rerank_memory_rejected_records_total") == 2
