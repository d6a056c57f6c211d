"""What callers write, checked by mypy and never run: a change that breaks their types shows here."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, assert_type

import rerankd
from rerankd import Flag, InvalidRequest, Mode, Outcome, RankedCandidate, Ranking, Reason, Reranker
from rerankd.core.events import Event, Settled
from rerankd.settings import Settings
from rerankd.testing import FakeScorer, RecordingObserver, fake_reranker


@dataclass
class Row:
    body: str


class Watcher:
    """An observer needs no base class."""

    def on(self, event: Event) -> None:
        if isinstance(event, Settled):
            assert_type(event.outcome, Outcome)


def strings(texts: list[str]) -> Sequence[str]:
    with rerankd.open() as reranker:
        assert_type(reranker, Reranker)
        ranking = reranker.rerank("a question", texts, budget_ms=250, top_k=8, min_score=0.2)
        assert_type(ranking, Ranking)
        assert_type(ranking[0], RankedCandidate)
        assert_type(ranking[:3], Sequence[RankedCandidate])
        assert_type(ranking.reason, Reason | None)
        assert_type(reranker.score("a question", texts), list[float])
        return [candidate.text for candidate in ranking]


def rows(found: list[Row], hits: list[Mapping[str, Any]]) -> Row | None:
    with rerankd.open("small", wait=False, observers=[Watcher(), RecordingObserver()]) as reranker:
        reranker.rerank("a question", hits)
        ranking = reranker.rerank("a question", found, text=lambda row: row.body, budget_ms=None)
        item: Row = ranking[0].item
        return item if ranking[0].scored else None


async def asynchronous(texts: tuple[str, ...]) -> list[float]:
    async with rerankd.open(settings=Settings(), require_model=True) as reranker:
        ranking = await reranker.arerank("a question", texts, on_deadline="retrieval", long_text="chunk")
        assert_type(ranking.outcome, Outcome)
        if ranking.outcome == "skipped":
            return []
        return await reranker.ascore("a question", texts)


def operations(reranker: Reranker) -> None:
    reranker.set_flag(Flag(Mode.SHADOW, percent=10))
    assert_type(reranker.wait_ready(timeout_s=5), bool)
    assert_type(reranker.status().queue_pairs, int)
    try:
        reranker.rerank("", [])
    except InvalidRequest as error:
        assert_type(error.argument, str)


def fakes() -> Ranking:
    with fake_reranker(FakeScorer(lambda pair: float(len(pair.text)))) as reranker:
        return reranker.rerank("a question", ["a text"])
