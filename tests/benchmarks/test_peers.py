"""What a contender's turns come to, and what is asked of it before it is timed."""

import pytest
from benchmarks.peers.contenders import CONTENDERS, ENVIRONMENTS, OURS, WRONG, environment
from benchmarks.peers.report import TARGETS, rows, verdicts
from benchmarks.peers.turn import Turn
from benchmarks.peers.worker import TUNED_SIZES, tune
from benchmarks.workloads import MIXED, WORKLOADS


def turn(ms, logits=(3.0, 2.0, 1.0)):
    return Turn(ms=ms, cpu_ms=2 * ms, others=0.0, rss_mb=200.0, logits=list(logits))


def test_a_row_holds_a_contender_to_our_median_and_our_scores():
    ours, other = rows(
        MIXED,
        {
            OURS: [turn(90), turn(100), turn(500)],
            "flashrank": [turn(200), turn(210), turn(190, (3.0, 2.5, 1.0))],
        },
        {"flashrank": 4},
    )
    assert (ours.ratio, other.ratio) == (1.0, 2.0)
    assert ours.pairs_per_second == pytest.approx(240)
    assert other.largest_logit_difference == pytest.approx(0.5)
    assert (ours.batch_size, other.batch_size) == (None, 4)


def test_a_figure_is_reached_from_its_target_on():
    key = ("equal-20", "flashrank")
    asked = [{"workload": key[0], "contender": key[1], "ratio": TARGETS[key] + step} for step in (0, -0.01)]
    assert [each["reached"] for each in verdicts(asked)] == [True, False]
    assert verdicts([{"workload": "equal-310", "contender": "flashrank", "ratio": 1.0}]) == []


def test_targets_and_remarks_are_of_contenders_and_workloads_that_there_are():
    assert {contender for _, contender in TARGETS} | set(WRONG) <= set(CONTENDERS)
    assert {workload for workload, _ in TARGETS} <= {each.name for each in WORKLOADS}
    assert set(ENVIRONMENTS) <= {name.partition("+")[0] for name in CONTENDERS}
    assert environment("infinity+batch-4") == environment("infinity") is not None
    assert environment(OURS) is None


def test_a_tuned_contender_keeps_the_batch_size_that_was_quickest(monkeypatch):
    now = [0.0]
    monkeypatch.setattr("time.perf_counter", lambda: now[0])

    class Contender:
        size = 0

        def set_batch_size(self, size):
            self.size = size

        def run(self, query, texts):
            now[0] += abs(self.size - TUNED_SIZES[1]) + 1

    contender = Contender()
    assert tune(contender, "q", ["a", "b", "c"]) == TUNED_SIZES[1] == contender.size
