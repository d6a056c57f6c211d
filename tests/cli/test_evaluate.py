"""`rerankd evaluate` prints what was measured, and one line where nothing can be."""

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Run


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two queries; the second document answers each."""
    place = tmp_path / "tiny"
    (place / "qrels").mkdir(parents=True)
    (place / "runs").mkdir()
    texts = {"tea": "green tea leaves", "bike": "oil the bike chain"}
    (place / "corpus.jsonl").write_text(
        "".join(json.dumps({"_id": key, "text": text}) + "\n" for key, text in texts.items())
    )
    (place / "queries.jsonl").write_text(
        '{"_id": "q1", "text": "green tea"}\n{"_id": "q2", "text": "bike chain"}\n{"_id": "q3", "text": "x"}\n'
    )
    (place / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\nq1\ttea\t1\nq2\tbike\t1\n")
    (place / "runs" / "bm25.trec").write_text(
        "q1 Q0 bike 1 2 x\nq1 Q0 tea 2 1 x\nq2 Q0 tea 1 2 x\nq2 Q0 bike 2 1 x\n"
    )
    return place


@pytest.mark.threads
@pytest.mark.usefixtures("fake")
def test_the_json_holds_both_orders(folder: Path, run: Run) -> None:
    done = run("evaluate", folder, "--json")
    result = done.json
    assert done.status == 0
    assert result["retrieval"] == {"ndcg@10": 0.6309, "mrr@10": 0.5, "recall@8": 1.0}
    assert result["reranked"] == {"ndcg@10": 1.0, "mrr@10": 1.0, "recall@8": 1.0}
    assert (result["dataset"], result["queries"], result["depth"]) == ("tiny", 2, 24)
    assert (result["budget_ms"], result["model"]) == (None, "fake")
    assert "1 queries have no judgement" in done.err


@pytest.mark.threads
@pytest.mark.usefixtures("fake")
def test_the_table_shows_before_after_and_change(folder: Path, run: Run) -> None:
    done = run("evaluate", folder)
    assert done.status == 0
    rows = {line.split()[0]: line.split()[1:] for line in done.out.splitlines() if "@" in line}
    assert rows["ndcg@10"][:3] == ["0.631", "1.000", "+0.369"]
    assert rows["recall@8"][:3] == ["1.000", "1.000", "+0.000"]
    assert "fake · budget no limit · reranked 100.0%" in done.out


@pytest.mark.threads
@pytest.mark.usefixtures("fake")
def test_depth_sample_and_budget_are_taken(folder: Path, run: Run) -> None:
    result = run("evaluate", folder, "--json", "--depth", 1, "--sample", 1, "--budget-ms", 60000).json
    assert (result["depth"], result["queries"], result["budget_ms"]) == (1, 1, 60000)
    assert result["reranked"]["mrr@10"] == 0.5


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        ("corpus.jsonl", "corpus.jsonl: no such file"),
        ("queries.jsonl", "queries.jsonl: no such file"),
        ("qrels/test.tsv", "test.tsv: no such file"),
        ("runs/bm25.trec", "runs: no run"),
    ],
)
def test_a_missing_file_is_one_clear_line(folder: Path, run: Run, broken: str, said: str) -> None:
    (folder / broken).unlink()
    done = run("evaluate", folder)
    assert (done.status, done.out) == (1, "")
    assert said in done.err
    assert done.err.count("\n") == 1


def test_a_run_that_is_not_there_is_one_clear_line(folder: Path, run: Run) -> None:
    done = run("evaluate", folder, "--run", "dense.trec")
    assert done.status == 1
    assert "dense.trec: no such run" in done.err
    assert done.err.count("\n") == 1


@pytest.mark.parametrize(
    "option", [("--depth", 0), ("--sample", 0), ("--relevant-from", 0), ("--budget-ms", -1)]
)
def test_a_number_that_makes_no_sense_is_wrong_use(folder: Path, run: Run, option: tuple[str, int]) -> None:
    done = run("evaluate", folder, *option)
    assert done.status == 2
    assert option[0] in done.err


@pytest.mark.usefixtures("no_model")
def test_a_model_that_cannot_be_loaded_is_one_clear_line(folder: Path, run: Run) -> None:
    done = run("evaluate", folder)
    assert (done.status, done.out) == (1, "")
    assert "model.onnx: is not there" in done.err


@pytest.mark.threads
@pytest.mark.usefixtures("fake")
def test_depths_and_budgets_are_evaluated_together_and_compared(folder: Path, run: Run) -> None:
    options = ("--depth", 1, "--depth", 2, "--budget-ms", "none", "--budget-ms", 60000)
    result = run("evaluate", folder, "--json", *options).json
    names = [system["name"] for system in result["systems"]]
    assert names == [f"fake, depth {d}, {b}" for d in (1, 2) for b in ("no limit", "60000 ms")]
    assert len(result["pairs"]) == 6
    shown = run("evaluate", folder, *options)
    assert all(name in shown.out for name in ("retrieval order", *names))


@pytest.mark.threads
@pytest.mark.usefixtures("fake")
def test_a_report_is_written_as_markdown_and_as_a_picture(folder: Path, run: Run, tmp_path: Path) -> None:
    done = run("evaluate", folder, "--markdown", tmp_path / "r.md", "--svg", tmp_path / "r.svg")
    assert done.status == 0
    assert (tmp_path / "r.md").read_text().startswith("# tiny")
    assert (tmp_path / "r.svg").read_text().startswith("<svg")


@pytest.mark.threads
@pytest.mark.usefixtures("fake")
def test_a_baseline_fails_when_quality_fell_and_passes_when_it_did_not(
    folder: Path, run: Run, tmp_path: Path
) -> None:
    report = run("evaluate", folder, "--json").json
    path = tmp_path / "baseline.json"
    path.write_text(json.dumps(report))
    assert run("evaluate", folder, "--baseline", path).status == 0
    report["reranked"]["mrr@10"] = 1.5
    path.write_text(json.dumps(report))
    fallen = run("evaluate", folder, "--baseline", path)
    assert fallen.status == 1
    assert "mrr@10 of fake at depth 24, no limit fell from 1.5000 to 1.0000" in fallen.err
    assert run("evaluate", folder, "--baseline", path, "--tolerance", 0.6).status == 0


def test_a_baseline_that_is_not_there_is_said_before_anything_is_loaded(folder: Path, run: Run) -> None:
    done = run("evaluate", folder, "--baseline", "gone.json")
    assert (done.status, done.out) == (2, "")
    assert "gone.json" in done.err


@pytest.mark.threads
@pytest.mark.usefixtures("fake")
@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--rate", 2), "--at-budgets"),
        (("--live", 50), "--at-budgets"),
        (("--at-budgets", "--depth", 2, "--depth", 4), "--depth"),
        (("--at-budgets", "--rate", 0), "--rate"),
        (("--at-budgets", "--baseline", "x.json"), "--baseline"),
    ],
)
def test_options_that_do_not_go_together_are_wrong_use(
    folder: Path, run: Run, options: tuple[object, ...], said: str
) -> None:
    done = run("evaluate", folder, *options)
    assert done.status == 2
    assert said in done.err


def test_a_measure_that_is_none_is_one_clear_line(folder: Path, run: Run) -> None:
    done = run("evaluate", folder, "--measure", "bleu@4")
    assert done.status != 0
    assert "bleu@4" in done.err


@pytest.mark.threads
@pytest.mark.usefixtures("fake")
def test_a_file_that_cannot_be_written_is_one_clear_line(folder: Path, run: Run) -> None:
    done = run("evaluate", folder, "--markdown", folder / "none" / "r.md")
    assert done.status == 1
    assert "r.md cannot be written" in done.err
