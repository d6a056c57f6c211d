from pathlib import Path

import pytest

from .conftest import Run


@pytest.mark.usefixtures("fake")
def test_json_has_every_figure(run: Run) -> None:
    seen = run("bench", "--queries", 6, "--candidates", 4, "--warm-up", 1, "--json").json
    assert seen["requests"] == 6
    assert (seen["candidates"], seen["depth"]) == (4, 4)
    assert (seen["arrivals"], seen["concurrency"], seen["rate"]) == ("closed", 1, None)
    assert (seen["model"], seen["budget_ms"]) == ("fake", 250)
    assert seen["outcomes"] == {"reranked": 1, "partial": 0, "skipped": 0}
    assert {"p50", "p95", "p99", "max", "mean"} == set(seen["latency_ms"])
    assert seen["throughput"] > 0


@pytest.mark.usefixtures("fake")
def test_open_arrivals_and_no_limit(run: Run) -> None:
    done = run("bench", "--queries", 5, "--rate", 500, "--budget-ms", "none", "--warm-up", 0, "--json")
    assert (done.json["arrivals"], done.json["rate"], done.json["concurrency"]) == ("open", 500, None)
    assert done.json["budget_ms"] is None


@pytest.mark.usefixtures("fake")
def test_the_table_is_plain_where_there_is_no_terminal(run: Run) -> None:
    done = run("bench", "--queries", 3, "--candidates", 2, "--concurrency", 2)
    assert done.status == 0
    assert "closed, 2 at a time" in done.out
    assert "reranked 100.0%" in done.out
    assert "2.0 of 2 scored in the mean" in done.out
    assert "\x1b" not in done.out


@pytest.mark.usefixtures("fake")
def test_a_file_of_requests_is_used_in_turn(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "requests.jsonl"
    file.write_text('{"query": "q", "candidates": ["a", "b", "c"]}\n{"query": "r", "candidates": ["a"]}\n')
    assert run("bench", "--file", file, "--queries", 4, "--warm-up", 0, "--json").json["candidates"] == 2
    cut = run("bench", "--file", file, "--queries", 4, "--candidates", 1, "--warm-up", 0, "--json").json
    assert cut["candidates"] == 1


@pytest.mark.usefixtures("fake")
def test_wrong_use_is_named(run: Run, tmp_path: Path) -> None:
    both = run("bench", "--rate", 1, "--concurrency", 1)
    assert both.status == 2
    assert "exclude each other" in both.err
    bad = tmp_path / "bad.jsonl"
    bad.write_text('{"query": "q"}\n')
    assert run("bench", "--file", bad).err == f"rerankd: {bad} line 1: needs candidates, a list\n"


@pytest.mark.usefixtures("no_model")
def test_without_a_model_there_is_nothing_to_measure(run: Run) -> None:
    done = run("bench", "--queries", 1)
    assert (done.status, done.out) == (1, "")
    assert "model.onnx: is not there" in done.err
