"""Asks the teacher for its scores, and keeps them in Parquet files, so that nothing is ever asked twice."""

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rerankd.distill.pairs import Group
from rerankd.errors import BackendError

if TYPE_CHECKING:
    from rerankd.reranker import Reranker

__all__ = ["SHARD", "Scored", "read_scores", "score_groups"]

SHARD = 250
"""Questions a file: what a stop can lose."""
_AT_ONCE = 6
"""Questions in flight, so that no worker waits for the next one."""
_TRIES = 5
"""A machine that is busy with other work can make the engine give a run up; hours of scores are not lost for it."""
_PAUSE_SECONDS = 5.0

Scored = tuple[str, list[str], list[float]]
"""A question, its texts, and the teacher's logits."""


def score_groups(
    teacher: "Reranker",
    groups: Sequence[Group],
    texts: Sequence[str],
    folder: Path,
    told: Callable[[int], None] = lambda done: None,
) -> None:
    """Write `scores-NNNNN.parquet` for every shard that is not there yet. `told` hears how many are done."""
    folder.mkdir(parents=True, exist_ok=True)
    for first in range(0, len(groups), SHARD):
        path = folder / f"scores-{first // SHARD:05}.parquet"
        part = groups[first : first + SHARD]
        if path.is_file():
            continue  # silently: from what took no time, nobody can tell how long the rest will
        told(first)
        _write(path, asyncio.run(_scored(teacher, part, texts)))
    told(len(groups))


async def _scored(teacher: "Reranker", groups: Sequence[Group], texts: Sequence[str]) -> list[Scored]:
    room = asyncio.Semaphore(_AT_ONCE)

    async def one(group: Group) -> Scored:
        asked = [texts[place] for place in group.texts]
        for attempt in range(_TRIES):
            async with room:
                ranking = await teacher.arerank(group.query, asked, budget_ms=None)
            logits = {each.retrieval_rank - 1: each.logit for each in ranking}
            scores = [logit for place in range(len(asked)) if (logit := logits[place]) is not None]
            if len(scores) == len(asked):
                return group.query, asked, scores
            if attempt + 1 < _TRIES:
                await asyncio.sleep(_PAUSE_SECONDS)
        unscored = len(asked) - len(scores)
        raise BackendError(f"the teacher left {unscored} of {len(asked)} unscored: {ranking.reason}")

    return list(await asyncio.gather(*(one(group) for group in groups)))


def _write(path: Path, scored: Sequence[Scored]) -> None:
    import pyarrow  # type: ignore[import-untyped]
    import pyarrow.parquet  # type: ignore[import-untyped]

    table = pyarrow.table(
        {
            "query": [query for query, _, _ in scored],
            "texts": [texts for _, texts, _ in scored],
            "logits": [logits for _, _, logits in scored],
        }
    )
    partial = path.with_suffix(".partial")
    pyarrow.parquet.write_table(table, partial)
    partial.replace(path)  # a file is whole or is not there


def read_scores(folder: Path) -> list[Scored]:
    """All scores that are there, in the order of the questions."""
    import pyarrow.parquet

    found: list[Scored] = []
    for path in sorted(folder.glob("scores-*.parquet")):
        table = pyarrow.parquet.read_table(path).to_pydict()
        found += zip(table["query"], table["texts"], table["logits"], strict=True)
    return found
