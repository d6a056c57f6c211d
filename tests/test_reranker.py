"""The public behaviour of a reranker, whatever is underneath."""

import asyncio
import math
import subprocess
import sys
import threading
from typing import Any

import pytest

from rerankd.core.events import Settled
from rerankd.core.flag import Flag, Mode
from rerankd.core.request import RerankPolicy
from rerankd.core.types import Outcome, Reason
from rerankd.errors import BackendError, ConfigError, InvalidRequest
from rerankd.testing import FakeClock, FakeScorer, FakeTokenizer, RecordingObserver, fake_reranker

pytestmark = pytest.mark.threads

QUERY = "blue sky"
TEXTS = ["the red sea", "why a blue sky is so", "sky"]


def texts(ranking: Any) -> list[str]:
    return [candidate.text for candidate in ranking]


def test_the_best_comes_first_and_everything_is_told() -> None:
    with fake_reranker(tokenizer=FakeTokenizer()) as reranker:
        ranking = reranker.rerank(QUERY, TEXTS)
    assert texts(ranking) == [TEXTS[1], TEXTS[2], TEXTS[0]]
    assert (ranking.outcome, ranking.reason, ranking.depth) == (Outcome.RERANKED, None, 3)
    assert [candidate.retrieval_rank for candidate in ranking] == [2, 3, 1]
    assert [candidate.logit for candidate in ranking] == [2.0, 1.0, 0.0]
    assert ranking[2].score == 0.5
    assert max(ranking.timings.tokenize, ranking.timings.inference) <= ranking.elapsed_ms


def test_rows_and_objects_come_back_untouched() -> None:
    rows = [{"id": "a", "body": "sea", "metadata": {"n": 1}}, {"id": "b", "body": "blue sky"}]
    with fake_reranker() as reranker:
        ranking = reranker.rerank(QUERY, iter(rows), text=lambda row: row["body"])
    assert [candidate.id for candidate in ranking] == ["b", "a"]
    assert ranking[1].item is rows[0]
    assert ranking[1].metadata is rows[0]["metadata"]


def test_what_is_cut_is_cut_at_the_very_end() -> None:
    with fake_reranker() as reranker:
        assert texts(reranker.rerank(QUERY, TEXTS, top_k=1)) == [TEXTS[1]]
        none = reranker.rerank(QUERY, TEXTS, min_score=0.99)
    assert (list(none), none.outcome, none.depth) == ([], Outcome.RERANKED, 3)


def test_no_candidates_are_a_reranked_answer() -> None:
    with fake_reranker() as reranker:
        assert reranker.rerank(QUERY, []).outcome is Outcome.RERANKED


@pytest.mark.parametrize(
    ("argument", "query", "candidates", "options"),
    [
        ("query", " ", TEXTS, {}),
        ("query", 7, TEXTS, {}),
        ("candidates", QUERY, "text", {}),
        ("candidates", QUERY, {"a": 1}, {}),
        ("candidates[1].text", QUERY, ["a", 5], {}),
        ("candidates[1].id", QUERY, [{"id": 1, "text": "a"}, {"id": 1, "text": "b"}], {}),
        ("budget_ms", QUERY, TEXTS, {"budget_ms": -1}),
        ("budget_ms", QUERY, TEXTS, {"budget_ms": math.nan}),
        ("budget_ms", QUERY, TEXTS, {"budget_ms": True}),
        ("top_k", QUERY, TEXTS, {"top_k": 0}),
        ("min_score", QUERY, TEXTS, {"min_score": "high"}),
        ("on_deadline", QUERY, TEXTS, {"on_deadline": "never"}),
        ("long_text", QUERY, TEXTS, {"long_text": "drop"}),
        ("flag_key", QUERY, TEXTS, {"flag_key": 42}),
    ],
)
def test_a_wrong_argument_is_named_before_anything_is_queued(
    argument: str, query: Any, candidates: Any, options: Any
) -> None:
    scorer = FakeScorer()
    with fake_reranker(scorer) as reranker:
        before = len(scorer.runs)
        with pytest.raises(InvalidRequest) as caught:
            reranker.rerank(query, candidates, **options)
        assert len(scorer.runs) == before
    assert caught.value.argument == argument


def test_a_budget_of_nothing_is_too_small_and_a_huge_one_is_no_error() -> None:
    with fake_reranker() as reranker:
        assert reranker.rerank(QUERY, TEXTS, budget_ms=0).reason is Reason.BUDGET_TOO_SMALL
        assert reranker.rerank(QUERY, TEXTS, budget_ms=1e300).outcome is Outcome.RERANKED


def test_a_caller_gets_what_is_scored_by_its_deadline() -> None:
    """The others keep their slots; all or nothing where that was asked."""
    go_on = threading.Event()

    def score(pair: Any) -> float:
        if "sea" in pair.text:
            go_on.wait(10)
        return float(len(pair.text))

    with fake_reranker(FakeScorer(score, concurrency=2)) as reranker:
        candidates = ["b", "the sea", "ccc"]
        partial = reranker.rerank(QUERY, candidates, budget_ms=400)
        assert (partial.outcome, partial.reason, partial.depth) == ("partial", "deadline", 2)
        assert texts(partial) == ["ccc", "the sea", "b"]
        whole = reranker.rerank(QUERY, candidates, budget_ms=400, on_deadline="retrieval")
        assert (whole.outcome, whole.depth, texts(whole)) == ("skipped", 0, candidates)
        go_on.set()


def test_off_touches_no_model_and_shadow_answers_in_retrieval_order() -> None:
    observer, loads = RecordingObserver(), []
    reranker = fake_reranker(observers=[observer], initial_flag=Flag(Mode.OFF))
    load = reranker._engine._load
    reranker._engine._load = lambda: (loads.append(None), load())[1]
    assert reranker.rerank(QUERY, TEXTS).reason is Reason.DISABLED
    assert loads == []
    reranker.set_flag(Flag(Mode.SHADOW))
    assert reranker.wait_ready(10)
    shadow = reranker.rerank(QUERY, TEXTS)
    assert (shadow.reason, shadow.depth, texts(shadow)) == (Reason.SHADOW, 0, TEXTS)
    told = observer.of(Settled)[-1].shadow
    assert (told.outcome, told.depth, told.moved) == (Outcome.RERANKED, 3, 3)
    assert reranker.score(QUERY, TEXTS) == pytest.approx([0.5, 0.8808, 0.7311], abs=1e-4)
    reranker.close()


def test_the_same_key_falls_on_the_same_side_of_the_percentage() -> None:
    with fake_reranker(initial_flag=Flag(Mode.ON, 30.0)) as reranker:
        sides = [
            {reranker.rerank(QUERY, TEXTS, flag_key=f"user {n}").reason for _ in range(3)} for n in range(60)
        ]
    assert all(len(side) == 1 for side in sides)
    assert {None, Reason.DISABLED} == set().union(*sides)


def test_scores_come_in_the_order_of_the_texts_or_not_at_all() -> None:
    with fake_reranker() as reranker:
        assert reranker.score(QUERY, TEXTS[::-1]) == reranker.score(QUERY, TEXTS)[::-1]
        reranker.set_flag(Flag(Mode.OFF))
        with pytest.raises(BackendError, match="disabled"):
            reranker.score(QUERY, TEXTS)


def test_every_answer_is_told_once_and_an_observer_that_raises_costs_nothing() -> None:
    class Broken:
        def on(self, event: Any) -> None:
            raise ValueError

    observer = RecordingObserver()
    with fake_reranker(observers=[Broken(), observer]) as reranker:
        for _ in range(5):
            assert reranker.rerank(QUERY, TEXTS).outcome is Outcome.RERANKED
    assert len(observer.of(Settled)) == 5


def test_one_reranker_serves_several_event_loops_one_after_another_and_at_once() -> None:
    async def ask() -> list[str]:
        return [answer.outcome for answer in await asyncio.gather(*(one() for _ in range(5)))]

    with fake_reranker() as reranker:

        async def one() -> Any:
            return await reranker.arerank(QUERY, TEXTS, budget_ms=None)

        assert asyncio.run(ask()) == asyncio.run(ask()) == ["reranked"] * 5
        answers: list[list[str]] = []
        threads = [threading.Thread(target=lambda: answers.append(asyncio.run(ask()))) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
    assert answers == [["reranked"] * 5] * 3


def test_cancelling_a_call_drops_its_work_and_judges_nothing() -> None:
    started, go_on, observer = threading.Event(), threading.Event(), RecordingObserver()

    def score(pair: Any) -> float:
        if pair.query == QUERY:
            started.set()
            go_on.wait(10)
        return 1.0

    async def main() -> None:
        async with fake_reranker(score, observers=[observer]) as reranker:
            for _ in range(12):
                task = asyncio.create_task(reranker.arerank(QUERY, TEXTS, budget_ms=None))
                while not started.is_set():
                    await asyncio.sleep(0.001)
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
            assert reranker.status().queue_pairs == 0
            assert reranker.status().circuit == "closed"
            go_on.set()

    asyncio.run(main())
    assert observer.of(Settled) == []


class Slow:
    """A scorer that keeps the rest waiting until it is told to go on."""

    def __init__(self) -> None:
        self.go_on = threading.Event()

    def score(self, pair: Any) -> float:
        if "rest" in pair.text:
            self.go_on.wait(10)
        return float(len(pair.text))


HEADED = RerankPolicy(head_min=2, head_factor=1.0)
HEAD_AND_REST = ["h", "he", "rest a", "rest bb"]


async def shown(reranker: Any, slow: Slow, **options: Any) -> tuple[list[Any], Any]:
    """What is told on the way, and the answer; the rest is scored once the head has been told of."""
    seen: list[Any] = []

    def progress(so_far: Any) -> None:
        seen.append(so_far)
        if so_far.depth:
            slow.go_on.set()

    answer = await reranker.arerank("q", HEAD_AND_REST, top_k=2, progress=progress, **options)
    return seen, answer


async def test_on_the_way_to_the_answer_the_retrieval_order_is_told_and_then_that_of_the_head() -> None:
    slow = Slow()
    async with fake_reranker(slow.score, policy=HEADED) as reranker:
        (first, second), answer = await shown(reranker, slow, budget_ms=10_000)
    assert (first.depth, texts(first.candidates)) == (0, ["h", "he"])
    assert (second.depth, texts(second.candidates)) == (2, ["he", "h"])
    assert first.candidates_total == second.candidates_total == 4
    assert (answer.outcome, texts(answer)) == (Outcome.RERANKED, ["rest bb", "rest a"])


@pytest.mark.parametrize("options", [{"on_deadline": "retrieval"}, {"flag": Flag(Mode.SHADOW)}])
async def test_who_wants_all_or_nothing_or_is_in_shadow_is_told_of_no_better_order(options: Any) -> None:
    slow = Slow()
    slow.go_on.set()
    flag = options.pop("flag", None)
    async with fake_reranker(slow.score, policy=HEADED, initial_flag=flag) as reranker:
        seen, _ = await shown(reranker, slow, budget_ms=10_000, **options)
    assert [each.depth for each in seen] == [0]


async def test_an_answer_that_is_known_at_once_is_told_as_well() -> None:
    async with fake_reranker(initial_flag=Flag(Mode.OFF)) as reranker:
        seen, answer = await shown(reranker, Slow())
    assert [texts(each.candidates) for each in seen] == [texts(answer)] == [["h", "he"]]


async def test_what_the_caller_s_own_callback_raises_is_raised_and_the_work_is_dropped() -> None:
    slow = Slow()

    def progress(_: Any) -> None:
        raise LookupError("mine")

    async with fake_reranker(slow.score, policy=HEADED) as reranker:
        with pytest.raises(LookupError, match="mine"):
            await reranker.arerank("q", HEAD_AND_REST, progress=progress)
        assert reranker.status().queue_pairs == 0
        slow.go_on.set()


async def test_the_budget_counts_from_the_arrival_that_the_caller_tells() -> None:
    clock = FakeClock(100.0)
    async with fake_reranker(clock=clock, wait=False) as reranker:
        assert reranker.clock is clock
        answer = await reranker.arerank(QUERY, TEXTS, budget_ms=250, arrived=99.0)
    assert answer.elapsed_ms == 1_000
    assert answer.outcome is Outcome.SKIPPED


def test_a_model_that_cannot_be_loaded_is_an_answer_unless_it_is_required() -> None:
    def load() -> Any:
        raise BackendError("model.onnx: missing")

    from rerankd.reranker import Reranker

    with Reranker(load, name="m") as reranker:
        assert reranker.rerank(QUERY, TEXTS).reason is Reason.MODEL_UNAVAILABLE
        assert reranker.status().error == "model.onnx: missing"
        assert not reranker.status().enabled
    with pytest.raises(BackendError, match="missing"), Reranker(load, name="m", require_model=True):
        pass


def test_answers_fall_open_while_it_loads_where_nobody_waits_for_that() -> None:
    go_on = threading.Event()
    reranker = fake_reranker(wait=False)
    load = reranker._engine._load
    reranker._engine._load = lambda: (go_on.wait(10), load())[1]
    with reranker:
        assert reranker.rerank(QUERY, TEXTS).reason is Reason.MODEL_LOADING
        go_on.set()
        assert reranker.wait_ready(10)
        assert reranker.rerank(QUERY, TEXTS).outcome is Outcome.RERANKED


def test_whoever_waits_while_it_is_closed_is_answered_and_later_calls_fall_open() -> None:
    started, go_on, answers = threading.Event(), threading.Event(), []

    def score(pair: Any) -> float:
        if pair.query == QUERY:
            started.set()
            go_on.wait(10)
        return 1.0

    reranker = fake_reranker(score)
    reranker.__enter__()
    caller = threading.Thread(target=lambda: answers.append(reranker.rerank(QUERY, TEXTS, budget_ms=None)))
    caller.start()
    assert started.wait(10)
    closer = threading.Thread(target=reranker.close)
    closer.start()
    caller.join(10)
    go_on.set()
    closer.join(10)
    reranker.close()
    assert answers[0].reason is Reason.MODEL_UNAVAILABLE
    assert texts(answers[0]) == TEXTS
    assert reranker.rerank(QUERY, TEXTS).reason is Reason.MODEL_UNAVAILABLE


def test_a_fault_of_our_own_costs_relevance_only(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*arguments: Any) -> None:
        raise ZeroDivisionError

    with fake_reranker() as reranker:
        monkeypatch.setattr(reranker._engine, "submit", broken)
        ranking = reranker.rerank(QUERY, TEXTS)
    assert (ranking.reason, texts(ranking)) == (Reason.MODEL_ERROR, TEXTS)


def test_a_flag_that_another_source_owns_cannot_be_set_here() -> None:
    class Source:
        name, immediate = "file", False

        def read(self, context: Any) -> Flag:
            return Flag(Mode.OFF)

    with fake_reranker(flag=Source()) as reranker:
        assert reranker.rerank(QUERY, TEXTS).reason is Reason.DISABLED
        with pytest.raises(ConfigError, match="file"):
            reranker.set_flag(Flag())


FORK = """
import os, sys
from rerankd.testing import fake_reranker
with fake_reranker() as reranker:
    assert reranker.rerank("blue sky", ["sea", "sky"]).outcome == "reranked"
    child = os.fork()
    if child == 0:
        ranking = reranker.rerank("blue sky", ["sea", "sky"], budget_ms=None)
        os._exit(0 if (ranking.outcome, ranking[0].text) == ("reranked", "sky") else 1)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert reranker.rerank("blue sky", ["sea", "sky"]).outcome == "reranked"
sys.exit(status)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="there is no fork")
def test_a_forked_child_reranks_with_threads_of_its_own() -> None:
    done = subprocess.run([sys.executable, "-c", FORK], timeout=60, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
