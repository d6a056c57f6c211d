"""One shard from its rows to its file."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import chain

from rerankd.bulk.formats import Shard, format_of
from rerankd.bulk.job import Job, ModelIdentity
from rerankd.bulk.place import Place
from rerankd.bulk.plan import BAD, DONE
from rerankd.bulk.row import Row, Scored
from rerankd.bulk.scoring import BulkScorer
from rerankd.core.types import Reason
from rerankd.errors import BackendError

__all__ = ["Receipt", "do_shard", "windows"]

WINDOW_CHARACTERS = 4_000_000
"""Characters of the texts that are held at once; a row that has more is held alone."""
WINDOW_ROWS = 512


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """What came of a shard. Written last: a shard with a receipt is done."""

    rows: int
    good: int
    bad: int
    pairs: int
    """Candidates that were scored."""


def do_shard(shard: Shard, job: Job, output: Place, scorer: BulkScorer, model: ModelIdentity) -> Receipt:
    """Score the shard's rows, and write its file, its bad rows and its receipt, each whole or not at all.

    Raises `BackendError` when the model failed on every row: then the rows are not to blame.
    """
    form = format_of(shard.file)
    assert form is not None
    file = Place.of(shard.file, "INPUT")
    good = pairs = 0
    bad: list[tuple[Row, str]] = []
    target = output / f"{shard.name}.{form.extension}"
    with form.read(file, shard, job) as rows, target.replacing(output) as opened:
        with form.part(opened, file, model) as part:
            for window in windows(rows):
                results = scorer.score(window)
                kept = [
                    (row, result)
                    for row, result in zip(window, results, strict=True)
                    if isinstance(result, Scored)
                ]
                part.write(kept)
                good += len(kept)
                pairs += sum(len(result.scores) for _, result in kept)
                bad += [
                    (row, result)
                    for row, result in zip(window, results, strict=True)
                    if isinstance(result, str)
                ]
        if good + len(bad) != shard.rows:
            raise BackendError(f"{shard.file}: has changed since the job was planned")
        if bad and all(problem.startswith(Reason.MODEL_ERROR) for _, problem in bad) and not good:
            raise BackendError(f"the model failed on every row of {shard.name}: {bad[0][1]}")
    if bad:
        with (output / BAD / f"{shard.name}.jsonl").replacing(output) as opened:
            for row, problem in bad:
                told = {"file": shard.file, "row": row.position, "reason": problem}
                opened.write(json.dumps(told).encode("ascii") + b"\n")
    receipt = Receipt(rows=shard.rows, good=good, bad=len(bad), pairs=pairs)
    with (output / DONE / f"{shard.name}.json").replacing(output) as opened:
        opened.write(json.dumps(asdict(receipt)).encode())
    return receipt


def windows(rows: Iterator[Row]) -> Iterator[Sequence[Row]]:
    """The rows in groups that are held, and scored, at once. Depends on the rows alone."""
    held: list[Row] = []
    characters = 0
    for row in rows:
        size = _characters(row)
        if held and (characters + size > WINDOW_CHARACTERS or len(held) == WINDOW_ROWS):
            yield held
            held, characters = [], 0
        held.append(row)
        characters += size
    if held:
        yield held


def _characters(row: Row) -> int:
    texts = row.candidates if isinstance(row.candidates, list) else []
    found = (each.get("text") if isinstance(each, dict) else each for each in texts)
    return sum(len(text) for text in chain((row.query,), found) if isinstance(text, str))
