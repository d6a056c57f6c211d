"""When a server is late, broken or busy, a model of our own answers; when neither can, nobody pretends."""

import logging
import math
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest

from rerankd.core.breaker import BreakerPolicy
from rerankd.core.ports import Model
from rerankd.core.ranking import sigmoid
from rerankd.core.types import Pair, Reason, Scores, Text
from rerankd.engine.clock import SystemClock
from rerankd.engine.stop import StopSignal
from rerankd.errors import BackendError
from rerankd.takeover import TakeoverScorer
from rerankd.testing import FakeScorer, FakeTokenizer

pytestmark = pytest.mark.threads

NOW = SystemClock().now
THEIRS = [0.1, 0.2, 0.3]
OURS = [sigmoid(1.0), sigmoid(2.0), sigmoid(3.0)]
"""Our fake's logit is the number of words."""


class Remote(FakeScorer):
    """Answers with what a function returns."""

    def __init__(self, answer: Callable[[], Sequence[float]]) -> None:
        super().__init__(unit="query", local=False, activation="identity", concurrency=4, model="theirs")
        self.answer = answer
        self.asked = 0

    def score(self, pairs: Sequence[Pair], stop: Any) -> Sequence[float]:
        self.asked += 1
        stop.on_stop(self.stopped.set)
        return self.answer()


def words(pair: Pair) -> float:
    return float(len(pair.text.split()))


def pairs() -> list[Pair]:
    return [Pair(Text("why"), Text(text), 9) for text in ("one", "one two", "one two three")]


def both(answer: Callable[[], Sequence[float]], ours: Any = words, **how: Any) -> TakeoverScorer:
    second = Model(scorer=FakeScorer(ours, model="ours"), tokenizer=FakeTokenizer(), max_tokens=64)
    policy = BreakerPolicy(
        window_calls=4, min_calls=4, open_ms=60_000, open_max_ms=60_000, open_max_remote_ms=60_000
    )
    return TakeoverScorer(
        Remote(answer), second, clock=SystemClock(), **{"share": 0.01, "breaker": policy} | how
    )


@pytest.fixture
def silent() -> Iterator[Callable[[], Sequence[float]]]:
    """A server that says nothing until the end of the test."""
    over = threading.Event()

    def answer() -> Sequence[float]:
        over.wait(30)
        raise BackendError("too late")

    yield answer
    over.set()


def fails() -> Sequence[float]:
    raise BackendError("the server answered 500")


def test_a_server_that_answers_in_time_is_taken_and_nothing_of_ours_runs() -> None:
    scorer = both(lambda: THEIRS, share=0.9)
    assert scorer.score(pairs(), StopSignal(NOW() + 30)) == THEIRS
    assert scorer._second.scorer.runs == []  # type: ignore[attr-defined]
    scorer.close()


def test_its_traits_name_both_and_promise_to_keep_to_the_deadline() -> None:
    traits = both(lambda: THEIRS).traits
    assert (traits.model, traits.unit, traits.activation) == ("theirs|ours", "query", "identity")
    assert traits.punctual
    assert not traits.local


def test_after_the_share_ours_answers_with_probabilities_and_the_server_is_let_go(
    silent: Callable[[], Sequence[float]],
) -> None:
    scorer = both(silent)
    assert scorer.score(pairs(), StopSignal(NOW() + 20)) == pytest.approx(OURS)
    assert scorer._first.stopped.wait(10)  # type: ignore[attr-defined]


def test_where_the_server_failed_ours_begins_at_once() -> None:
    began = time.monotonic()
    assert both(fails, share=0.95).score(pairs(), StopSignal(NOW() + 1_000)) == pytest.approx(OURS)
    assert time.monotonic() < began + 500
    assert both(fails).score(pairs(), StopSignal()) == pytest.approx(OURS), "also without a budget"


def test_a_server_that_came_to_nothing_is_no_better_than_a_silent_one() -> None:
    busy = both(lambda: Scores([None] * 3, Reason.RATE_LIMITED), share=0.9)
    assert busy.score(pairs(), StopSignal(NOW() + 1_000)) == pytest.approx(OURS)


def test_a_server_that_came_to_some_is_taken_and_the_two_are_never_mixed() -> None:
    scorer = both(lambda: Scores([0.5, None, None], Reason.DEADLINE), share=0.9)
    got = scorer.score(pairs(), StopSignal(NOW() + 1_000))
    assert isinstance(got, Scores)
    assert got[0] == 0.5
    assert all(map(math.isnan, got[1:]))
    assert scorer._second.scorer.runs == []  # type: ignore[attr-defined]


def test_a_server_that_answers_while_ours_is_at_it_is_taken_whole() -> None:
    ours_began, theirs_done = threading.Event(), threading.Event()

    def late() -> Sequence[float]:
        assert ours_began.wait(10)
        return THEIRS

    def slowly(pair: Pair) -> float:
        ours_began.set()
        assert theirs_done.wait(10)
        return words(pair)

    scorer = both(late, slowly)
    submit = scorer._pool.submit

    def noted(*what: Any) -> Any:
        future = submit(*what)
        future.add_done_callback(lambda _: theirs_done.set())
        return future

    scorer._pool.submit = noted  # type: ignore[method-assign]
    assert scorer.score(pairs(), StopSignal(NOW() + 30)) == THEIRS


def test_ours_stops_before_the_deadline_and_says_what_it_did_not_come_to(
    silent: Callable[[], Sequence[float]],
) -> None:
    def slow(pair: Pair) -> float:
        time.sleep(0.1)
        return words(pair)

    scorer, deadline = both(silent, slow), NOW() + 0.25
    got = scorer.score(pairs(), StopSignal(deadline))
    assert isinstance(got, Scores)
    assert got.reason is Reason.DEADLINE
    assert got[0] == pytest.approx(OURS[0])
    assert math.isnan(got[2])


def test_where_both_fail_the_server_s_error_is_raised() -> None:
    def broken(pair: Pair) -> float:
        raise BackendError("ours failed")

    with pytest.raises(BackendError, match="500"):
        both(fails, broken).score(pairs(), StopSignal(NOW() + 10))


def test_where_ours_fails_half_way_what_it_has_is_kept(silent: Callable[[], Sequence[float]]) -> None:
    def half(pair: Pair) -> float:
        if words(pair) > 1:
            raise BackendError("ours failed")
        return words(pair)

    got = both(silent, half).score(pairs(), StopSignal(NOW() + 10))
    assert isinstance(got, Scores)
    assert got.reason is Reason.MODEL_ERROR
    assert got[0] == pytest.approx(OURS[0])


def test_a_server_that_fails_too_often_is_not_asked_for_a_while(caplog: pytest.LogCaptureFixture) -> None:
    scorer = both(fails)
    with caplog.at_level(logging.WARNING):
        for _ in range(10):
            assert scorer.score(pairs(), StopSignal(NOW() + 10)) == pytest.approx(OURS)
    assert scorer._first.asked == 4  # type: ignore[attr-defined]
    assert "circuit of theirs: closed -> open" in caplog.text


def test_a_busy_server_and_a_caller_that_gave_up_say_nothing_about_its_health(
    silent: Callable[[], Sequence[float]],
) -> None:
    scorer = both(lambda: Scores([None] * 3, Reason.OVERLOADED))
    for _ in range(10):
        scorer.score(pairs(), StopSignal(NOW() + 10))
    assert scorer._first.asked == 10  # type: ignore[attr-defined]
    scorer._first.answer = silent  # type: ignore[attr-defined]
    for _ in range(3):
        stop = StopSignal(NOW() + 0.05)
        stop.fire()
        scorer.score(pairs(), stop)
    assert scorer._breaker.state == "closed"


def test_a_probe_that_goes_well_closes_the_circuit_again() -> None:
    policy = BreakerPolicy(window_calls=4, min_calls=4, open_ms=1, open_max_ms=1, open_max_remote_ms=1)
    scorer = both(fails, breaker=policy)
    for _ in range(4):
        scorer.score(pairs(), StopSignal(NOW() + 10))
    scorer._first.answer = lambda: THEIRS  # type: ignore[attr-defined]
    end = time.monotonic() + 10
    while scorer._breaker.state != "closed" and time.monotonic() < end:
        scorer.score(pairs(), StopSignal(NOW() + 1_000))
    assert scorer._breaker.state == "closed"
    assert scorer.score(pairs(), StopSignal(NOW() + 1_000)) == THEIRS


def test_no_more_of_ours_run_at_once_than_it_can_take(silent: Callable[[], Sequence[float]]) -> None:
    running, most = 0, 0
    lock = threading.Lock()

    def counted(pair: Pair) -> float:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        time.sleep(0.005)
        with lock:
            running -= 1
        return words(pair)

    scorer = both(silent, counted)
    threads = [
        threading.Thread(target=scorer.score, args=(pairs(), StopSignal(NOW() + 20))) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert most == 1


def test_closing_closes_both() -> None:
    scorer = both(lambda: THEIRS)
    scorer.close()
    assert scorer._first.closed.is_set()  # type: ignore[attr-defined]
    assert scorer._second.scorer.closed.is_set()  # type: ignore[attr-defined]
