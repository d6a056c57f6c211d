"""Real threads: a scorer may hang, die or lie, and nobody waits for it longer than they want to."""

import math
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from rerankd.core.batch import BatchPolicy
from rerankd.core.events import BatchLimitChanged, ModelChanged, RunEnded, WorkerReplaced
from rerankd.core.types import Outcome, Pair, Reason
from rerankd.core.watch import WatchPolicy
from rerankd.errors import OutOfMemory
from rerankd.testing import FakeScorer, RecordingObserver, fake_reranker

pytestmark = pytest.mark.threads

QUICK = WatchPolicy(overrun_min_ms=10, hang_ms=20)


def until(condition: Callable[[], bool]) -> bool:
    """Whether it comes true within a time that no healthy machine needs."""
    tick = threading.Event()
    for _ in range(2_000):
        if condition():
            return True
        tick.wait(0.005)
    return False


class Hanging:
    """Scores, but hangs on the word `hang` until it is let go."""

    def __init__(self) -> None:
        self.let_go = threading.Event()
        self.hangs = 0

    def __call__(self, pair: Pair) -> float:
        if "hang" in pair.text:
            self.hangs += 1
            self.let_go.wait(30)
        return 1.0


@pytest.fixture
def hanging() -> Iterator[Hanging]:
    scorer = Hanging()
    yield scorer
    scorer.let_go.set()


def test_a_hung_run_is_given_up_and_its_thread_replaced(hanging: Hanging) -> None:
    """The caller is answered at its deadline, the next one by a new thread."""
    observer = RecordingObserver()
    with fake_reranker(hanging, watch=QUICK, observers=[observer]) as reranker:
        late = reranker.rerank("q", ["hang"], budget_ms=30)
        assert (late.outcome, late.depth) == (Outcome.SKIPPED, 0)
        assert until(lambda: reranker.status().hung == 1)
        assert reranker.rerank("q", ["fine"], budget_ms=None).outcome is Outcome.RERANKED
        hanging.let_go.set()
        assert until(lambda: reranker.status().hung == 0)
        assert reranker.status().workers == 1
    assert [event.cause for event in observer.of(WorkerReplaced)] == ["hung"]


def test_at_most_twice_as_many_threads_are_replaced_and_then_the_model_is_unavailable(
    hanging: Hanging,
) -> None:
    """And it heals when the hang ends."""
    observer = RecordingObserver()
    with fake_reranker(hanging, watch=QUICK, observers=[observer]) as reranker:
        answers = [reranker.rerank("q", ["hang"], budget_ms=None) for _ in range(3)]
        assert {answer.reason for answer in answers} == {Reason.MODEL_ERROR}
        assert until(lambda: reranker.status().workers == 0)
        assert reranker.status().hung == 3
        assert reranker.rerank("q", ["fine"], budget_ms=None).reason is Reason.MODEL_UNAVAILABLE
        assert reranker.status().error
        hanging.let_go.set()
        assert until(lambda: reranker.status().model_state == "ready")
        assert reranker.rerank("q", ["fine"], budget_ms=None).outcome is Outcome.RERANKED
    states = [event.state for event in observer.of(ModelChanged)]
    assert states == ["ready", "unavailable", "ready"]


def test_a_hung_thread_brings_nothing_back_when_it_returns(hanging: Hanging) -> None:
    """Its pairs were given up, and its late scores belong to nobody."""
    observer = RecordingObserver()
    with fake_reranker(hanging, watch=QUICK, observers=[observer]) as reranker:
        ranking = reranker.rerank("q", ["hang", "fine"], budget_ms=None)
        assert [candidate.scored for candidate in ranking] == [False, True]
        hanging.let_go.set()
        assert until(lambda: reranker.status().hung == 0)
    assert [event.result for event in observer.of(RunEnded)].count("scored") == 1


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(1), BaseException("panic")])
def test_a_worker_that_dies_is_replaced_and_its_caller_answered(error: BaseException) -> None:
    """Whatever ends a thread, the queue lives on."""
    observer = RecordingObserver()

    def score(pair: Pair) -> float:
        if "die" in pair.text:
            raise error
        return 1.0

    with fake_reranker(score, observers=[observer]) as reranker:
        ranking = reranker.rerank("q", ["die", "fine"], budget_ms=None)
        assert (ranking.outcome, ranking.reason, ranking.depth) == ("partial", "model_error", 1)
        assert until(lambda: reranker.status().workers == 1)
    assert [event.cause for event in observer.of(WorkerReplaced)] == ["died"]


def test_a_fault_of_the_queue_itself_settles_everybody(monkeypatch: pytest.MonkeyPatch) -> None:
    """The loop restarts, and nobody is left waiting."""
    with fake_reranker() as reranker:
        workers = reranker._engine.workers
        assert workers is not None
        choose, faults = workers._scheduler.next, iter([True])

        def broken(now: float) -> Any:
            if workers._scheduler.jobs() and next(faults, False):
                raise ZeroDivisionError
            return choose(now)

        monkeypatch.setattr(workers._scheduler, "next", broken)
        assert reranker.rerank("q", ["a"], budget_ms=None).reason is Reason.MODEL_ERROR
        assert reranker.rerank("q", ["a"], budget_ms=None).outcome is Outcome.RERANKED


@pytest.mark.parametrize("answer", [[], [1.0], [1.0, 2.0, 3.0], ["x", "y"], None, 7, [None, None]])
def test_an_answer_that_is_not_one_number_a_pair_is_an_error(answer: Any) -> None:
    """A short list must not lose candidates, nor a long one give them foreign scores."""

    class Lying(FakeScorer):
        def score(self, pairs: Any, stop: Any) -> Any:
            return answer

    with fake_reranker(Lying(unit="query")) as reranker:
        ranking = reranker.rerank("q", ["a", "b"], budget_ms=None)
    assert (ranking.outcome, ranking.reason) == (Outcome.SKIPPED, Reason.MODEL_ERROR)
    assert [candidate.text for candidate in ranking] == ["a", "b"]


def test_a_run_out_of_memory_is_split_until_it_fits_and_grows_back() -> None:
    """The request is answered whole all the same."""
    observer, room = RecordingObserver(), 2

    class Small(FakeScorer):
        def score(self, pairs: Any, stop: Any) -> Any:
            if len(pairs) > room:
                raise OutOfMemory("no room")
            return super().score(pairs, stop)

    scorer = Small(batch_invariant=True, max_batch_tokens=4_096)
    policy = BatchPolicy(max_pairs=8, regrow_runs=3)
    with fake_reranker(scorer, batch=policy, observers=[observer]) as reranker:
        ranking = reranker.rerank("q", [f"text {n}" for n in range(24)], budget_ms=None)
    assert ranking.outcome is Outcome.RERANKED
    limits = [event.max_pairs for event in observer.of(BatchLimitChanged)]
    assert limits[:2] == [4, 2]
    assert 4 in limits[2:]


def test_one_pair_that_never_fits_costs_only_itself() -> None:
    def score(pair: Pair) -> float:
        if "huge" in pair.text:
            raise OutOfMemory("no room")
        return 1.0

    with fake_reranker(score) as reranker:
        ranking = reranker.rerank("q", ["huge", "fine"], budget_ms=None)
    assert (ranking.outcome, ranking.reason, ranking.depth) == ("partial", "model_error", 1)


def test_a_run_is_told_to_stop_when_its_caller_has_its_answer(hanging: Hanging) -> None:
    """So that an interruptible scorer's worker is free again."""
    scorer = FakeScorer(hanging, interruptible=True)
    with fake_reranker(scorer) as reranker:
        reranker.rerank("q", ["hang"], budget_ms=20)
        assert scorer.stopped.wait(5)
        hanging.let_go.set()


def test_closing_ends_every_thread_and_frees_the_model() -> None:
    before = set(threading.enumerate())
    scorer = FakeScorer(concurrency=3)
    with fake_reranker(scorer) as reranker:
        assert reranker.rerank("q", ["a"] * 10, budget_ms=None).depth == 10
        assert reranker.status().workers == 3
    assert scorer.closed.is_set()
    assert until(lambda: set(threading.enumerate()) <= before)


def test_a_model_whose_thread_hangs_is_not_freed_under_it(hanging: Hanging) -> None:
    """Freeing what a thread still uses would crash the process."""
    scorer = FakeScorer(hanging)
    reranker = fake_reranker(scorer, watch=QUICK)
    reranker.__enter__()
    reranker.rerank("q", ["hang"], budget_ms=20)
    assert until(lambda: reranker.status().hung == 1)
    reranker.close()
    assert not scorer.closed.is_set()


def test_more_workers_than_the_scorer_can_use_are_never_started() -> None:
    for wanted, started in ((0, 2), (1, 1), (8, 2)):
        with fake_reranker(FakeScorer(concurrency=2), batch=BatchPolicy(workers=wanted)) as reranker:
            assert reranker.status().workers == started


def test_an_idle_engine_asks_its_timer_for_nothing() -> None:
    """Nothing wakes a process that has nothing to do."""
    with fake_reranker() as reranker:
        reranker.rerank("q", ["a"], budget_ms=None)
        timer = reranker._engine._timer
        assert until(lambda: timer._look_at == math.inf)
