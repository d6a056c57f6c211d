import json
from pathlib import Path

import pytest

from rerankd.distill import texts
from rerankd.distill.texts import Passage, read_queries, read_texts
from rerankd.errors import ConfigError


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(texts, "FEWEST", 1)


def test_a_paragraph_is_a_text_and_a_heading_is_the_title_of_what_follows(tmp_path: Path) -> None:
    path = tmp_path / "a.md"
    path.write_text(
        "Before all headings there is this.\n\n## Tyres\n\nA flat tyre\nis changed by the road.\n\nToo short.\n\n"
        "A flat tyre is changed by the road.\n",
        encoding="utf-8",
    )
    assert read_texts(path) == [
        Passage("", "Before all headings there is this."),
        Passage("Tyres", "A flat tyre is changed by the road."),
    ]


def test_a_folder_is_read_in_the_order_of_its_names_and_each_text_once(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    long = "x" * 5_000
    rows: list[dict[str, object]] = [{"text": "one", "title": "A"}, {"text": " "}, {"text": long, "title": 3}]
    (tmp_path / "a.jsonl").write_text("\n\n".join(map(json.dumps, rows)), encoding="utf-8")
    (tmp_path / "b.txt").write_text("this one has five words", encoding="utf-8")
    (tmp_path / "c.csv").write_text("this is not looked at here", encoding="utf-8")
    (tmp_path / "sub" / "d.jsonl").write_text('{"text": "one", "title": "B"}\n', encoding="utf-8")
    assert read_texts(tmp_path) == [
        Passage("B", "one"),
        Passage("", "x" * 4_000),
        Passage("", "this one has five words"),
    ]


@pytest.mark.parametrize(
    ("content", "said"),
    [("{", "line 1: not JSON"), ('{"text": "a"}\n[]', "line 2: needs an object with a string in text")],
)
def test_texts_that_cannot_be_read_are_named(tmp_path: Path, content: str, said: str) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(ConfigError, match=f"--texts: .*jsonl, {said}"):
        read_texts(path)
    (tmp_path / "b.txt").write_bytes(b"\xff")
    with pytest.raises(ConfigError, match=r"--texts: .*b\.txt cannot be read"):
        read_texts(tmp_path / "b.txt")


def test_queries_are_lines_or_fields_and_each_is_taken_once(tmp_path: Path) -> None:
    lines = tmp_path / "a.txt"
    lines.write_text("one\r\n\n two \none\n", encoding="utf-8")
    assert read_queries(lines) == ["one", "two"]
    rows = tmp_path / "a.jsonl"
    rows.write_text('{"text": "one"}\n\n{"query": "t\u2028wo", "text": ""}\n', encoding="utf-8")
    assert read_queries(rows) == ["one", "t\u2028wo"]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("why", "not JSON"),
        ('{"query": 5}', "needs an object with a string in text or query"),
        ('{"text": ["a"]}', "needs an object with a string in text or query"),
        ('{"title": "a"}', "needs an object with a string in text or query"),
        ('["a"]', "needs an object with a string in text or query"),
        ("5", "needs an object with a string in text or query"),
    ],
)
def test_a_query_that_is_none_is_named(tmp_path: Path, line: str, said: str) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(f'{{"query": "one"}}\n\n{line}\n', encoding="utf-8")
    with pytest.raises(ConfigError, match=rf"--queries: .*a\.jsonl, line 3: {said}"):
        read_queries(path)
    with pytest.raises(ConfigError, match=r"--queries: .*nowhere cannot be read"):
        read_queries(tmp_path / "nowhere")
