"""Reads what the commands are given: candidates, memories, requests for `bench`. Names wrong lines by number."""

import json
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from rerankd.core.types import Candidate, CandidateId, Text
from rerankd.errors import InvalidRequest, RerankdError

__all__ = ["NewMemory", "Request", "read_candidates", "read_memories", "read_requests"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A query with its candidates."""

    query: Text
    candidates: tuple[Candidate, ...]


def read_candidates(path: Path) -> list[Candidate]:
    """One text a line; or, when the first line begins with `{`, one JSON object a line with `text` and, where they
    are known, `id`, `score` and `metadata`. Blank lines are left out; without an id the position is the id.

    `-` is standard input. Raises `InvalidRequest` naming the line, never quoting it.
    """
    found: list[Candidate] = []
    seen: dict[CandidateId, int] = {}
    as_json: bool | None = None
    for number, line in _lines(path):
        if as_json is None:
            as_json = line.lstrip().startswith("{")
        position = len(found)
        if as_json:
            candidate = _candidate(position, _object(line, f"{_name(path)} line {number}"), number, path)
        else:
            candidate = Candidate(id=position, text=Text(line))
        first = seen.setdefault(candidate.id, number)
        if first != number:
            raise InvalidRequest(f"{_name(path)} line {number}", f"the id of line {first} again")
        found.append(candidate)
    return found


def read_requests(path: Path) -> list[Request]:
    """One JSON object a line with `query` and `candidates`, a list of texts or of objects with `text`."""
    found = []
    for number, line in _lines(path):
        where = f"{_name(path)} line {number}"
        row = _object(line, where)
        query, candidates = row.get("query"), row.get("candidates")
        if not isinstance(query, str) or not query.strip():
            raise InvalidRequest(where, "needs a query, a string that is not empty")
        if not isinstance(candidates, list):
            raise InvalidRequest(where, "needs candidates, a list")
        found.append(
            Request(
                query=Text(query),
                candidates=tuple(
                    Candidate(id=position, text=Text(_text(each, f"{where}: candidates[{position}]")))
                    for position, each in enumerate(candidates)
                ),
            )
        )
    if not found:
        raise InvalidRequest(_name(path), "holds no request")
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class NewMemory:
    """A text to remember."""

    text: Text
    metadata: Mapping[str, Any] | None
    created_at: datetime | None


def read_memories(path: Path) -> list[NewMemory]:
    """One text a line; or one JSON object a line with `text` and, where they are known, `metadata` (an object) and
    `created_at` (ISO 8601 with a time zone).

    Raises `InvalidRequest` naming the line, never quoting it.
    """
    found: list[NewMemory] = []
    as_json: bool | None = None
    for number, line in _lines(path):
        if as_json is None:
            as_json = line.lstrip().startswith("{")
        where = f"{_name(path)} line {number}"
        if not as_json:
            found.append(NewMemory(text=Text(line), metadata=None, created_at=None))
            continue
        row = _object(line, where)
        metadata = row.get("metadata")
        if metadata is not None and not isinstance(metadata, Mapping):
            raise InvalidRequest(where, "metadata must be a JSON object")
        found.append(
            NewMemory(
                text=Text(_text(row, where)),
                metadata=metadata,
                created_at=_moment(row.get("created_at"), where),
            )
        )
    if not found:
        raise InvalidRequest(_name(path), "holds no text")
    return found


def _moment(value: object, where: str) -> datetime | None:
    if value is None:
        return None
    try:
        moment = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        moment = None
    if moment is None or moment.utcoffset() is None:
        raise InvalidRequest(where, "created_at must be ISO 8601 with a time zone, as 2026-05-01T12:00:00Z")
    return moment


def _candidate(position: int, row: Mapping[str, Any], number: int, path: Path) -> Candidate:
    where = f"{_name(path)} line {number}"
    identity, score = row.get("id"), row.get("score")
    if identity is not None and (isinstance(identity, bool) or not isinstance(identity, str | int)):
        raise InvalidRequest(where, "id must be a string or a whole number")
    if score is not None and (isinstance(score, bool) or not isinstance(score, int | float)):
        raise InvalidRequest(where, "score must be a number")
    return Candidate(
        id=position if identity is None else identity,
        text=Text(_text(row, where)),
        score=None if score is None else float(score),
        metadata=row.get("metadata"),
    )


def _text(value: object, where: str) -> str:
    text = value.get("text") if isinstance(value, Mapping) else value
    if not isinstance(text, str):
        raise InvalidRequest(where, "needs a text, a string")
    return text


def _object(line: str, where: str) -> Mapping[str, Any]:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        raise InvalidRequest(where, "is not valid JSON") from None
    if not isinstance(row, Mapping):
        raise InvalidRequest(where, "is not a JSON object")
    return row


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    try:
        if str(path) == "-":
            yield from _decoded(path, sys.stdin.buffer)
        else:
            with path.open("rb") as file:
                yield from _decoded(path, file)
    except OSError as error:
        raise RerankdError(f"{_name(path)}: cannot be read: {error.strerror or error}") from None


def _decoded(path: Path, stream: Any) -> Iterator[tuple[int, str]]:
    for number, line in enumerate(stream, 1):
        try:
            # a byte order mark, as some editors write it, is no part of the first text
            text = line.decode("utf-8-sig" if number == 1 else "utf-8").strip("\r\n")
        except UnicodeDecodeError:
            raise InvalidRequest(f"{_name(path)} line {number}", "is not UTF-8") from None
        if text and not text.isspace():
            yield number, text


def _name(path: Path) -> str:
    return "standard input" if str(path) == "-" else str(path)
