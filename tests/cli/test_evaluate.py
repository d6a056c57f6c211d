"""`rerankd evaluate` prints what was measured, and one line where nothing can be."""

import json
import sys
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any
from xml.etree import ElementTree

import pytest

import rerankd
from rerankd.core.ports import Model
from rerankd.core.types import Pair
from rerankd.reranker import Reranker
from rerankd.settings import Settings
from rerankd.testing import FakeClock, FakeScorer, FakeTokenizer, fake_reranker, word_overlap
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


@pytest.mark.threads
@pytest.mark.usefixtures("fake")
def test_a_baseline_that_was_made_otherwise_is_refused_and_an_older_one_is_noted(
    folder: Path, run: Run, tmp_path: Path
) -> None:
    report = run("evaluate", folder, "--json").json
    path = tmp_path / "baseline.json"
    path.write_text(json.dumps(report))
    refused = run("evaluate", folder, "--baseline", path, "--relevant-from", 2)
    assert refused.status == 2
    assert "baseline: its relevant_from is 1, this report's 2" in refused.err
    (folder / "runs" / "bm25.trec").write_text("q1 Q0 bike 1 2 x\nq1 Q0 tea 2 1 x\nq2 Q0 bike 1 2 x\n")
    refused = run("evaluate", folder, "--baseline", path)
    assert refused.status == 2
    assert "baseline: its run is 'bm25.trec' (digest" in refused.err
    for name in ("run", "relevant_from", "group", "sample"):
        del report[name]
    path.write_text(json.dumps(report))
    older = run("evaluate", folder, "--baseline", path)
    assert older.status == 0
    assert "the baseline does not say its run, relevant_from, group, sample" in older.err


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


# -- quality at budget, in virtual time -----------------------------------------------------------------------


class Pace:
    """What a pair's run takes."""

    seconds = 0.01


@pytest.fixture
def timed(monkeypatch: pytest.MonkeyPatch) -> Pace:
    """Models whose runs take their time by a clock of their own; `--live` asks fakes in real time."""
    clock, pace = FakeClock(), Pace()

    def score(pair: Pair) -> float:
        clock.advance(pace.seconds)
        return word_overlap(pair)

    def load(policy: Any, data_dir: Path) -> Model:
        scorer = FakeScorer(score, model=f"owner/{policy.model}")
        return Model(scorer=scorer, tokenizer=FakeTokenizer(), max_tokens=64)

    def opened(model: str | None = None, *, settings: Settings, **_: Any) -> Reranker:
        return fake_reranker(FakeScorer(model=f"owner/{model}"))

    monkeypatch.setattr("rerankd.wiring.load_model", load)
    monkeypatch.setattr("rerankd.engine.clock.SystemClock", lambda: clock)
    monkeypatch.setattr(rerankd, "open", opened)
    return pace


BUDGETS = ("--budget-ms", 5, "--budget-ms", 500, "--budget-ms", "none")


@pytest.mark.threads
@pytest.mark.usefixtures("timed")
def test_at_budgets_the_json_has_a_curve_for_each_model_and_what_a_cascade_gains(
    folder: Path, run: Run
) -> None:
    models = ("--model", "small", "--model", "large", "--model", "small+large")
    done = run("evaluate", folder, "--at-budgets", "--json", "--rate", 2, *BUDGETS, *models)
    assert done.status == 0
    result = done.json
    assert (result["dataset"], result["queries"], result["depth"]) == ("tiny", 2, 24)
    assert [each["model"] for each in result["curves"]] == [
        "owner/small",
        "owner/large",
        "owner/small+owner/large",
    ]
    for each in result["curves"]:
        assert (each["measure"], each["rate"], each["retrieval"]) == ("ndcg@10", 2.0, 0.6309)
        short, long, unlimited = each["points"]
        assert [point["budget_ms"] for point in each["points"]] == [5, 500, None]
        assert (short["value"], short["outcomes"]["skipped"]) == (0.6309, 1.0)
        assert (long["value"], long["depth"]) == (1.0, 2.0)
        assert unlimited["outcomes"] == {"reranked": 1.0, "partial": 0.0, "skipped": 0.0}
    assert [point["refined_depth"] for point in result["curves"][2]["points"]] == [0.0, 2.0, 2.0]
    assert [each["model"] for each in result["contests"]] == ["owner/small+owner/large"] * 3
    assert "live" not in result
    assert result["notes"] == ["1 queries have no judgement and are left out."]
    assert result["notes"][0] in done.err


@pytest.mark.threads
@pytest.mark.usefixtures("timed")
def test_at_budgets_table_markdown_and_picture_show_what_answers_there_are(
    folder: Path, run: Run, tmp_path: Path
) -> None:
    page, picture = tmp_path / "r.md", tmp_path / "r.svg"
    models = ("--model", "small", "--model", "small+large")
    done = run(
        *("evaluate", folder, "--at-budgets", "--rate", 2, "--measure", "mrr@10", *BUDGETS, *models),
        *("--markdown", page, "--svg", picture),
    )
    assert done.status == 0
    assert "tiny: mrr@10 at each budget" in done.out
    rows = {line.split()[0]: line.split() for line in done.out.splitlines() if "%" in line}
    assert " ".join(rows["5"]) == "5 ms 0.500 0.0 0/0/100 % 0.500 0.0 0.0 0/0/100 %"
    assert " ".join(rows["none"]) == "none 1.000 2.0 100/0/0 % 1.000 2.0 2.0 100/0/0 %"
    assert "answers: reranked/partial/skipped" in done.out
    assert "none: small+large over small +0.000" in done.out
    assert "1 queries have no judgement and are left out." in done.err
    text = page.read_text()
    assert text.startswith("# tiny\n\nmrr@10 at 2.00 requests a second; retrieval order 0.500.")
    assert "| 5 ms | 0.500 | 0.0 | 0% | 0% | 100% |" in text
    assert text.endswith("- 1 queries have no judgement and are left out.\n")
    assert ElementTree.fromstring(picture.read_text()).tag.endswith("svg")


@pytest.mark.threads
@pytest.mark.usefixtures("timed")
def test_at_budgets_and_without_them_a_query_without_candidates_counts_the_same(
    folder: Path, run: Run
) -> None:
    (folder / "runs" / "bm25.trec").write_text("q1 Q0 bike 1 2 x\nq1 Q0 tea 2 1 x\n")
    plain = run("evaluate", folder, "--json").json
    replayed = run("evaluate", folder, "--at-budgets", "--json", "--budget-ms", "none").json
    (found,) = replayed["curves"]
    assert found["retrieval"] == plain["retrieval"]["ndcg@10"] == pytest.approx(0.6309 / 2, abs=1e-4)
    assert found["points"][0]["value"] == plain["reranked"]["ndcg@10"] == 0.5
    assert replayed["queries"] == plain["queries"] == 2
    assert replayed["notes"] == plain["notes"]
    assert "1 judged queries have no line in the run and count as 0." in plain["notes"]


@pytest.mark.threads
def test_at_budgets_the_same_is_asked_in_real_time(folder: Path, run: Run, timed: Pace) -> None:
    timed.seconds = 0.0001  # so that a rate at which 200 requests are soon over can be met
    options = ("--at-budgets", "--model", "small", "--rate", 2_000, "--live", 60_000, "--budget-ms", 60_000)
    done = run("evaluate", folder, "--json", *options)
    (live,) = done.json["live"]
    assert (live["model"], live["budget_ms"], live["value"]) == ("owner/small", 60_000, 1.0)
    assert (live["depth"], live["refined_depth"]) == (2.0, 0.0)
    assert live["outcomes"] == {"reranked": 1.0, "partial": 0.0, "skipped": 0.0}
    shown = run("evaluate", folder, *options).out
    assert "owner/small, asked in real time with 60000 ms: ndcg@10 1.000 (replayed 1.000), depth 2.0" in shown


@pytest.mark.threads
@pytest.mark.usefixtures("timed")
def test_at_budgets_a_query_is_ranked_within_its_group(folder: Path, run: Run) -> None:
    for name, groups in (("corpus", {"tea": 1, "bike": 2}), ("queries", {"q1": 1, "q2": 2, "q3": 1})):
        path = folder / f"{name}.jsonl"
        rows = [json.loads(line) for line in path.read_text().splitlines()]
        path.write_text(
            "".join(json.dumps({**row, "metadata": {"chat": groups[row["_id"]]}}) + "\n" for row in rows)
        )
    options = ("--at-budgets", "--budget-ms", "none", "--group", "chat")
    result = run("evaluate", folder, "--json", *options).json
    assert result["curves"][0]["retrieval"] == 1.0
    assert result["curves"][0]["points"][0]["depth"] == 1.0
    assert "2 documents of the run belong to another chat than their query" in " ".join(result["notes"])
    refused = run("evaluate", folder, "--at-budgets", "--group", "none")
    assert refused.status == 2
    assert "has no 'none' in its metadata" in refused.err


@pytest.mark.usefixtures("timed")
def test_at_budgets_auto_is_no_model_to_compare(folder: Path, run: Run) -> None:
    done = run("evaluate", folder, "--at-budgets", "--model", "auto")
    assert (done.status, done.out) == (2, "")
    assert "name the models to compare" in " ".join(done.err.split())


# -- ir_datasets ----------------------------------------------------------------------------------------------


class Catalogued:
    """A collection as the package hands it out: the folder's, with a first stage of its own."""

    def __init__(self, scored: Iterable[tuple[str, str, float]] = ()) -> None:
        self.scored = list(scored)
        self.lost: Exception | None = None
        """What its downloader raises."""

    def has_docs(self) -> bool:
        return True

    has_queries = has_qrels = has_docs

    def has_scoreddocs(self) -> bool:
        return bool(self.scored)

    def queries_iter(self) -> Iterable[Any]:
        if self.lost is not None:
            raise self.lost
        for key, text in (("q1", "green tea"), ("q2", "bike chain"), ("q3", "x")):
            yield SimpleNamespace(query_id=key, default_text=lambda text=text: text)

    def qrels_iter(self) -> Iterable[Any]:
        for query, document in (("q1", "tea"), ("q2", "bike")):
            yield SimpleNamespace(query_id=query, doc_id=document, relevance=1)

    def scoreddocs_iter(self) -> Iterable[Any]:
        for query, document, score in self.scored:
            yield SimpleNamespace(query_id=query, doc_id=document, score=score)

    def docs_store(self) -> Any:
        texts = {"tea": "green tea leaves", "bike": "oil the bike chain"}
        found = {key: SimpleNamespace(default_text=lambda text=text: text) for key, text in texts.items()}
        return SimpleNamespace(get_many=lambda wanted: {key: found[key] for key in wanted if key in found})


@pytest.fixture
def catalogued(monkeypatch: pytest.MonkeyPatch) -> Catalogued:
    """The package, with `made/tiny` as all that it knows."""
    made = Catalogued([("q1", "tea", 1.0), ("q1", "bike", 2.0), ("q2", "tea", 2.0), ("q2", "bike", 1.0)])
    module = ModuleType("ir_datasets")
    module.load = {"made/tiny": made}.__getitem__  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "ir_datasets", module)
    return made


@pytest.mark.threads
@pytest.mark.usefixtures("fake", "catalogued")
def test_an_id_of_ir_datasets_is_evaluated_with_its_own_scored_documents(run: Run) -> None:
    result = run("evaluate", "ir_datasets:made/tiny", "--json").json
    assert (result["dataset"], result["queries"], result["run"]["file"]) == ("made/tiny", 2, "scoreddocs")
    assert (result["retrieval"]["mrr@10"], result["reranked"]["mrr@10"]) == (0.5, 1.0)
    assert "first 24 of scoreddocs" in run("evaluate", "ir_datasets:made/tiny").out


@pytest.mark.threads
@pytest.mark.usefixtures("fake", "catalogued")
def test_an_id_of_ir_datasets_is_evaluated_with_a_run_that_is_given(folder: Path, run: Run) -> None:
    path = folder / "runs" / "bm25.trec"
    own = run("evaluate", "ir_datasets:made/tiny", "--run", path, "--json").json
    assert own["run"] == run("evaluate", folder, "--json").json["run"]


@pytest.mark.parametrize("lost", [OSError("no route"), RuntimeError("pages of advice")])
def test_data_that_are_not_to_be_had_are_one_clear_line(
    catalogued: Catalogued, run: Run, lost: Exception
) -> None:
    catalogued.lost = lost
    done = run("evaluate", "ir_datasets:made/tiny")
    assert (done.status, done.out) == (1, "")
    assert done.err == (
        f"rerankd: ir_datasets:made/tiny: its data are not to be had ({type(lost).__name__})\n"
    )


def test_a_query_that_is_not_in_the_collection_is_named_by_an_id_as_by_a_folder(
    catalogued: Catalogued, folder: Path, run: Run
) -> None:
    path = folder / "runs" / "bm25.trec"
    path.write_text(path.read_text() + "q9 Q0 tea 1 1 x\n")
    for arguments in ((folder,), ("ir_datasets:made/tiny", "--run", path)):
        done = run("evaluate", *arguments)
        assert (done.status, done.out) == (1, "")
        assert "1 of 3 queries are not in" in done.err
        assert "(the first: 'q9')" in done.err
    catalogued.scored.append(("q8", "tea", 1.0))
    assert "scoreddocs: 1 of 3 queries are not in made/tiny" in run("evaluate", "ir_datasets:made/tiny").err


@pytest.mark.usefixtures("catalogued")
def test_an_id_that_the_catalogue_does_not_have_is_one_clear_line(run: Run) -> None:
    done = run("evaluate", "ir_datasets:made/none")
    assert (done.status, done.err) == (1, "rerankd: ir_datasets:made/none: no such id in the catalogue\n")
