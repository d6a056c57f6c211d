"""Reads the user's texts and queries."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from rerankd.errors import ConfigError

__all__ = ["Passage", "read_queries", "read_texts"]

FEWEST = 200
"""Fewer texts teach a model nothing that it would remember."""
_SUFFIXES = (".txt", ".md", ".jsonl")
_LONGEST = 4_000
"""Characters; the rest of a text is beyond any model's window."""


@dataclass(frozen=True, slots=True)
class Passage:
    """A text, and what it is called, where it has a name."""

    title: str
    text: str


def read_texts(source: Path) -> list[Passage]:
    """Texts of a file or of all files in a folder: `.jsonl` with `text` and perhaps `title` a line, `.txt` and
    `.md` with one text a paragraph. Each text once. Raises `ConfigError` naming the file and the line.
    """
    if not source.exists():
        raise ConfigError(f"--texts: there is no {source}")
    files = [source]
    if source.is_dir():
        files = sorted(path for path in source.rglob("*") if path.suffix in _SUFFIXES)
    found = {passage.text: passage for path in files for passage in _read(path)}
    if len(found) < FEWEST:
        raise ConfigError(f"--texts: {source} has {len(found)} different texts; at least {FEWEST} are needed")
    return list(found.values())


def _read(path: Path) -> Iterator[Passage]:
    try:
        content = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"--texts: {path} cannot be read: {error}") from None
    if path.suffix == ".jsonl":
        yield from _rows(path, content)
        return
    title = ""
    for paragraph in content.split("\n\n"):
        text = " ".join(paragraph.split())
        if text.startswith("#"):
            title = text.lstrip("# ")
        elif len(text.split()) >= 5:
            yield Passage(title, text[:_LONGEST])


def _rows(path: Path, content: str) -> Iterator[Passage]:
    for number, line in enumerate(content.split("\n"), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError:
            raise ConfigError(f"--texts: {path}, line {number}: not JSON") from None
        if not isinstance(row, dict) or not isinstance(row.get("text"), str):
            raise ConfigError(f"--texts: {path}, line {number}: needs an object with a string in text")
        title = row.get("title")
        if row["text"].strip():
            yield Passage(title if isinstance(title, str) else "", row["text"][:_LONGEST])


def read_queries(path: Path) -> list[str]:
    """One query a line; of a `.jsonl` the `text` or `query` of each line. Each once. Raises `ConfigError` naming
    the file and the line.
    """
    try:
        lines = path.read_text(encoding="utf-8").split("\n")  # a line separator may stand in a JSON string
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"--queries: {path} cannot be read: {error}") from None
    if path.suffix == ".jsonl":
        lines = [_query(path, number, line) for number, line in enumerate(lines, 1) if line.strip()]
    return list(dict.fromkeys(line.strip() for line in lines if line.strip()))


def _query(path: Path, number: int, line: str) -> str:
    try:
        row = json.loads(line)
    except ValueError:
        raise ConfigError(f"--queries: {path}, line {number}: not JSON") from None
    query = (row.get("text") or row.get("query")) if isinstance(row, dict) else None
    if not isinstance(query, str):
        raise ConfigError(f"--queries: {path}, line {number}: needs an object with a string in text or query")
    return query
