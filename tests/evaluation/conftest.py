"""A hand-made collection: two judged queries with different grades, and one without a judgement."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from rerankd.core.answer import RankedCandidate, Ranking
from rerankd.core.events import Timings
from rerankd.core.types import Candidate, Outcome, Reason

DOCUMENTS = {
    "tea": ("Brewing", "Green tea wants water of eighty degrees."),
    "coffee": ("", "A moka pot makes strong coffee."),
    "kettle": ("Kettles", "A kettle with a thermostat stops at eighty degrees."),
    "bike": ("", "Oil the chain after rain."),
    "tyre": ("", "Pump the tyre to five bar."),
}
QUERIES = {"q-tea": "how hot for green tea", "q-bike": "care of a chain", "q-none": "capital of France"}
JUDGEMENTS = [("q-tea", "tea", 2), ("q-tea", "kettle", 1), ("q-tea", "bike", 0), ("q-bike", "bike", 1)]
RUN = {"q-tea": ["coffee", "kettle", "tea", "bike"], "q-bike": ["tyre", "coffee", "bike"], "q-none": ["tea"]}


def write_lines(path: Path, lines: Sequence[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def write_run(path: Path, run: dict[str, list[str]]) -> None:
    write_lines(
        path,
        [
            f"{query} Q0 {document} {place} {100 - place} hand"
            for query, order in run.items()
            for place, document in enumerate(order, 1)
        ],
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The collection on disk, named `handmade`."""
    place = tmp_path / "handmade"
    write_lines(
        place / "corpus.jsonl",
        [
            json.dumps({"_id": key, "title": title, "text": text, "metadata": {"kind": "note"}})
            for key, (title, text) in DOCUMENTS.items()
        ],
    )
    write_lines(
        place / "queries.jsonl", [json.dumps({"_id": key, "text": text}) for key, text in QUERIES.items()]
    )
    write_lines(
        place / "qrels" / "test.tsv",
        ["query-id\tcorpus-id\tscore", *(f"{q}\t{d}\t{grade}" for q, d, grade in JUDGEMENTS)],
    )
    write_run(place / "runs" / "bm25.trec", RUN)
    return place


class FakeReranker:
    """Answers in the order of a fixed preference, and remembers what it was asked."""

    def __init__(self, preference: Sequence[str] = ("tea", "bike", "kettle", "tyre", "coffee")) -> None:
        self.preference = list(preference)
        self.asked: list[tuple[str, list[str], float | None]] = []

    def rerank(self, query: str, candidates: Sequence[Candidate], *, budget_ms: float | None) -> Ranking:
        self.asked.append((str(query), [str(c.id) for c in candidates], budget_ms))
        ordered = sorted(candidates, key=lambda c: self.preference.index(str(c.id)))
        partial = budget_ms is not None
        return Ranking(
            candidates=tuple(
                RankedCandidate(
                    id=c.id,
                    rank=rank,
                    retrieval_rank=candidates.index(c) + 1,
                    score=0.5,
                    logit=0.0,
                    scored=True,
                    text=c.text,
                )
                for rank, c in enumerate(ordered, 1)
            ),
            outcome=Outcome.PARTIAL if partial else Outcome.RERANKED,
            reason=Reason.DEADLINE if partial else None,
            depth=len(candidates),
            candidates_total=len(candidates),
            elapsed_ms=10.0 * len(self.asked),
            timings=Timings(),
            model="fake",
        )


@pytest.fixture
def fake() -> FakeReranker:
    return FakeReranker()
