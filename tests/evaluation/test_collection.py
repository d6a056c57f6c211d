"""Reading a collection in BEIR's layout, and saying in one line what is wrong with it."""

from pathlib import Path

import pytest

from rerankd.evaluation.collection import CollectionError, read_collection


def refusal(folder: Path) -> str:
    with pytest.raises(CollectionError) as caught:
        read_collection(folder)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_documents_queries_and_grades_are_read_in_the_order_of_their_files(folder: Path) -> None:
    collection = read_collection(folder)
    assert collection.name == "handmade"
    assert list(collection.documents) == ["tea", "coffee", "kettle", "bike", "tyre"]
    assert list(collection.queries) == ["q-tea", "q-bike", "q-none"]
    assert collection.judgements == {"q-tea": {"tea": 2, "kettle": 1, "bike": 0}, "q-bike": {"bike": 1}}
    assert collection.unjudged == 1


def test_a_title_stands_before_the_text_and_an_empty_one_leaves_no_blank(folder: Path) -> None:
    documents = read_collection(folder).documents
    assert documents["tea"].text == "Brewing Green tea wants water of eighty degrees."
    assert documents["bike"].text == "Oil the chain after rain."
    assert documents["tea"].metadata == {"kind": "note"}


def test_a_title_and_metadata_may_be_left_out(folder: Path) -> None:
    with (folder / "corpus.jsonl").open("a") as file:
        file.write('{"_id": "bare", "text": "only a text", "metadata": null}\n\n')
    entry = read_collection(folder).documents["bare"]
    assert (entry.text, entry.metadata) == ("only a text", {})


def test_judgements_without_a_header_line_are_read_too(folder: Path) -> None:
    (folder / "qrels" / "test.tsv").write_text("q-tea\ttea\t2\n")
    assert read_collection(folder).judgements == {"q-tea": {"tea": 2}}


def test_no_text_is_shown_when_a_collection_is_printed(folder: Path) -> None:
    collection = read_collection(folder)
    assert "eighty" not in repr(collection) + repr(collection.documents["tea"])


@pytest.mark.parametrize("name", ["corpus.jsonl", "queries.jsonl", "qrels/test.tsv"])
def test_a_missing_file_is_named(folder: Path, name: str) -> None:
    (folder / name).unlink()
    assert refusal(folder).endswith(f"{name}: no such file")


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    assert refusal(tmp_path / "nowhere").endswith("nowhere: no such folder")


@pytest.mark.parametrize("name", ["corpus.jsonl", "queries.jsonl"])
@pytest.mark.parametrize(
    "line",
    [
        "not json",
        '{"_id": "x"',
        '{"_id": "x"}',
        '{"text": "x"}',
        "[1]",
        '{"_id": 7, "text": "x"}',
        '{"_id": "x", "text": 1}',
    ],
)
def test_a_line_that_is_no_entry_is_named_by_its_number(folder: Path, name: str, line: str) -> None:
    path = folder / name
    path.write_text(line + "\n" + path.read_text())
    assert f"{name} line 1: not a JSON object" in refusal(folder)


def test_an_id_that_appears_twice_is_named(folder: Path) -> None:
    with (folder / "corpus.jsonl").open("a") as file:
        file.write('{"_id": "tea", "text": "again"}\n')
    assert refusal(folder).endswith("line 6: the id 'tea' appears twice")


@pytest.mark.parametrize("name", ["corpus.jsonl", "queries.jsonl", "qrels/test.tsv"])
def test_an_empty_file_is_named(folder: Path, name: str) -> None:
    (folder / name).write_text("\n")
    assert name in refusal(folder)


def test_a_file_that_is_not_text_is_named(folder: Path) -> None:
    (folder / "corpus.jsonl").write_bytes(b"\xff\xfe\x00")
    assert refusal(folder).endswith("corpus.jsonl: cannot be read (UnicodeDecodeError)")


@pytest.mark.parametrize("line", ["q-tea tea 1", "q-tea\ttea", "q-tea\t0\ttea\t1"])
def test_a_judgement_without_three_columns_is_refused(folder: Path, line: str) -> None:
    with (folder / "qrels" / "test.tsv").open("a") as file:
        file.write(line + "\n")
    assert "line 6: query-id, corpus-id and score" in refusal(folder)


def test_a_grade_that_is_no_whole_number_is_refused(folder: Path) -> None:
    with (folder / "qrels" / "test.tsv").open("a") as file:
        file.write("q-tea\ttea\thigh\n")
    assert "line 6: the score must be a whole number" in refusal(folder)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("q-lost\ttea\t1", "1 of 3 judged queries are not in queries.jsonl (the first: 'q-lost')"),
        ("q-tea\tlost\t1", "1 of 4 judged documents are not in corpus.jsonl (the first: 'lost')"),
    ],
)
def test_a_judged_id_that_does_not_resolve_is_named(folder: Path, line: str, said: str) -> None:
    with (folder / "qrels" / "test.tsv").open("a") as file:
        file.write(line + "\n")
    assert said in refusal(folder)
