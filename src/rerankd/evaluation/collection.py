"""A judged test collection in BEIR's layout.

FOLDER/corpus.jsonl      {"_id", "title", "text", "metadata"} a line; title and metadata may be left out
FOLDER/queries.jsonl     {"_id", "text", "metadata"} a line
FOLDER/qrels/test.tsv    query-id, corpus-id, score (an integer grade), with a header line
FOLDER/runs/*.trec       first-stage orders, read by `rerankd.evaluation.run`
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rerankd.core.types import Text
from rerankd.errors import RerankdError

__all__ = ["Collection", "CollectionError", "Entry", "read_collection"]


class CollectionError(RerankdError):
    """A test collection or a run cannot be used; the message names the file, the line or the id."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A document or a query."""

    id: str
    text: Text
    """A document's title, if it has one, a blank and its text, as BEIR's own evaluation feeds them."""
    metadata: Mapping[str, Any] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Collection:
    """Documents, queries and judgements, each by id, in the order of their files."""

    name: str
    documents: Mapping[str, Entry] = field(repr=False)
    queries: Mapping[str, Entry] = field(repr=False)
    judgements: Mapping[str, Mapping[str, int]] = field(repr=False)
    """Query id → document id → grade. Every id in it resolves."""

    @property
    def unjudged(self) -> int:
        """How many queries have no judgement; nothing can be measured on them."""
        return len(self.queries) - len(self.judgements)


def read_collection(folder: Path) -> Collection:
    """Read and check a collection. Raises `CollectionError` with one line that says what is wrong."""
    if not folder.is_dir():
        raise CollectionError(f"{folder}: no such folder")
    documents = _read_entries(folder / "corpus.jsonl", titled=True)
    queries = _read_entries(folder / "queries.jsonl", titled=False)
    qrels = folder / "qrels" / "test.tsv"
    judgements = _read_judgements(qrels)
    _resolve(qrels, "queries", judgements, queries, "queries.jsonl")
    judged = {document: None for grades in judgements.values() for document in grades}
    _resolve(qrels, "documents", judged, documents, "corpus.jsonl")
    return Collection(name=folder.resolve().name, documents=documents, queries=queries, judgements=judgements)


def lines(path: Path) -> Iterator[tuple[int, str]]:
    """The lines of a text file that are not blank, with their numbers from 1."""
    try:
        with path.open(encoding="utf-8") as file:
            for number, line in enumerate(file, 1):
                if line.strip():
                    yield number, line.rstrip("\r\n")
    except FileNotFoundError:
        raise CollectionError(f"{path}: no such file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise CollectionError(f"{path}: cannot be read ({type(error).__name__})") from None


def _read_entries(path: Path, *, titled: bool) -> dict[str, Entry]:
    entries: dict[str, Entry] = {}
    for number, line in lines(path):
        entry = _entry(line, titled=titled)
        if entry is None:
            raise CollectionError(f'{path} line {number}: not a JSON object with "_id" and "text" strings')
        if entry.id in entries:
            raise CollectionError(f"{path} line {number}: the id {entry.id!r} appears twice")
        entries[entry.id] = entry
    if not entries:
        raise CollectionError(f"{path}: empty")
    return entries


def _entry(line: str, *, titled: bool) -> Entry | None:
    try:
        row = json.loads(line)
    except ValueError:
        return None
    if not isinstance(row, dict):
        return None
    key, text, title, metadata = row.get("_id"), row.get("text"), row.get("title"), row.get("metadata")
    if not isinstance(key, str) or not isinstance(text, str):
        return None
    if titled and isinstance(title, str) and title:
        text = f"{title} {text}"
    return Entry(id=key, text=Text(text), metadata=metadata if isinstance(metadata, dict) else {})


def _read_judgements(path: Path) -> dict[str, dict[str, int]]:
    judgements: dict[str, dict[str, int]] = {}
    for number, line in lines(path):
        fields = line.split("\t")
        if len(fields) != 3:
            raise CollectionError(f"{path} line {number}: query-id, corpus-id and score, by tabs, are needed")
        query, document, grade = fields
        try:
            judgements.setdefault(query, {})[document] = int(grade)
        except ValueError:
            if number == 1:  # the header, which BEIR's own files have and hand-made ones may not
                judgements.clear()
                continue
            raise CollectionError(f"{path} line {number}: the score must be a whole number") from None
    if not judgements:
        raise CollectionError(f"{path}: no judgements")
    return judgements


def _resolve(
    path: Path, what: str, wanted: Mapping[str, object], known: Mapping[str, Entry], where: str
) -> None:
    missing = [key for key in wanted if key not in known]
    if missing:
        raise CollectionError(
            f"{path}: {len(missing):,} of {len(wanted):,} judged {what} are not in {where}"
            f" (the first: {missing[0]!r})"
        )
