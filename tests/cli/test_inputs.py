from pathlib import Path

import pytest

from rerankd.cli.inputs import read_candidates, read_requests
from rerankd.errors import InvalidRequest, RerankdError


def write(folder: Path, content: bytes) -> Path:
    file = folder / "in.txt"
    file.write_bytes(content)
    return file


def test_plain_lines_are_texts_whose_ids_are_their_positions(tmp_path: Path) -> None:
    found = read_candidates(write(tmp_path, "\ufeffone\r\n\n  \ntwo [not JSON]\n".encode()))
    assert [(each.id, str(each.text)) for each in found] == [(0, "one"), (1, "two [not JSON]")]


def test_json_lines_carry_id_score_and_metadata(tmp_path: Path) -> None:
    rows = b'{"id": "a", "text": "x", "score": 2, "metadata": [1], "more": 0}\n{"text": "y"}\n'
    first, second = read_candidates(write(tmp_path, rows))
    assert (first.id, str(first.text), first.score, first.metadata) == ("a", "x", 2.0, [1])
    assert (second.id, str(second.text), second.score, second.metadata) == (1, "y", None, None)


@pytest.mark.parametrize(
    ("rows", "line", "problem"),
    [
        (b'{"text": "a"}\nplain\n', 2, "is not valid JSON"),
        (b'{"text": "a"}\n[1]\n', 2, "is not a JSON object"),
        (b'{"text": "a"}\n\n{"text": 1}\n', 3, "needs a text, a string"),
        (b'{"id": 1}\n', 1, "needs a text, a string"),
        (b'{"id": true, "text": "a"}\n', 1, "id must be a string or a whole number"),
        (b'{"score": "high", "text": "a"}\n', 1, "score must be a number"),
        (b'{"id": 7, "text": "a"}\n{"id": 7, "text": "b"}\n', 2, "the id of line 1 again"),
        (b"good\n\xff\xfe\n", 2, "is not UTF-8"),
        (b'{"text": "a"}\n' + b"[" * 100_000 + b"\n", 2, "is not valid JSON"),
    ],
)
def test_a_wrong_line_is_named_by_its_number(tmp_path: Path, rows: bytes, line: int, problem: str) -> None:
    file = write(tmp_path, rows)
    with pytest.raises(InvalidRequest) as raised:
        read_candidates(file)
    assert str(raised.value) == f"{file} line {line}: {problem}"


def test_what_cannot_be_read_is_said(tmp_path: Path) -> None:
    with pytest.raises(RerankdError, match="cannot be read: Is a directory"):
        read_candidates(tmp_path)


def test_requests_have_a_query_and_candidates(tmp_path: Path) -> None:
    rows = b'{"query": "q", "candidates": ["a", {"text": "b", "id": 9}]}\n{"query": "r", "candidates": []}\n'
    first, second = read_requests(write(tmp_path, rows))
    assert (str(first.query), [str(each.text) for each in first.candidates]) == ("q", ["a", "b"])
    assert [each.id for each in first.candidates] == [0, 1]
    assert second.candidates == ()


@pytest.mark.parametrize(
    ("rows", "problem"),
    [
        (b"", "holds no request"),
        (b'{"candidates": []}\n', "line 1: needs a query"),
        (b'{"query": " ", "candidates": []}\n', "line 1: needs a query"),
        (b'{"query": "q"}\n', "line 1: needs candidates, a list"),
        (b'{"query": "q", "candidates": ["a", 1]}\n', r"line 1: candidates\[1\]: needs a text"),
    ],
)
def test_a_wrong_request_is_named_by_its_line(tmp_path: Path, rows: bytes, problem: str) -> None:
    with pytest.raises(InvalidRequest, match=problem):
        read_requests(write(tmp_path, rows))
