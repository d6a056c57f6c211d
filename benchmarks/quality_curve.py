"""What an answer is worth, by how many of its candidates were scored: the curves behind `benchmarks.scheduling`.

    python -m benchmarks.quality_curve FOLDER --run bm25 --run tasb    a judged collection in BEIR's layout

Every query's first candidates are scored once by the default model; then each depth is replayed through the
ranking rule on the scored prefix. Only the curves' numbers are kept, in `quality_curve.json` beside this file.
"""

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import rerankd
from rerankd.core.ranking import order
from rerankd.core.types import Candidate
from rerankd.evaluation.collection import Collection, read_collection
from rerankd.evaluation.measures import measure
from rerankd.evaluation.run import choose_run, read_run
from rerankd.settings import Settings

__all__ = ["CURVES", "MEASURES", "Scored", "curve", "read_scored"]

CURVES = Path(__file__).with_name("quality_curve.json")
DEPTH = 24
MEASURES = ("ndcg@10", "recall@8")
RELEVANT_FROM = 2
"""Where TREC's Deep Learning tracks draw the line for recall."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scored:
    """A collection's first-stage orders, and the raw scores of each one's first candidates."""

    collection: Collection
    run: str
    model: str | None
    orders: Mapping[str, Sequence[str]]
    logits: Mapping[str, Sequence[float | None]]

    def values(self, scored: Sequence[bool]) -> dict[str, dict[str, float]]:
        """Query → measure → value, where just these of the first candidates were scored."""
        orders = {}
        for query, logits in self.logits.items():
            keys = self.orders[query]
            known = [logit if yes else None for logit, yes in zip(logits, scored, strict=False)]
            orders[query] = [*(keys[place] for place in order(known)), *keys[len(known) :]]
        return measure(self.collection.judgements, orders, relevant_from=RELEVANT_FROM)


def read_scored(folder: Path, run: str | None, reranker: rerankd.Reranker) -> Scored:
    """Score the first candidates of every judged query."""
    collection = read_collection(folder)
    found = read_run(choose_run(folder, Path(run) if run else None), collection)
    judged = {query: keys for query, keys in found.orders.items() if query in collection.judgements}
    return Scored(
        collection=collection,
        run=found.name,
        model=reranker.status().model,
        orders=judged,
        logits={query: _logits(reranker, collection, query, keys[:DEPTH]) for query, keys in judged.items()},
    )


def _logits(
    reranker: rerankd.Reranker, collection: Collection, query: str, keys: Sequence[str]
) -> list[float | None]:
    candidates = [Candidate(id=key, text=collection.documents[key].text) for key in keys]
    ranking = reranker.rerank(collection.queries[query].text, candidates, budget_ms=None)
    assert ranking.depth == len(candidates), ranking.reason
    found = {candidate.id: candidate.logit for candidate in ranking}
    return [found[key] for key in keys]


def curve(scored: Scored) -> dict[str, Any]:
    """Measure → its mean over the queries at each depth, and the standard error of its gain over depth 0."""
    by_depth = [scored.values([place < depth for place in range(DEPTH)]) for depth in range(DEPTH + 1)]
    result: dict[str, Any] = {
        "collection": scored.collection.name,
        "run": scored.run,
        "model": scored.model,
        "queries": len(scored.logits),
        "relevant_from": RELEVANT_FROM,
    }
    for name in MEASURES:
        values = [[found[query][name] for query in found] for found in by_depth]
        gains = [[after - before for after, before in zip(each, values[0], strict=True)] for each in values]
        result[name] = [round(fmean(each), 4) for each in values]
        result[f"{name}, standard error of the gain"] = [
            round(stdev(each) / len(each) ** 0.5, 4) for each in gains
        ]
    return result


def main() -> None:
    parser = argparse.ArgumentParser(prog="benchmarks.quality_curve", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--run", action="append", help="first-stage runs; the first is the one that counts")
    arguments = parser.parse_args()
    with rerankd.open(settings=Settings.load().uncached(), require_model=True) as reranker:
        found = [curve(read_scored(arguments.folder, run, reranker)) for run in arguments.run or [None]]
    # a line a list, so that a new measurement can be compared with the old one
    text = json.dumps({each["run"]: each for each in found}, indent=1)
    lines = [json.dumps(values) for each in found for values in each.values() if isinstance(values, list)]
    for line in lines:
        text = text.replace(json.dumps(json.loads(line), indent=1).replace("\n", "\n  "), line)
    CURVES.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
