"""The summary tells how late the last answers were and how many were skipped, and never grows."""

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rerankd.core.cache import CacheStatus
from rerankd.core.events import FlagChanged, Settled, Timings
from rerankd.core.flag import Flag, Mode
from rerankd.core.status import Status
from rerankd.core.types import Outcome, Reason
from rerankd.summary import Summary, percentile


def settled(elapsed_ms=1.0, outcome=Outcome.RERANKED, reason=None, candidates=24):
    return Settled(
        request=1,
        outcome=outcome,
        reason=reason,
        depth=0,
        candidates=candidates,
        budget_ms=250.0,
        elapsed_ms=elapsed_ms,
        timings=Timings(),
        model="fake",
    )


def status(**changes):
    values = {
        "model": "fake",
        "device": "cpu",
        "model_state": "ready",
        "error": None,
        "load_seconds": 1.0,
        "circuit": "closed",
        "queue_pairs": 0,
        "workers": 2,
        "busy": 0,
        "hung": 0,
        "flag": Flag(),
        "flag_source": "memory",
        "enabled": True,
    }
    return Status(**(values | changes))


def test_before_the_first_request_everything_is_nothing():
    assert Summary(batch_size=32).as_dict() == {
        "rerank_skipped_total": 0,
        "rerank_latency_ms": {"p50": 0.0, "p95": 0.0, "max": 0.0},
        "rerank_batch_size": 32,
        "device": None,
        "enabled": None,
    }


def test_latencies_are_those_of_all_requests_that_asked_something_of_the_reranker():
    summary = Summary(batch_size=32)
    for event in (
        settled(100),
        settled(200, Outcome.PARTIAL, Reason.DEADLINE),
        settled(300, Outcome.SKIPPED, Reason.MODEL_ERROR),
        settled(0.01, Outcome.SKIPPED, Reason.DISABLED),
        settled(0.01, candidates=0),
        FlagChanged(flag=Flag(), previous=Flag(Mode.OFF), source="memory"),
    ):
        summary.on(event)
    assert summary.latencies_ms == (100, 200, 300)
    assert summary.as_dict()["rerank_latency_ms"] == {"p50": 200, "p95": 290, "max": 300}


def test_only_answers_in_retrieval_order_count_as_skipped():
    summary = Summary(batch_size=32)
    summary.on(settled())
    summary.on(settled(outcome=Outcome.PARTIAL, reason=Reason.DEADLINE))
    assert summary.skipped_total == 0
    for reason in Reason:
        summary.on(settled(outcome=Outcome.SKIPPED, reason=reason))
    assert summary.as_dict()["rerank_skipped_total"] == len(Reason)


def test_the_window_forgets_the_oldest():
    summary = Summary(batch_size=32, window=3)
    for elapsed in range(10):
        summary.on(settled(elapsed))
    assert summary.latencies_ms == (7, 8, 9)


def test_device_and_enabled_are_those_of_now():
    summary = Summary(batch_size=8)
    summary.bind(lambda: status(device="cuda:0", enabled=False))
    assert summary.as_dict()["device"] == "cuda:0"
    assert summary.as_dict()["enabled"] is False
    summary.bind(None)
    assert summary.as_dict()["device"] is None


@pytest.mark.threads
def test_threads_lose_no_request():
    summary = Summary(batch_size=8, window=50)

    def settle():
        for _ in range(500):
            summary.on(settled(outcome=Outcome.SKIPPED, reason=Reason.DEADLINE))
            summary.as_dict()

    threads = [threading.Thread(target=settle) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert summary.skipped_total == 2_000
    assert len(summary.latencies_ms) == 50


@pytest.mark.parametrize(
    ("values", "percent", "expected"),
    [
        ([], 50, 0),
        ([7], 95, 7),
        ([1, 2], 50, 1.5),
        ([1, 2, 3, 4], 25, 1.75),
        ([1, 2, 3], 0, 1),
        ([1, 2, 3], 100, 3),
    ],
)
def test_percentiles_interpolate_between_neighbours(values, percent, expected):
    assert percentile(values, percent) == expected


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=50), st.floats(0, 100))
def test_percentiles_agree_with_numpy(values, percent):
    numpy = pytest.importorskip("numpy")
    assert percentile(sorted(values), percent) == pytest.approx(numpy.percentile(values, percent), abs=1e-6)


def test_the_cache_is_told_of_where_it_is_on():
    summary = Summary(batch_size=32)
    summary.bind(status)
    assert "rerank_cache" not in summary.as_dict()
    summary.bind(lambda: status(cache=CacheStatus(hits=3, misses=5, entries=4, size_bytes=800)))
    assert summary.as_dict()["rerank_cache"] == {"hits": 3, "misses": 5, "entries": 4, "size_bytes": 800}
