"""Choosing and reading a TREC run, and refusing one that does not fit its collection."""

from pathlib import Path

import pytest

from rerankd.evaluation.collection import CollectionError, read_collection
from rerankd.evaluation.run import choose_run, read_run


def refusal(folder: Path, text: str) -> str:
    path = folder / "runs" / "bm25.trec"
    path.write_text(text)
    with pytest.raises(CollectionError) as caught:
        read_run(path, read_collection(folder))
    return str(caught.value)


def test_bm25_is_chosen_when_it_is_there(folder: Path) -> None:
    (folder / "runs" / "another.trec").write_text("")
    assert choose_run(folder).name == "bm25.trec"


def test_the_only_run_is_chosen(folder: Path) -> None:
    (folder / "runs" / "bm25.trec").rename(folder / "runs" / "dense.trec")
    assert choose_run(folder).name == "dense.trec"


def test_among_several_runs_without_bm25_nobody_guesses(folder: Path) -> None:
    (folder / "runs" / "bm25.trec").rename(folder / "runs" / "dense.trec")
    (folder / "runs" / "sparse.trec").write_text("")
    with pytest.raises(CollectionError, match=r"choose one with --run; .* has dense\.trec, sparse\.trec"):
        choose_run(folder)


def test_no_run_at_all_is_said(folder: Path) -> None:
    (folder / "runs" / "bm25.trec").unlink()
    with pytest.raises(CollectionError, match="no run"):
        choose_run(folder)


@pytest.mark.parametrize("given", ["runs/bm25.trec", "bm25.trec", "bm25"])
def test_a_run_is_given_by_path_or_by_its_name_in_the_folder(
    folder: Path, given: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    assert choose_run(folder, Path(given)).resolve() == folder / "runs" / "bm25.trec"


def test_a_given_run_that_is_not_there_is_named_with_those_that_are(folder: Path) -> None:
    with pytest.raises(CollectionError, match=r"dense: no such run; .* has bm25\.trec"):
        choose_run(folder, Path("dense"))


def test_the_order_is_by_score_and_rank_decides_between_equal_scores(folder: Path) -> None:
    path = folder / "runs" / "bm25.trec"
    path.write_text("q-tea Q0 bike 3 1.5 x\nq-tea Q0 tea 2 7 x\nq-tea Q0 coffee 1 7 x\nq-tea Q0 tyre 9 1e9\n")
    run = read_run(path, read_collection(folder))
    assert run.name == "bm25"
    assert run.orders == {"q-tea": ("tyre", "coffee", "tea", "bike")}


@pytest.mark.parametrize("line", ["q-tea tea 1", "q-tea Q0 tea one 1.0 x", "q-tea Q0 tea 1 nan x", "{}"])
def test_a_line_that_is_no_run_line_is_named_by_its_number(folder: Path, line: str) -> None:
    assert "bm25.trec line 2" in refusal(folder, f"q-tea Q0 coffee 1 9 x\n{line}\n")


def test_a_document_twice_for_one_query_is_refused(folder: Path) -> None:
    text = "q-tea Q0 tea 1 9 x\nq-bike Q0 tea 1 9 x\nq-tea Q0 tea 2 8 x\n"
    assert "line 3: 'tea' appears twice for query 'q-tea'" in refusal(folder, text)


def test_an_empty_run_is_refused(folder: Path) -> None:
    assert refusal(folder, "").endswith("bm25.trec: empty")


def test_a_run_of_another_collection_is_recognised(folder: Path) -> None:
    assert "it belongs to another collection" in refusal(folder, "1 Q0 2 1 9 x\n")


def test_a_query_that_does_not_resolve_is_named(folder: Path) -> None:
    said = refusal(folder, "q-tea Q0 tea 1 9 x\nq-lost Q0 tea 1 9 x\n")
    assert "1 of 2 queries are not in queries.jsonl (the first: 'q-lost')" in said


def test_a_document_that_does_not_resolve_is_named_with_its_query(folder: Path) -> None:
    said = refusal(folder, "q-tea Q0 tea 1 9 x\nq-tea Q0 lost 2 8 x\n")
    assert "1 of 2 documents are not in corpus.jsonl (the first: 'lost', for query 'q-tea')" in said


def test_a_run_of_unjudged_queries_only_is_refused(folder: Path) -> None:
    assert "none of its 1 queries is judged" in refusal(folder, "q-none Q0 tea 1 9 x\n")


def test_runs_are_told_apart_by_their_orders_and_not_by_scores_or_tags(folder: Path) -> None:
    path, collection = folder / "runs" / "bm25.trec", read_collection(folder)

    def digest(text: str) -> str:
        path.write_text(text)
        return read_run(path, collection).digest()

    first = digest("q-tea Q0 tea 1 9 x\nq-tea Q0 bike 2 8 x\nq-bike Q0 bike 1 9 x\n")
    assert first == digest("q-bike Q0 bike 1 3 y\nq-tea Q0 tea 1 2.5 y\nq-tea Q0 bike 2 1 y\n")
    assert first != digest("q-tea Q0 bike 1 9 x\nq-tea Q0 tea 2 8 x\nq-bike Q0 bike 1 9 x\n")
    assert first != digest("q-tea Q0 tea 1 9 x\nq-tea Q0 bike 2 8 x\n")
