"""A scorer that says what it did not come to is believed, and is not taken for a broken one."""

import math
from collections.abc import Sequence

import pytest

from rerankd.core.events import CircuitChanged
from rerankd.core.ports import Stop
from rerankd.core.types import Outcome, Pair, Reason, Scores
from rerankd.testing import FakeClock, FakeScorer, RecordingObserver, fake_reranker

pytestmark = pytest.mark.threads


class Remote(FakeScorer):
    """Scores what it is told to, and keeps the deadlines that it was given."""

    def __init__(self, scores: Sequence[float | None], reason: Reason) -> None:
        super().__init__(unit="query", local=False, activation="identity")
        self.scores = scores
        self.reason = reason
        self.deadlines: list[float] = []

    def score(self, pairs: Sequence[Pair], stop: Stop) -> Sequence[float]:
        self.deadlines.append(stop.deadline)
        return Scores(self.scores[: len(pairs)], self.reason)


def test_what_was_left_out_keeps_its_slot_and_the_scorer_s_own_reason_is_given() -> None:
    with fake_reranker(Remote([0.1, None, 0.9], Reason.OVERLOADED)) as reranker:
        ranking = reranker.rerank("why", ["a", "b", "c"], budget_ms=None)
    assert (ranking.outcome, ranking.reason, ranking.depth) == (Outcome.PARTIAL, Reason.OVERLOADED, 2)
    assert [(each.text, each.score) for each in ranking] == [("c", 0.9), ("b", None), ("a", 0.1)]


def test_a_scorer_that_comes_to_nothing_for_want_of_time_never_opens_its_circuit() -> None:
    observer = RecordingObserver()
    with fake_reranker(Remote([None] * 3, Reason.RATE_LIMITED), observers=[observer]) as reranker:
        reasons = {reranker.rerank("why", ["a", "b", "c"], budget_ms=None).reason for _ in range(40)}
    assert reasons == {Reason.RATE_LIMITED}
    assert observer.of(CircuitChanged) == []


def test_a_number_that_is_none_is_still_a_wrong_score_where_nothing_was_said() -> None:
    class Broken(Remote):
        def score(self, pairs: Sequence[Pair], stop: Stop) -> Sequence[float]:
            return [math.nan] * len(pairs)

    with fake_reranker(Broken([], Reason.DEADLINE)) as reranker:
        assert reranker.rerank("why", ["a"], budget_ms=None).reason is Reason.NONFINITE_SCORE


def test_the_scorer_is_told_when_its_caller_stops_waiting() -> None:
    clock, scorer = FakeClock(100.0), Remote([0.5], Reason.DEADLINE)
    with fake_reranker(scorer, clock=clock) as reranker:
        reranker.rerank("why", ["a"], budget_ms=None)
        guard = reranker.policy.guard(2_000)
        reranker.rerank("why", ["a"], budget_ms=2_000)
    assert scorer.deadlines == [math.inf, pytest.approx(102.0 - guard)]
