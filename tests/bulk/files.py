"""Inputs and models for the tests of bulk work."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet

from rerankd.bulk.job import Job
from rerankd.bulk.plan import plan
from rerankd.bulk.run import Summary, run
from rerankd.core.ports import Model
from rerankd.core.types import Pair
from rerankd.testing import FakeScorer, FakeTokenizer, word_overlap


def rows(count: int, candidates: int = 5) -> list[dict[str, Any]]:
    """Rows whose best candidates can be told, and differ."""
    return [
        {
            "id": number,
            "question": f"w{number} w{number + 1} w{number + 2}",
            "passages": [f"{'x ' * place}w{number + (number + place) % 4}" for place in range(candidates)],
        }
        for number in range(count)
    ]


def jsonl(path: Path, given: Sequence[Mapping[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in given), encoding="utf-8")
    return path


def parquet(path: Path, given: Sequence[Mapping[str, Any]], *, group: int | None = None) -> Path:
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(list(given)), path, row_group_size=group)
    return path


def job(source: object, output: object, **given: Any) -> Job:
    given = {"query_column": "question", "candidates_column": "passages", "shard_rows": 7} | given
    return Job(input=str(source), output=str(output), **given)


def model(
    score: Callable[[Pair], Any] = word_overlap, *, max_tokens: int = 64, digest: str = "d1", **traits: Any
) -> Model:
    scorer = FakeScorer(score, **traits)
    return Model(scorer=scorer, tokenizer=FakeTokenizer(), max_tokens=max_tokens, digest=digest)


def done(asked: Job, with_model: Model | None = None, **options: Any) -> Summary:
    return run(plan(asked), with_model or model(), **options)


def written(output: Path) -> list[dict[str, Any]]:
    """All rows of the output, in the order of its files."""
    found: list[dict[str, Any]] = []
    for path in sorted(output.glob("part-*")):
        if path.suffix == ".parquet":
            found += pyarrow.parquet.read_table(path).to_pylist()
        else:
            found += [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    return found


def bad(output: Path) -> list[dict[str, Any]]:
    return [
        json.loads(line)
        for path in sorted(output.glob("_bad/*.jsonl"))
        for line in path.read_text("utf-8").splitlines()
    ]


def bytes_of(output: Path) -> dict[str, bytes]:
    """Every file of the output that holds rows, receipts or reasons."""
    return {
        str(path.relative_to(output)): path.read_bytes()
        for path in sorted(output.rglob("*"))
        if path.is_file()
    }
