"""A report guards its measures: what fell, and what is no longer measured, does not pass."""

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from rerankd.errors import ConfigError
from rerankd.evaluation.baseline import falls, read_report, unsaid

REPORT: dict[str, Any] = {
    "dataset": "tiny",
    "queries": 7,
    "sample": None,
    "run": {"file": "bm25.trec", "digest": "a" * 64},
    "relevant_from": 1,
    "group": None,
    "model": "m",
    "depth": 24,
    "budget_ms": None,
    "reranked": {"ndcg@10": 0.8, "mrr@10": 0.9},
}


def changed(**values: Any) -> dict[str, Any]:
    return {**copy.deepcopy(REPORT), **values}


def test_the_same_values_pass_and_better_ones_too() -> None:
    assert falls(REPORT, REPORT, tolerance=0) == []
    assert falls(changed(reranked={"ndcg@10": 0.9, "mrr@10": 0.9}), REPORT, tolerance=0) == []


def test_a_fall_within_the_tolerance_passes_and_one_beyond_it_is_named() -> None:
    now = changed(reranked={"ndcg@10": 0.79, "mrr@10": 0.88})
    (fall,) = falls(now, REPORT, tolerance=0.01)
    assert (fall.measure, fall.before, fall.now) == ("mrr@10", 0.9, 0.88)
    assert fall.system == "m at depth 24, no limit"


def test_each_of_several_systems_is_held_against_its_own() -> None:
    worse = changed(budget_ms=50.0, reranked={"ndcg@10": 0.6, "mrr@10": 0.7})
    shared = {"dataset": "tiny", "queries": 7}
    baseline = {**shared, "systems": [REPORT, worse]}
    now = {**shared, "systems": [worse, changed(reranked={"ndcg@10": 0.5, "mrr@10": 0.9})]}
    (fall,) = falls(now, baseline, tolerance=0.01)
    assert (fall.system, fall.measure) == ("m at depth 24, no limit", "ndcg@10")


@pytest.mark.parametrize(
    ("now", "said"),
    [
        ({"dataset": "other"}, "dataset"),
        ({"queries": 6}, "its queries is 7, this report's 6"),
        ({"sample": 7}, "its sample is None, this report's 7"),
        (
            {"run": {"file": "dense.trec", "digest": "b" * 64}},
            r"'bm25.trec' \(digest a{12}\), .*'dense.trec'",
        ),
        ({"run": {"file": "bm25.trec", "digest": "b" * 64}}, r"its run is .*digest a{12}.*digest b{12}"),
        ({"relevant_from": 2}, "its relevant_from is 1, this report's 2"),
        ({"group": "chat"}, "its group is None, this report's 'chat'"),
        ({"model": "n"}, "m at depth 24, no limit was not evaluated"),
        ({"depth": 8}, "was not evaluated"),
        ({"reranked": {"ndcg@10": 0.8}}, "mrr@10 was not measured"),
    ],
)
def test_what_cannot_be_compared_does_not_pass(now: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        falls(changed(**now), REPORT, tolerance=0.01)


@pytest.mark.parametrize(
    "content", ["", "[]", "{}", '{"systems": []}', '{"systems": 3}', '{"model": "m"}', "\xff"]
)
def test_a_file_that_is_no_report_is_named(tmp_path: Path, content: str) -> None:
    path = tmp_path / "report.json"
    path.write_bytes(content.encode("latin-1"))
    with pytest.raises(ConfigError, match=r"report\.json"):
        read_report(path)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"gone\.json"):
        read_report(tmp_path / "gone.json")


def test_a_report_is_read_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    path.write_text(json.dumps(REPORT))
    assert read_report(path) == REPORT


def test_a_run_under_another_name_is_the_same_run() -> None:
    assert falls(changed(run={"file": "copy.trec", "digest": "a" * 64}), REPORT, tolerance=0) == []


def test_an_older_report_is_compared_by_what_it_has() -> None:
    old = {name: value for name, value in REPORT.items() if name not in ("run", "group", "sample")}
    assert unsaid(old) == ("run", "group", "sample")
    assert unsaid(REPORT) == ()
    assert falls(REPORT, old, tolerance=0) == []
    with pytest.raises(ConfigError, match="relevant_from"):
        falls(changed(relevant_from=2), old, tolerance=0)
