"""A report guards its measures: what fell, and what is no longer measured, does not pass."""

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from rerankd.errors import ConfigError
from rerankd.evaluation.baseline import falls, read_report

REPORT: dict[str, Any] = {
    "dataset": "tiny",
    "queries": 7,
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
        ({"queries": 6}, "queries"),
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
