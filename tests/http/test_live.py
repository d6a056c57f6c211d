"""Ten minutes of figures, by the clock that it is given."""

from rerankd.core.events import CircuitChanged, Settled, Timings
from rerankd.core.types import Outcome, Reason
from rerankd.http.live import EDGES_MS, Live
from rerankd.testing import FakeClock


def settled(
    ms: float, outcome: Outcome = Outcome.RERANKED, reason: Reason | None = None, depth: int = 4
) -> Settled:
    return Settled(
        request=1,
        outcome=outcome,
        reason=reason,
        depth=depth,
        candidates=4,
        budget_ms=250,
        elapsed_ms=ms,
        timings=Timings(),
        model="m",
    )


def test_outcomes_fall_into_buckets_of_ten_seconds():
    clock = FakeClock(100)
    live = Live(clock)
    live.on(settled(10))
    clock.advance(25)
    live.on(settled(250, Outcome.PARTIAL, Reason.DEADLINE, depth=2))
    buckets = live.as_dict()["buckets"]
    assert [bucket["age_seconds"] for bucket in buckets] == [20, 10, 0]
    assert [bucket["outcomes"] for bucket in buckets] == [{"reranked": 1}, {}, {"partial": 1}]
    assert buckets[-1]["reasons"] == {"deadline": 1}
    assert [bucket["depth_ratio"] for bucket in buckets] == [1.0, None, 0.5]


def test_what_is_older_than_the_window_is_gone():
    clock = FakeClock(0)
    live = Live(clock)
    live.on(settled(10))
    live.on(CircuitChanged(scorer="m", state="open", previous="closed", bad=10, calls=10))
    clock.advance(599)
    assert live.as_dict()["latency_ms"]["count"] == 1
    assert live.as_dict()["circuit"] == [{"age_ms": 599_000, "state": "open"}]
    clock.advance(20)
    shown = live.as_dict()
    assert shown["latency_ms"]["count"] == 0
    assert shown["circuit"] == []
    assert sum(sum(bucket["outcomes"].values()) for bucket in shown["buckets"]) == 0


def test_the_histogram_counts_up_to_each_edge_and_what_is_longer():
    live = Live(FakeClock())
    for ms in (5.0, 5.1, 250.0, 5_000.0):
        live.on(settled(ms))
    counts = live.as_dict()["latency_ms"]["counts"]
    assert len(counts) == len(EDGES_MS) + 1
    assert counts[0] == 1
    assert counts[1] == 1
    assert counts[EDGES_MS.index(250)] == 1
    assert counts[-1] == 1


def test_requests_that_asked_nothing_of_the_model_do_not_water_the_latencies_down():
    live = Live(FakeClock())
    live.on(settled(0.1, Outcome.SKIPPED, Reason.DISABLED, depth=0))
    assert live.as_dict()["latency_ms"]["count"] == 0
    assert live.as_dict()["buckets"][-1]["reasons"] == {"disabled": 1}
