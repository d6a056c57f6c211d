"""What callers are promised when the model, the tokenizer, an observer or our own code fails."""

import asyncio
import heapq
import itertools
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from typing import Any, Self

import pytest

from rerankd.circuit import Circuit
from rerankd.core.answer import Ranking
from rerankd.core.breaker import BreakerPolicy, Verdict
from rerankd.core.events import CircuitChanged, Event, ModelChanged, WorkerReplaced
from rerankd.core.flag import Flag, Mode
from rerankd.core.gate import Go
from rerankd.core.ports import Model, Stop
from rerankd.core.request import RerankPolicy
from rerankd.core.types import Outcome, Pair, Reason, Text
from rerankd.core.watch import WatchPolicy
from rerankd.core.work import Run
from rerankd.engine.clock import SystemClock
from rerankd.engine.engine import Engine
from rerankd.engine.stop import StopSignal
from rerankd.engine.timer import Timer
from rerankd.errors import BackendError
from rerankd.reranker import Reranker
from rerankd.testing import (
    FakeClock,
    FakeScorer,
    FakeTokenizer,
    RecordingObserver,
    fake_reranker,
    word_overlap,
)
from tests.core.make import a_job, a_scheduler

PATIENCE = 10.0
"""Seconds that only a fault takes."""
SOON = 200.0
"""A budget in milliseconds that a blocked run outlasts."""
AMPLE = 1000 * PATIENCE
BEST_LAST = ["nothing", "one word", "one more word"]
QUERY = "one more word"


class Blocking:
    """A model whose runs of a text with `hang` in it last until it is released."""

    def __init__(self) -> None:
        self.entered = threading.Event()
        self._released = threading.Event()

    def __call__(self, pair: Pair) -> float:
        if "hang" in pair.text:
            self.entered.set()
            self._released.wait(6 * PATIENCE)
        return word_overlap(pair)

    def release(self) -> None:
        self._released.set()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


class Awaited(RecordingObserver):
    """Remembers events, and waits for so many of a kind."""

    def __init__(self) -> None:
        super().__init__()
        self._changed = threading.Condition()

    def on(self, event: Event) -> None:
        with self._changed:
            super().on(event)
            self._changed.notify_all()

    def wait(self, kind: type[Any], count: int = 1, **fields: Any) -> bool:
        def seen() -> bool:
            alike = [
                all(getattr(each, name) == value for name, value in fields.items()) for each in self.of(kind)
            ]
            return sum(alike) >= count

        with self._changed:
            return self._changed.wait_for(seen, PATIENCE)


def on_a_thread(call: Callable[[], Ranking]) -> "Future[Ranking]":
    """Its answer; the thread does not keep the tests from ending where there never is one."""
    answer: Future[Ranking] = Future()
    threading.Thread(target=lambda: answer.set_result(call()), daemon=True).start()
    return answer


def order(ranking: Ranking) -> list[int]:
    return [candidate.retrieval_rank for candidate in ranking]


# -- the scorer's answers -------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 3])
def test_the_queue_takes_no_list_of_scores_that_is_too_short_or_too_long(count: int):
    """Whoever asks the scorer has to see to that; a list cut in silence would leave callers waiting."""
    scheduler = a_scheduler(batch_invariant=True, max_batch_tokens=4_096)
    scheduler.add(a_job([10, 10]), 0.0)
    run = scheduler.next(0.0)
    assert isinstance(run, Run)
    with pytest.raises(ValueError, match="zip"):
        scheduler.scored(run, [1.0] * count, 0.0)


class _Miscounting(FakeScorer):
    """Answers a run that has `wrong` in it with so many scores, whatever was asked."""

    def __init__(self, count: int) -> None:
        super().__init__(batch_invariant=True, max_batch_tokens=4_096)
        self.count = count

    def score(self, pairs: Sequence[Pair], stop: Stop) -> Sequence[float]:
        scores = super().score(pairs, stop)
        return [1.0] * self.count if any("wrong" in pair.text for pair in pairs) else scores


@pytest.mark.parametrize("count", [1, 3])
def test_too_few_or_too_many_scores_are_an_error_of_that_run_alone(count: int):
    """The caller is answered with the reason, and no worker dies of it."""
    heard = RecordingObserver()
    with fake_reranker(_Miscounting(count), observers=[heard]) as reranker:
        assert reranker.rerank(QUERY, ["wrong", "wrong too"], budget_ms=AMPLE).reason is Reason.MODEL_ERROR
        assert order(reranker.rerank(QUERY, BEST_LAST, budget_ms=AMPLE)) == [3, 2, 1]
    assert heard.of(WorkerReplaced) == []


def test_scores_are_all_there_or_an_error():
    """`score` never gives a list that lacks one."""

    def model(pair: Pair) -> float:
        if "wrong" in pair.text:
            raise RuntimeError
        return word_overlap(pair)

    with fake_reranker(model) as reranker:
        assert len(reranker.score(QUERY, BEST_LAST)) == 3
        with pytest.raises(BackendError, match="2 of 3"):
            reranker.score(QUERY, ["one", "wrong", "word"])


# -- the deadline ---------------------------------------------------------------------------------------------


def test_a_blocking_caller_waits_for_its_deadline_and_not_for_the_worker():
    """It is answered while its run still lasts, also where nobody looks after the workers: time stands still."""
    model = Blocking()
    with fake_reranker(model, clock=FakeClock()) as reranker, model:
        answer = on_a_thread(lambda: reranker.rerank(QUERY, ["hang"], budget_ms=SOON))
        assert answer.result(PATIENCE).reason is Reason.DEADLINE


async def test_an_async_caller_waits_for_its_deadline_and_not_for_the_worker():
    """It is answered while its run still lasts, also where nobody looks after the workers: time stands still."""
    model = Blocking()
    async with fake_reranker(model, clock=FakeClock()) as reranker:
        with model:
            answer = await asyncio.wait_for(reranker.arerank(QUERY, ["hang"], budget_ms=SOON), PATIENCE)
    assert answer.reason is Reason.DEADLINE


def test_the_budget_begins_with_the_call_and_not_after_reading_it():
    """What the caller's own iterable takes is taken from its budget."""
    clock = FakeClock()

    def slowly() -> Iterator[str]:
        clock.advance(1.0)
        yield from BEST_LAST

    with fake_reranker(clock=clock) as reranker:
        assert reranker.rerank(QUERY, slowly(), budget_ms=900).reason is Reason.BUDGET_TOO_SMALL


def test_what_would_end_within_the_guard_is_not_begun():
    """The guard before the deadline belongs to ordering and returning, not to the model."""
    clock = FakeClock()

    def model(pair: Pair) -> float:
        clock.advance(35.0)
        return word_overlap(pair)

    with fake_reranker(model, clock=clock, policy=RerankPolicy(guard_ms=10_000)) as reranker:
        assert reranker.rerank(QUERY, ["one"], budget_ms=40_000).reason is Reason.BUDGET_TOO_SMALL
        assert reranker.rerank(QUERY, ["one"], budget_ms=50_000).outcome is Outcome.RERANKED


def test_a_run_is_told_to_stop_when_its_callers_time_is_over():
    """Nobody reads what it would bring."""
    model = Blocking()
    scorer = FakeScorer(model)
    with fake_reranker(scorer) as reranker, model:
        reranker.rerank(QUERY, ["hang"], budget_ms=SOON)
        assert scorer.stopped.wait(PATIENCE)


def test_a_run_that_asks_late_is_told_to_stop_at_once():
    """A run may begin to listen only after its caller has gone."""
    signal, heard = StopSignal(), threading.Event()
    signal.fire()
    signal.on_stop(heard.set)
    assert heard.is_set()


def test_a_run_that_cannot_be_stopped_costs_nobody_an_answer():
    """What was scored until then is returned, also when stopping the rest fails."""

    class Scorer(FakeScorer):
        def score(self, pairs: Sequence[Pair], stop: Stop) -> Sequence[float]:
            stop.on_stop(lambda: 1 / 0)
            return super().score(pairs, stop)

    model = Blocking()
    with fake_reranker(Scorer(model)) as reranker, model:
        answer = reranker.rerank(QUERY, ["nothing", "one word", "hang"], budget_ms=SOON)
    assert answer.reason is Reason.DEADLINE


async def test_the_run_of_a_cancelled_caller_is_stopped():
    """A cancelled await is a cancelled computation."""
    model = Blocking()
    scorer = FakeScorer(model)
    # nobody takes the run for a hung one meanwhile
    async with fake_reranker(scorer, watch=WatchPolicy(hang_ms=6_000 * PATIENCE)) as reranker:
        with model:
            caller = asyncio.create_task(reranker.arerank(QUERY, ["hang"], budget_ms=None))
            assert await asyncio.to_thread(model.entered.wait, PATIENCE)
            caller.cancel()
            with pytest.raises(asyncio.CancelledError):
                await caller
            assert await asyncio.to_thread(scorer.stopped.wait, PATIENCE)


# -- workers that hang or die ---------------------------------------------------------------------------------

HASTY = WatchPolicy(overrun_min_ms=300, hang_ms=0, replacements=1)
"""Finds a hang soon, and lets one worker have one replacement."""


def test_a_worker_that_hangs_is_replaced():
    """The next caller is served by another one."""
    heard, model = Awaited(), Blocking()
    with fake_reranker(model, watch=HASTY, observers=[heard]) as reranker, model:
        reranker.rerank(QUERY, ["hang"], budget_ms=SOON)
        assert heard.wait(WorkerReplaced, cause="hung")
        assert order(reranker.rerank(QUERY, BEST_LAST, budget_ms=AMPLE)) == [3, 2, 1]


def test_no_more_hung_workers_are_replaced_than_allowed():
    """A model that always hangs does not fill the process with threads; when it comes back, it serves again."""
    heard, model = Awaited(), Blocking()
    with fake_reranker(model, watch=HASTY, observers=[heard]) as reranker, model:
        for count in (1, 2):
            reranker.rerank(QUERY, ["hang"], budget_ms=SOON)
            assert heard.wait(WorkerReplaced, count)
        status = reranker.status()
        assert (status.model_state, status.workers, status.hung) == ("unavailable", 0, 2)
        assert reranker.rerank(QUERY, BEST_LAST, budget_ms=AMPLE).reason is Reason.MODEL_UNAVAILABLE
        model.release()
        assert heard.wait(ModelChanged, 2, state="ready")
        assert order(reranker.rerank(QUERY, BEST_LAST, budget_ms=AMPLE)) == [3, 2, 1]


def test_a_caller_without_a_limit_is_answered_when_the_last_worker_hangs():
    """Nobody is left to serve it."""
    model = Blocking()
    watch = WatchPolicy(overrun_min_ms=300, hang_ms=0, replacements=0)
    with fake_reranker(model, watch=watch) as reranker, model:
        first = on_a_thread(lambda: reranker.rerank(QUERY, ["hang"], budget_ms=None))
        assert model.entered.wait(PATIENCE)
        second = on_a_thread(lambda: reranker.rerank(QUERY, BEST_LAST, budget_ms=None))
        for answer in (first, second):
            assert answer.result(PATIENCE).outcome is Outcome.SKIPPED


def test_whoever_waits_while_work_is_given_up_as_hung_blames_the_scorer():
    """Also one of whose pairs none was begun: else a hang that blocks every worker would never open the circuit."""
    scheduler = a_scheduler()
    stuck, waiting = a_job([10], deadline=9.0), a_job([10], deadline=9.0)
    for job in (stuck, waiting):
        scheduler.add(job, 0.0)
    work = scheduler.next(0.0)
    assert work is not None
    scheduler.hung()
    scheduler.failed(work, 5.0)
    scheduler.close(waiting, 6.0)
    assert waiting.overran


class _Dying(BaseException):
    """As a panic inside a native library is raised: no Exception."""


def test_a_worker_that_dies_is_replaced_and_its_caller_answered():
    """At once, not at the deadline."""

    def model(pair: Pair) -> float:
        if "wrong" in pair.text:
            raise _Dying
        return word_overlap(pair)

    with fake_reranker(model) as reranker:
        assert reranker.rerank(QUERY, ["wrong"], budget_ms=2_000).reason is Reason.MODEL_ERROR
        assert order(reranker.rerank(QUERY, BEST_LAST, budget_ms=AMPLE)) == [3, 2, 1]


def test_closing_answers_whoever_waits_without_a_limit():
    """Closed in the middle of a run, the engine leaves no caller behind."""
    model = Blocking()
    with fake_reranker(model, watch=WatchPolicy(hang_ms=100)) as reranker, model:
        answer = on_a_thread(lambda: reranker.rerank(QUERY, ["hang"], budget_ms=None))
        assert model.entered.wait(PATIENCE)
        reranker.close()
        assert answer.result(PATIENCE).reason is Reason.MODEL_UNAVAILABLE


# -- the tokenizer --------------------------------------------------------------------------------------------


class _Tokenizer(FakeTokenizer):
    """Does with the pairs of a request what it is told, where a text has `wrong` in it."""

    def __init__(self, change: Callable[[Sequence[Any]], Sequence[Any]]) -> None:
        self._change = change

    def encode(self, query: Text, texts: Sequence[Text], **limits: int) -> Sequence[tuple[Pair, ...]]:
        pairs = super().encode(query, texts, **limits)
        return self._change(pairs) if any("wrong" in text for text in texts) else pairs


def _fail(pairs: Sequence[Any]) -> Sequence[Any]:
    raise RuntimeError


def test_a_tokenizer_that_fails_costs_an_answer_at_once_and_no_waiting():
    """The reason is the error, not the deadline at which a stranded caller would wake."""
    with fake_reranker(tokenizer=_Tokenizer(_fail)) as reranker:
        assert reranker.rerank(QUERY, ["wrong", "one"], budget_ms=2_000).reason is Reason.MODEL_ERROR
        assert order(reranker.rerank(QUERY, BEST_LAST, budget_ms=AMPLE)) == [3, 2, 1]


def test_a_tokenizer_that_leaves_texts_out_costs_an_answer_at_once_and_no_waiting():
    """The same where it answers, but not for every text."""
    with fake_reranker(tokenizer=_Tokenizer(lambda pairs: pairs[1:])) as reranker:
        assert reranker.rerank(QUERY, ["wrong", "one"], budget_ms=2_000).reason is Reason.MODEL_ERROR
        assert order(reranker.rerank(QUERY, BEST_LAST, budget_ms=AMPLE)) == [3, 2, 1]


# -- the circuit ----------------------------------------------------------------------------------------------


class _Sick:
    """A model that raises until it is well, but for the runs with which loading times it."""

    def __init__(self) -> None:
        self.well = True

    def __call__(self, pair: Pair) -> float:
        if not self.well:
            raise RuntimeError
        return word_overlap(pair)


def test_a_scorer_that_always_raises_opens_the_circuit():
    """Failing open does not hide it from the circuit."""
    model = _Sick()
    with fake_reranker(model) as reranker:
        model.well = False
        reasons = [reranker.rerank(QUERY, BEST_LAST, budget_ms=AMPLE).reason for _ in range(11)]
    assert reasons == [Reason.MODEL_ERROR] * 10 + [Reason.CIRCUIT_OPEN]


def test_a_circuit_heals_by_itself_once_the_scorer_is_well_again():
    """Synthetic probes close it: no caller has to come."""
    heard, model = Awaited(), _Sick()
    policy = BreakerPolicy(window_calls=1, min_calls=1, open_ms=1, open_max_ms=1)
    with fake_reranker(model, breaker=policy, observers=[heard]) as reranker:
        model.well = False
        reranker.rerank(QUERY, BEST_LAST, budget_ms=AMPLE)
        assert heard.wait(CircuitChanged, state="open")
        model.well = True
        assert heard.wait(CircuitChanged, state="closed")
        assert order(reranker.rerank(QUERY, BEST_LAST, budget_ms=AMPLE)) == [3, 2, 1]


class Probed:
    """An open circuit in virtual time whose probes end as they are told to; `step` lets it do what is arranged."""

    def __init__(self, verdicts: Iterator[Verdict]) -> None:
        self.clock = FakeClock()
        self.arranged: list[tuple[float, int, Callable[[], None]]] = []
        self.probes = 0
        self._numbers = itertools.count()
        self._verdicts = verdicts
        self.circuit = Circuit(
            BreakerPolicy(window_calls=1, min_calls=1, probes_to_close=1, jitter=0),
            clock=self.clock,
            emit=lambda _: None,
            name=lambda: "m",
            probe=self._probe,
            call_at=lambda at, call: heapq.heappush(self.arranged, (at, next(self._numbers), call)),
        )
        decision = self.circuit.decide(flag=Flag(), draw=0, model="ready", rate_limited=False, deadline=9)
        assert isinstance(decision, Go)
        self.circuit.end(decision.permit, Verdict.BAD)

    def _probe(self, seconds: float, ended: Callable[[Verdict], None]) -> None:
        self.probes += 1
        ended(next(self._verdicts))

    def step(self) -> None:
        at, _, call = heapq.heappop(self.arranged)
        self.clock.advance(max(0.0, at - self.clock.now()))
        call()


def test_a_probe_that_tells_nothing_is_soon_repeated():
    """Not only when its lease would have ended."""
    probed = Probed(iter([Verdict.UNJUDGED, Verdict.GOOD]))
    while probed.circuit.state != "closed":
        probed.step()
    opened, lease = 1.0, 1.0
    assert probed.clock.now() < opened + lease / 2


def test_probes_that_tell_nothing_never_close_the_circuit():
    """Nothing is known of a scorer that was not asked."""
    probed = Probed(itertools.repeat(Verdict.UNJUDGED))
    while probed.probes < 20:
        probed.step()
        assert probed.circuit.state != "closed"


def test_probes_that_tell_nothing_do_not_multiply():
    """However long that lasts, one next probe is arranged."""
    probed = Probed(itertools.repeat(Verdict.UNJUDGED))
    while probed.clock.now() < 2.0:
        probed.step()
    before, began = probed.probes, probed.clock.now()
    while probed.clock.now() < began + 2.0:
        probed.step()
        assert len(probed.arranged) < 20
    assert probed.probes - before <= 21


async def test_a_cancelled_probe_frees_its_place():
    """The next caller of a remote scorer may probe at once, instead of at the end of a lost one's lease."""
    clock, model = FakeClock(), Blocking()
    sick = _Sick()
    scorer = FakeScorer(lambda pair: model(pair) if sick(pair) >= 0 else 0.0, local=False, concurrency=2)
    policy = BreakerPolicy(window_calls=1, min_calls=1, probes_to_close=1)
    async with fake_reranker(scorer, clock=clock, breaker=policy) as reranker:
        with model:
            sick.well = False
            await reranker.arerank(QUERY, BEST_LAST, budget_ms=None)
            assert (await reranker.arerank(QUERY, BEST_LAST, budget_ms=None)).reason is Reason.CIRCUIT_OPEN
            sick.well = True
            clock.advance(2.0)
            probe = asyncio.create_task(reranker.arerank(QUERY, ["hang"], budget_ms=None))
            assert await asyncio.to_thread(model.entered.wait, PATIENCE)
            probe.cancel()
            with pytest.raises(asyncio.CancelledError):
                await probe
            assert order(await reranker.arerank(QUERY, BEST_LAST, budget_ms=None)) == [3, 2, 1]


# -- our own faults, and those of who watches -----------------------------------------------------------------


class _Broken(Engine):
    def submit(self, *_: Any) -> Any:
        raise RuntimeError


def test_a_bug_of_ours_costs_relevance_only():
    """The caller gets the retrieval order with the reason, and no exception."""
    with fake_reranker(engine=_Broken) as reranker:
        answer = reranker.rerank(QUERY, BEST_LAST, budget_ms=AMPLE)
    assert (order(answer), answer.reason) == ([1, 2, 3], Reason.MODEL_ERROR)


def test_an_observer_that_raises_changes_no_answer():
    """Watching must not break what is watched."""

    class Failing:
        def on(self, event: Event) -> None:
            raise RuntimeError

    with fake_reranker(observers=[Failing()]) as reranker:
        assert order(reranker.rerank(QUERY, BEST_LAST, budget_ms=AMPLE)) == [3, 2, 1]


def test_in_shadow_mode_nobody_sees_the_new_order():
    """It goes to the event alone."""
    with fake_reranker(initial_flag=Flag(Mode.SHADOW)) as reranker:
        answer = reranker.rerank(QUERY, BEST_LAST, budget_ms=AMPLE)
    assert (order(answer), answer.outcome, answer.reason) == ([1, 2, 3], Outcome.SKIPPED, Reason.SHADOW)


def test_a_timed_call_that_fails_does_not_end_the_others():
    """Without the timer no circuit would heal and no hang be found."""
    clock, called = SystemClock(), threading.Event()
    timer = Timer(clock, lambda now: now)
    timer.call_at(clock.now(), lambda: 1 / 0)
    timer.call_at(clock.now() + 0.01, called.set)
    try:
        assert called.wait(PATIENCE)
    finally:
        timer.close()


def test_a_model_that_could_not_be_loaded_is_tried_again():
    """It is used as soon as it is there, without a restart."""
    failures = [RuntimeError()]

    def load() -> Model:
        if failures:
            raise failures.pop()
        return Model(scorer=FakeScorer(), tokenizer=None, max_tokens=512)

    with Reranker(load, name="fake", retry_ms=1) as reranker:
        assert reranker.wait_ready(PATIENCE)
        assert order(reranker.rerank(QUERY, BEST_LAST, budget_ms=AMPLE)) == [3, 2, 1]
