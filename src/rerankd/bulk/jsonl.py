"""Rows as lines of JSON objects."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import Any, BinaryIO

from rerankd.bulk.formats import Shard
from rerankd.bulk.job import RESULT_COLUMNS, Job, ModelIdentity
from rerankd.bulk.place import Place
from rerankd.bulk.row import Row, Scored
from rerankd.errors import InvalidRequest

__all__ = ["MOST_LINE_BYTES", "Jsonl", "lines"]

MOST_LINE_BYTES = 64_000_000
"""The longest line that is read; a longer one is a bad row."""
_BLOCK = 1 << 20
_LOOKED_AT = 100
"""Rows that are looked at before work begins. What is wrong with all of them is wrong with the job."""


class Jsonl:
    """The `Format` of `.jsonl` files."""

    extension = "jsonl"

    def check(self, file: Place, job: Job) -> None:
        with file.reading() as opened:
            rows = [_row(0, line, job) for _, line in islice(lines(opened), _LOOKED_AT)]
        problems = [row.problem or _wrong_type(row, job) for row in rows]
        if problems and all(problems):
            raise InvalidRequest(
                "INPUT", f"{file.url}: none of its first {len(rows)} rows is good: {problems[0]}"
            )

    def shards(self, file: Place, rows: int) -> Iterator[tuple[int, int, int]]:
        first, count, start = 0, 0, 0
        with file.reading() as opened:
            for at, _ in lines(opened):
                if count == rows:
                    yield first, count, start
                    first, count = first + count, 0
                if count == 0:
                    start = at
                count += 1
        if count:
            yield first, count, start

    @contextmanager
    def read(self, file: Place, shard: Shard, job: Job) -> Iterator[Iterator[Row]]:
        with file.reading() as opened:
            opened.seek(shard.start)
            found = islice(lines(opened), shard.rows)
            yield (_row(shard.first + number, line, job) for number, (_, line) in enumerate(found))

    @contextmanager
    def part(self, output: Any, file: Place, model: ModelIdentity) -> "Iterator[_Part]":
        yield _Part(output, model)


class _Part:
    def __init__(self, output: Any, model: ModelIdentity) -> None:
        self._output = output
        self._model = model

    def write(self, scored: Sequence[tuple[Row, Scored]]) -> None:
        for row, result in scored:
            results = (result.scores, result.logits, result.order, self._model.model, self._model.digest)
            line = dict(row.carried) | dict(zip(RESULT_COLUMNS, results, strict=True))
            # escapes keep lone surrogates, which have no UTF-8 form
            self._output.write(json.dumps(line, separators=(",", ":")).encode("ascii") + b"\n")


def lines(file: BinaryIO, most: int = MOST_LINE_BYTES) -> Iterator[tuple[int, bytes | None]]:
    """Each line with the number of bytes before it; None for one that is longer than `most`.

    A file's last line may end without a line break. Never holds much more than `most` bytes.
    """
    at, rest, dropped = 0, b"", 0
    while block := file.read(_BLOCK):
        *whole, rest = (rest + block).split(b"\n")
        for line in whole:
            length = dropped + len(line)
            yield at, line if length <= most else None
            at, dropped = at + length + 1, 0
        if len(rest) > most:
            dropped, rest = dropped + len(rest), b""
    if rest or dropped:
        yield at, rest if dropped + len(rest) <= most else None


def _row(position: int, line: bytes | None, job: Job) -> Row:
    if line is None:
        return _bad(position, f"the line is longer than {MOST_LINE_BYTES:,} bytes")
    if not line.strip():
        return _bad(position, "the line is empty")
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return _bad(position, "the line is not valid JSON")
    if not isinstance(found, Mapping):
        return _bad(position, "the line is not a JSON object")
    for column in (job.query_column, job.candidates_column):
        if column not in found:
            return _bad(position, f"there is no {column}")
    taken = next((column for column in RESULT_COLUMNS if column in found), None)
    if taken is not None:
        return _bad(position, f"there is a {taken} already, which results are written to")
    return Row(position, found[job.query_column], found[job.candidates_column], found)


def _bad(position: int, problem: str) -> Row:
    return Row(position, None, None, None, problem)


def _wrong_type(row: Row, job: Job) -> str | None:
    if not isinstance(row.query, str):
        return f"{job.query_column} must be a string, is {type(row.query).__name__}"
    if not isinstance(row.candidates, list):
        return f"{job.candidates_column} must be a list, is {type(row.candidates).__name__}"
    return None
