"""The gate approves what is as fast as the baseline says, within its tolerance, and nothing else."""

import json

import pytest
from benchmarks.gate import LOOP, SCHEMA, judge, measure, read_baseline, report
from benchmarks.workloads import WORKLOADS

BASELINE = {
    "schema": SCHEMA,
    "tolerance": 0.1,
    "ratios": [
        {"workload": "mixed", "against": LOOP, "ratio": 2.0, "floor": 1.15},
        {"workload": "mixed", "against": "flashrank", "ratio": 1.2, "floor": 1.15},
    ],
}


@pytest.mark.parametrize(
    ("against", "ratio", "approved"),
    [(LOOP, 1.81, True), (LOOP, 1.79, False), ("flashrank", 1.16, True), ("flashrank", 1.14, False)],
)
def test_a_ratio_is_held_to_the_baseline_less_the_tolerance_and_to_its_floor(against, ratio, approved):
    (figure,) = judge({("mixed", against): ratio}, BASELINE)
    assert figure.approved is approved
    assert ("perf-approved" in report([figure], BASELINE)) is approved


def test_what_was_never_measured_before_is_shown_and_not_judged():
    (figure,) = judge({("mixed", "infinity"): 0.5}, BASELINE)
    assert figure.baseline is None
    assert figure.approved


def test_a_baseline_of_another_schema_is_refused(tmp_path):
    path = tmp_path / "baseline.json"
    path.write_text(json.dumps(BASELINE | {"schema": SCHEMA + 1}))
    with pytest.raises(ValueError, match="schema"):
        read_baseline(path)


def test_the_committed_baseline_holds_what_the_gate_measures():
    baseline = read_baseline()
    assert 0 < baseline["tolerance"] < 0.5
    loops = {each["workload"]: each for each in baseline["ratios"] if each["against"] == LOOP}
    assert set(loops) == {workload.name for workload in WORKLOADS}
    assert all(each["floor"] == 1.3 for name, each in loops.items() if name != "mixed")
    assert loops["mixed"]["floor"] == 1.15
    assert all(each["ratio"] >= each.get("floor", 0) for each in baseline["ratios"])


def test_the_ratio_is_the_others_time_over_ours_whoever_begins():
    now = [0.0]

    class Answer:
        outcome, reason = "reranked", None

    class Ours:
        def rerank(self, query, texts, budget_ms):
            now[0] += 2
            return Answer()

    class Loop:
        def run(self, request):
            now[0] += 3

    assert measure(Ours(), Loop(), WORKLOADS[0], 5, clock=lambda: now[0]) == 1.5
