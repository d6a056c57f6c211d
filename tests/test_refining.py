"""A cascade: the small model orders everything, the larger one improves the top, and neither harms the other."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from rerankd.core.breaker import BreakerPolicy
from rerankd.core.cascade import CascadePolicy
from rerankd.core.events import CircuitChanged, ModelChanged, RunEnded, Settled
from rerankd.core.flag import Flag, Mode
from rerankd.core.ports import Model
from rerankd.core.request import RerankPolicy
from rerankd.core.types import Outcome, Pair, Reason
from rerankd.reranker import Reranker
from rerankd.testing import FakeScorer, FakeTokenizer, RecordingObserver

pytestmark = pytest.mark.threads

QUERY = "q"
TEXTS = ["1 0", "2 9", "3 5", "4 7"]
"""What the small model thinks of it, and what the large one does."""
SMALL_ORDER = ["4 7", "3 5", "2 9", "1 0"]
LARGE_ORDER = ["2 9", "4 7", "3 5", "1 0"]
MIXED = ["1 9", "4 -1", "3 7", "2 9", "0 9"]
"""What the small and the large model of a cascade make of each."""
MIXED_ORDER = ["3 7", "4 -1", "2 9", "1 9", "0 9"]
"""Where the large one rescores two: the scores 7, -1 and then the small one's from 0 to 1, which rise."""
SOON_AND_LONG = BreakerPolicy(
    window_calls=4, min_calls=4, open_ms=60_000, open_max_ms=60_000, open_max_remote_ms=60_000
)
"""Opens at the fourth bad call, and stays so for the test's time."""
PATIENT = RerankPolicy(budget_ms=10_000)
"""For callers that name no budget: a busy machine may take longer than 250 ms even for fakes."""


def small(pair: Pair) -> float:
    return float(pair.text.split()[0])


def large(pair: Pair) -> float:
    return float(pair.text.split()[1]) if pair.text[0].isdigit() else 0.0


def a_cascade(
    second: Callable[[Pair], Any] = large,
    first: Callable[[Pair], Any] = small,
    *,
    policy: RerankPolicy = PATIENT,
    **options: Any,
) -> Reranker:
    """Two fakes. The small one's calibration text starts with no number."""

    def careful(pair: Pair) -> Any:
        return first(pair) if pair.text[0].isdigit() else 0.0

    refiner = Model(
        scorer=FakeScorer(second, model="large", activation="identity", interruptible=True),
        tokenizer=FakeTokenizer(),
        max_tokens=64,
    )
    model = Model(
        scorer=FakeScorer(careful, model="small"), tokenizer=FakeTokenizer(), max_tokens=64, refiner=refiner
    )
    return Reranker(lambda: model, name="small+large", policy=policy, **options)


def texts(ranking: Any) -> list[str]:
    return [candidate.text for candidate in ranking]


@pytest.fixture
def gate() -> Iterator[threading.Event]:
    """What holds a blocked model back until the test ends."""
    opened = threading.Event()
    yield opened
    opened.set()


def blocked_by(gate: threading.Event) -> Callable[[Pair], float]:
    """A large model that hangs on every real text, while its circuit and calibration see none."""

    def score(pair: Pair) -> float:
        if pair.text[0].isdigit():
            gate.wait(5)
        return large(pair)

    return score


def test_the_larger_model_orders_what_it_has_time_for_and_the_answer_says_so() -> None:
    observer = RecordingObserver()
    with a_cascade(observers=[observer]) as reranker:
        ranking = reranker.rerank(QUERY, TEXTS, budget_ms=None)
    assert texts(ranking) == LARGE_ORDER
    assert (ranking.outcome, ranking.depth, ranking.refined_depth) == (Outcome.RERANKED, 4, 4)
    assert ranking.model == "small+large"
    assert [candidate.scored_by for candidate in ranking] == ["large"] * 4
    assert [candidate.logit for candidate in ranking] == [9.0, 7.0, 5.0, 0.0]
    assert [candidate.first_logit for candidate in ranking] == [2.0, 4.0, 3.0, 1.0]
    (settled,) = observer.of(Settled)
    assert (settled.depth, settled.refined_depth, settled.model) == (4, 4, "small+large")
    assert 0 < settled.timings.refine <= settled.elapsed_ms
    assert {event.model for event in observer.of(RunEnded)} == {"small", "large"}
    assert [event.model for event in observer.of(ModelChanged)] == ["small", "large"]


def test_only_the_top_is_rescored_where_that_is_wanted_and_the_rest_stays_where_it_was() -> None:
    with a_cascade(cascade=CascadePolicy(depth=2)) as reranker:
        ranking = reranker.rerank(QUERY, ["1 9", "4 5", "3 7", "2 9"], budget_ms=None)
    assert texts(ranking) == ["3 7", "4 5", "2 9", "1 9"]
    assert ranking.refined_depth == 2
    assert [candidate.scored_by for candidate in ranking] == ["large", "large", "small", "small"]
    assert ranking.as_dict()["refined_depth"] == 2
    assert [result["scored_by"] for result in ranking.as_dict()["results"]][1:3] == ["large", "small"]


def test_where_the_small_model_is_sure_the_large_one_is_not_asked() -> None:
    asked = []

    def second(pair: Pair) -> float:
        asked.append(pair.text)
        return large(pair)

    with a_cascade(second, cascade=CascadePolicy(margin=0.5)) as reranker:
        asked.clear()
        ranking = reranker.rerank(QUERY, TEXTS, budget_ms=None)
    assert (texts(ranking), ranking.refined_depth, asked) == (SMALL_ORDER, 0, [])


def test_a_large_model_that_hangs_costs_its_own_scores_and_no_time(gate: threading.Event) -> None:
    with a_cascade(blocked_by(gate)) as reranker:
        ranking = reranker.rerank(QUERY, TEXTS, budget_ms=600)
        gate.set()
    assert (texts(ranking), ranking.outcome, ranking.refined_depth) == (SMALL_ORDER, Outcome.RERANKED, 0)
    assert [candidate.scored_by for candidate in ranking] == ["small"] * 4


def test_a_tier_counts_only_when_it_is_complete(gate: threading.Event) -> None:
    """The first two are rescored; of the next two one hangs, so neither of them changes places."""

    def second(pair: Pair) -> float:
        if pair.text == "1 9":
            gate.wait(5)
        return large(pair)

    with a_cascade(second, cascade=CascadePolicy(tier=2)) as reranker:
        ranking = reranker.rerank(QUERY, ["1 9", "2 5", "4 5", "3 7"], budget_ms=1_000)
        gate.set()
    assert texts(ranking) == ["3 7", "4 5", "2 5", "1 9"]
    assert ranking.refined_depth == 2


def test_each_model_has_a_circuit_of_its_own() -> None:
    def second(pair: Pair) -> float:
        if pair.text[0].isdigit():
            raise RuntimeError("broken")
        return 0.0

    observer = RecordingObserver()
    with a_cascade(second, breaker=SOON_AND_LONG, observers=[observer]) as reranker:
        rankings = [reranker.rerank(QUERY, TEXTS, budget_ms=None) for _ in range(6)]
        status = reranker.status()
    assert [ranking.outcome for ranking in rankings] == [Outcome.RERANKED] * 6
    assert all(texts(ranking) == SMALL_ORDER for ranking in rankings)
    assert [event.scorer for event in observer.of(CircuitChanged)] == ["large"]
    assert (status.scorer, status.circuit) == ("small", "closed")
    assert (status.refiner, status.refiner_circuit) == ("large", "open")
    failed = [event for event in observer.of(RunEnded) if event.result == "failed"]
    assert len(failed) == 16, "four calls of four texts, and none once it is open"


def test_the_small_models_circuit_is_not_the_large_ones() -> None:
    def broken(pair: Pair) -> float:
        raise RuntimeError("broken")

    with a_cascade(first=broken, breaker=SOON_AND_LONG) as reranker:
        reasons = [reranker.rerank(QUERY, TEXTS, budget_ms=None).reason for _ in range(5)]
        status = reranker.status()
    assert reasons == [Reason.MODEL_ERROR] * 4 + [Reason.CIRCUIT_OPEN]
    assert (status.circuit, status.refiner_circuit) == ("open", "closed")


def test_a_text_that_the_large_model_cannot_digest_keeps_its_slot() -> None:
    def second(pair: Pair) -> float:
        return float("nan") if pair.text == "3 5" else large(pair)

    with a_cascade(second) as reranker:
        ranking = reranker.rerank(QUERY, TEXTS, budget_ms=None)
    assert texts(ranking) == ["2 9", "3 5", "4 7", "1 0"]
    assert [candidate.scored_by for candidate in ranking] == ["large", "small", "large", "large"]
    assert ranking.refined_depth == 3


def test_a_minimum_is_held_against_the_score_that_is_shown() -> None:
    with a_cascade(lambda pair: large(pair) / 10) as reranker:
        ranking = reranker.rerank(QUERY, TEXTS, budget_ms=None, min_score=0.6)
    assert texts(ranking) == ["2 9", "4 7"]
    assert all(candidate.score is not None and candidate.score >= 0.6 for candidate in ranking)


def test_in_shadow_mode_the_retrieval_order_is_given_and_the_refined_one_compared() -> None:
    observer = RecordingObserver()
    with a_cascade(initial_flag=Flag(mode=Mode.SHADOW), observers=[observer]) as reranker:
        ranking = reranker.rerank(QUERY, TEXTS, budget_ms=None)
    assert (texts(ranking), ranking.refined_depth) == (TEXTS, 0)
    (settled,) = observer.of(Settled)
    assert settled.shadow is not None
    assert settled.shadow.moved == 3, "the large model's order leaves the second where it was retrieved"


def test_single_scores_are_all_the_small_models() -> None:
    with a_cascade() as reranker:
        alone = reranker.score(QUERY, TEXTS[:1])
        together = reranker.score(QUERY, TEXTS)
    assert together[:1] == alone
    assert together == sorted(together)


async def test_on_the_way_the_first_passs_order_is_told(gate: threading.Event) -> None:
    seen: list[list[str]] = []

    def second(pair: Pair) -> float:
        if pair.text[0].isdigit():
            gate.wait(5)
        return large(pair)

    def hear(progress: Any) -> None:
        seen.append(texts(progress.candidates))
        if seen[-1] == SMALL_ORDER:
            gate.set()

    async with a_cascade(second) as reranker:
        ranking = await reranker.arerank(QUERY, TEXTS, budget_ms=None, progress=hear)
    assert seen[0] == TEXTS
    assert seen[-1] == SMALL_ORDER
    assert texts(ranking) == LARGE_ORDER


async def test_cancelling_a_call_stops_the_larger_models_work(gate: threading.Event) -> None:
    observer = RecordingObserver()
    async with a_cascade(blocked_by(gate), observers=[observer]) as reranker:
        first_pass = asyncio.Event()

        def hear(progress: Any) -> None:
            if texts(progress.candidates) == SMALL_ORDER:
                first_pass.set()

        call = asyncio.create_task(reranker.arerank(QUERY, TEXTS, budget_ms=None, progress=hear))
        await first_pass.wait()
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        assert reranker.status().queue_pairs == 0
        gate.set()
    assert not observer.of(Settled)
    assert not observer.of(CircuitChanged)


def test_the_larger_model_is_closed_with_the_small_one() -> None:
    reranker = a_cascade()
    with reranker:
        model = reranker._engine.model
        assert model is not None
        assert model.refiner is not None
    assert model.scorer.closed.is_set()
    assert model.refiner.scorer.closed.is_set()
