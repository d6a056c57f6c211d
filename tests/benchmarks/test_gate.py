"""The gate approves what is as fast as the baseline says, within its tolerance, and nothing else."""

import json
import sys
from contextlib import nullcontext

import pytest
from benchmarks import gate
from benchmarks.gate import (
    LOOP,
    SCHEMA,
    Peers,
    judge,
    measure,
    not_measured,
    peers,
    read_baseline,
    report,
    write,
)
from benchmarks.workloads import WORKLOADS

BASELINE = {
    "schema": SCHEMA,
    "tolerance": 0.1,
    "ratios": [
        {"workload": "mixed", "against": LOOP, "ratio": 2.0, "floor": 1.15},
        {"workload": "mixed", "against": "flashrank", "ratio": 1.2, "floor": 1.15},
    ],
}


HERE = {
    "date": "2026-11-26",
    "processor": "a CPU",
    "cores": 2,
    "rerankd": "0.1",
    "onnxruntime": "1",
    "tokenizers": "0",
}


@pytest.mark.parametrize(
    ("against", "ratio", "approved"),
    [(LOOP, 1.81, True), (LOOP, 1.79, False), ("flashrank", 1.16, True), ("flashrank", 1.14, False)],
)
def test_a_ratio_is_held_to_the_baseline_less_the_tolerance_and_to_its_floor(against, ratio, approved):
    (figure,) = judge({("mixed", against): ratio}, BASELINE)
    assert figure.approved is approved
    assert ("perf-approved" in report([figure], BASELINE, HERE)) is approved


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


def test_what_of_the_baseline_was_not_measured_is_said_beside_the_verdict():
    figures = judge({("mixed", LOOP): 2.0}, BASELINE)
    assert not_measured(figures, BASELINE) == [("mixed", "flashrank")]
    told = report(figures, BASELINE, HERE, "their report is of 2026-10-01")
    assert "| mixed | flashrank | | | | not measured |" in told
    assert told.endswith(
        "perf-approved; 1 of the baseline's 2 ratios were not measured (peers: their report is of 2026-10-01)"
    )
    assert "processor a CPU" in told


def left(tmp_path, **changed):
    rows = [
        {"workload": "mixed", "contender": name, "ratio": ratio}
        for name, ratio in (("rerankd", 1.0), ("flashrank", 1.3), ("odd", 9.0))
    ]
    contenders = {"rerankd": {"wrong": None}, "flashrank": {"wrong": None}, "odd": {"wrong": "scores"}}
    told = {"schema": 2, "machine": HERE, "workloads": [{"rows": rows}], "contenders": contenders}
    path = tmp_path / "peers.json"
    path.write_text(json.dumps(told | changed))
    return path


def test_the_peers_of_this_machine_are_taken_but_those_with_wrong_scores(tmp_path):
    found = peers(HERE | {"date": "2026-12-26"}, left(tmp_path))
    assert found == Peers({("mixed", "flashrank"): 1.3}, "2026-11-26", "")


@pytest.mark.parametrize(
    ("changed", "here", "why"),
    [
        ({"schema": 1}, {}, "has schema 1, not 2"),
        ({}, {"date": "2026-12-27"}, "is of 2026-11-26"),
        ({}, {"date": "2026-11-25"}, "is of 2026-11-26"),
        ({}, {"processor": "another", "onnxruntime": "2"}, "is of another processor, onnxruntime"),
    ],
)
def test_peers_of_elsewhere_or_long_ago_are_left_out_and_it_is_said_why(tmp_path, changed, here, why):
    found = peers(HERE | here, left(tmp_path, **changed))
    assert not found.ratios
    assert why in found.why


def test_without_a_report_there_are_no_peers(tmp_path):
    assert peers(HERE, tmp_path / "none.json").why == "make bench-peers has left no report"


def test_a_new_baseline_keeps_floors_and_the_day_of_each_ratio(tmp_path):
    path = tmp_path / "baseline.json"
    path.write_text(json.dumps(BASELINE | {"measured": {"date": "2026-01-01"}}))
    write({("mixed", LOOP): 2.345}, Peers({("mixed", "fastembed"): 1.5}, "2026-11-01", ""), HERE, path)
    written = read_baseline(path)
    assert written["measured"]["processor"] == "a CPU"
    assert written["ratios"] == [
        {"workload": "mixed", "against": LOOP, "ratio": round(2.345, 2), "floor": 1.15, "date": "2026-11-26"},
        BASELINE["ratios"][1] | {"date": "2026-01-01"},
        {"workload": "mixed", "against": "fastembed", "ratio": 1.5, "date": "2026-11-01"},
    ]


@pytest.fixture
def gated(monkeypatch):
    """Runs the gate with one ratio for every workload, as many times as fast as it is told."""

    def run(ratio, *arguments):
        monkeypatch.setattr(gate.rerankd, "open", lambda **_: nullcontext())
        monkeypatch.setattr(gate, "PlainLoop", lambda cores: None)
        monkeypatch.setattr(gate, "measure", lambda *_: ratio)
        monkeypatch.setattr(gate, "peers", lambda here: Peers({}, "", "none"))
        monkeypatch.setattr(sys, "argv", ["gate", *arguments])
        return gate.main()

    return run


def test_what_is_slower_fails_and_the_quick_form_never_does(gated, capsys):
    assert gated(9.0) == 0
    assert "perf-approved" in capsys.readouterr().out
    assert gated(0.5) == 1
    assert "not approved" in capsys.readouterr().out
    assert gated(0.5, "--quick") == 0
    assert "not approved" in capsys.readouterr().out


def test_as_json_it_says_the_same(gated, capsys):
    assert gated(0.5, "--json") == 1
    told = json.loads(capsys.readouterr().out)
    assert (told["approved"], told["without_peers"]) == (False, "none")
    assert {figure["ratio"] for figure in told["figures"]} == {0.5}
    assert told["not_measured"]
    assert told["machine"]["processor"]


def test_a_few_rounds_make_no_baseline(gated, capsys):
    with pytest.raises(SystemExit) as ended:
        gated(9.0, "--quick", "--write")
    assert ended.value.code == 2
    assert "leave out --quick" in capsys.readouterr().err
