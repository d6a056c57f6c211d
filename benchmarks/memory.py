"""How good the memory's answers are: a judged collection of conversations, each kept as one user's memories.

    python -m benchmarks.memory FOLDER [--vectors sealed] [--budget-ms 250 | --no-budget] [--sample N] [--json]

FOLDER is a collection in BEIR's layout whose documents and queries name their conversation in the metadata (such
as LoCoMo); left out, `locomo` in the folder that RERANKD_TEST_DATASETS names. Each question is asked of its own
conversation three ways: by nearness alone, reranked without a limit, and reranked within the budget. Everything is
as in use: the embedder, an embedded PostgreSQL in a temporary folder, sealing, and the reranker.
"""

import argparse
import asyncio
import json
import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean
from typing import Any
from uuid import UUID

from rerankd.evaluation.collection import Collection, read_collection
from rerankd.evaluation.measures import mean, measure
from rerankd.evaluation.sample import sample
from rerankd.evaluation.significance import difference
from rerankd.memory.memory import Memory
from rerankd.memory.policy import MemoryPolicy, StorePolicy
from rerankd.memory.types import Recall
from rerankd.settings import Settings
from rerankd.summary import percentile
from rerankd.wiring import build_memory

__all__ = ["Answers", "ask", "evaluate", "load"]

DEPTH = 24
KEPT = 8
MEASURES = ("recall@8", "ndcg@8")
GROUP = "conversation"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """One way of asking every question."""

    name: str
    orders: Mapping[str, Sequence[str]]
    """Query → documents, best first."""
    recalls: Mapping[str, Recall]


async def load(
    memory: Memory, collection: Collection, progress: Callable[[str], None] = lambda text: None
) -> dict[UUID, str]:
    """Keep every conversation as a user's memories; memory id → document."""
    groups: dict[str, list[str]] = {}
    for document in collection.documents.values():
        groups.setdefault(str(document.metadata[GROUP]), []).append(document.id)
    known: dict[UUID, str] = {}
    for group, documents in groups.items():
        ids = await memory.add([collection.documents[each].text for each in documents], user_id=group)
        known |= dict(zip(ids, documents, strict=True))
        progress(f"{len(known)} of {len(collection.documents)} memories added")
    return known


async def ask(
    memory: Memory,
    collection: Collection,
    queries: Sequence[str],
    known: Mapping[UUID, str],
    *,
    budget_ms: float | None,
    progress: Callable[[str], None] = lambda text: None,
) -> tuple[Answers, Answers]:
    """Ask every question of its own conversation: the order by nearness, and the answer's."""
    recalls: dict[str, Recall] = {}
    for query in queries:
        entry = collection.queries[query]
        recalls[query] = await memory.query(
            entry.text,
            user_id=str(entry.metadata[GROUP]),
            top_k_ann=DEPTH,
            top_k_reranked=DEPTH,
            budget_ms=budget_ms,
        )
        if len(recalls) % 100 == 0:
            progress(f"{len(recalls)} of {len(queries)} questions asked")
    near = {
        query: [known[chunk.id] for chunk in sorted(recall, key=lambda chunk: chunk.retrieval_rank)]
        for query, recall in recalls.items()
    }
    answered = {query: [known[chunk.id] for chunk in recall] for query, recall in recalls.items()}
    limit = "without a limit" if budget_ms is None else f"within {budget_ms:g} ms"
    return (
        Answers(name="by nearness", orders=near, recalls={}),
        Answers(name=f"reranked {limit}", orders=answered, recalls=recalls),
    )


def evaluate(collection: Collection, ways: Sequence[Answers]) -> list[dict[str, Any]]:
    """Each way's measures, and what it gains over the first."""
    queries = list(ways[0].orders)
    grades = {query: collection.judgements[query] for query in queries}
    values = [measure(grades, way.orders, measures=MEASURES) for way in ways]
    rows = []
    for way, found in zip(ways, values, strict=True):
        row: dict[str, Any] = {"name": way.name, **mean([found[query] for query in queries])}
        if way is not ways[0]:
            row["gain"] = {
                name: asdict(
                    difference([values[0][q][name] for q in queries], [found[q][name] for q in queries])
                )
                for name in MEASURES
            }
        if way.recalls:
            row |= _spent(list(way.recalls.values()))
        rows.append(row)
    return rows


def _spent(recalls: Sequence[Recall]) -> dict[str, Any]:
    """What came of it, how deep it went, and where the time went."""
    outcomes = Counter(recall.outcome.value for recall in recalls)
    totals = sorted(recall.timings.total for recall in recalls)
    return {
        "outcomes": {name: count / len(recalls) for name, count in outcomes.items()},
        "depth": fmean(recall.depth for recall in recalls),
        "candidates": fmean(recall.candidates for recall in recalls),
        "latency_ms": {f"p{q}": percentile(totals, q) for q in (50, 95, 99)},
        "stages_ms": {
            stage: fmean(getattr(recall.timings, stage) for recall in recalls)
            for stage in ("embed", "store", "rank", "open", "rerank")
        },
    }


def _table(collection: Collection, rows: Sequence[Mapping[str, Any]], vectors: str, count: int) -> str:
    lines = [
        f"{collection.name}: {count:,} questions, {len(collection.documents):,} memories, {vectors} vectors,"
        f" first {DEPTH} of each user's",
        "",
        f"{'order':<28}" + "".join(f"{name:>28}" for name in MEASURES),
    ]
    for row in rows:
        cells = ""
        for name in MEASURES:
            gain = row.get("gain", {}).get(name)
            change = f" ({gain['mean']:+.3f}, p {gain['p']:.4f})" if gain else ""
            cells += f"{f'{row[name]:.3f}{change}':>28}"
        lines.append(f"{row['name']:<28}{cells}")
    for row in rows:
        if "outcomes" in row:
            shares = ", ".join(f"{name} {share:.1%}" for name, share in row["outcomes"].items())
            latency = ", ".join(f"{name} {value:.0f}" for name, value in row["latency_ms"].items())
            stages = ", ".join(f"{name} {value:.1f}" for name, value in row["stages_ms"].items())
            lines += [
                "",
                f"{row['name']}: {shares}; depth {row['depth']:.1f} of {row['candidates']:.1f}; {latency} ms",
                f"  mean ms: {stages}",
            ]
    return "\n".join(lines)


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """One that the database's user may enter."""
    folder = Path(tempfile.mkdtemp(prefix="rerankd-bench-"))
    if os.geteuid() == 0:
        folder.chmod(0o711)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


async def _run(arguments: argparse.Namespace, collection: Collection, folder: Path) -> list[dict[str, Any]]:
    settings = Settings(
        data_dir=folder,
        store=StorePolicy(vectors=arguments.vectors),
        memory=MemoryPolicy(embed_workers=os.cpu_count() or 1),
    )
    queries = sample(collection.judgements, arguments.sample)

    def say(text: str) -> None:
        print(text, flush=True)

    async with build_memory(settings) as memory:
        known = await load(memory, collection, say)
        near, whole = await ask(memory, collection, queries, known, budget_ms=None, progress=say)
        ways = [near, whole]
        if arguments.budget_ms is not None:
            _, limited = await ask(
                memory, collection, queries, known, budget_ms=arguments.budget_ms, progress=say
            )
            ways.append(limited)
    return evaluate(collection, ways)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", nargs="?", type=Path)
    parser.add_argument("--vectors", choices=("plain", "sealed"), default="plain")
    limit = parser.add_mutually_exclusive_group()
    limit.add_argument("--budget-ms", type=float, default=250.0)
    limit.add_argument(
        "--no-budget", dest="budget_ms", action="store_const", const=None, help="without a limit only"
    )
    parser.add_argument("--sample", type=int, help="only so many questions, the same ones every time")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    datasets = Settings.load().test_datasets
    chosen = arguments.folder or (datasets and datasets / "locomo")
    if chosen is None:
        parser.error("name a FOLDER, or set RERANKD_TEST_DATASETS")
    collection = read_collection(chosen)
    with temporary_folder() as folder:
        rows = asyncio.run(_run(arguments, collection, folder))
    count = min(len(collection.judgements), arguments.sample or len(collection.judgements))
    print(json.dumps(rows) if arguments.json else _table(collection, rows, arguments.vectors, count))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
