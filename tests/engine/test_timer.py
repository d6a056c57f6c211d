"""Calls come when they are due, and none of them can end the thread that makes them."""

import logging
import math
import threading

import pytest

from rerankd.engine.clock import SystemClock
from rerankd.engine.timer import Timer

pytestmark = pytest.mark.threads


def never(now: float) -> float:
    return math.inf


def test_calls_are_made_in_the_order_of_their_moments() -> None:
    clock, heard, done = SystemClock(), [], threading.Event()
    timer = Timer(clock, never)
    now = clock.now()
    timer.call_at(now + 0.02, lambda: (heard.append("second"), done.set()))
    timer.call_at(now + 0.01, lambda: heard.append("first"))
    assert done.wait(5)
    timer.close()
    assert heard == ["first", "second"]


def test_a_call_that_raises_does_not_end_the_timer(caplog: pytest.LogCaptureFixture) -> None:
    """Without the timer no circuit would ever heal, and no hang be found."""
    clock, done = SystemClock(), threading.Event()
    timer = Timer(clock, never)

    def broken() -> None:
        raise ValueError("a text")

    with caplog.at_level(logging.ERROR):
        timer.call_at(clock.now(), broken)
        timer.call_at(clock.now(), done.set)
        assert done.wait(5)
    timer.close()
    assert "ValueError" in caplog.text
    assert "a text" not in caplog.text


def test_a_look_is_repeated_for_as_long_as_it_asks() -> None:
    clock, looks, done = SystemClock(), [], threading.Event()

    def look(now: float) -> float:
        looks.append(now)
        if len(looks) == 3:
            done.set()
            return math.inf
        return now + 0.001

    timer = Timer(clock, look)
    timer.look_by(clock.now())
    assert done.wait(5)
    timer.close()
    assert looks == sorted(looks)
    assert len(looks) == 3


def test_a_look_that_raises_is_made_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rerankd.engine.timer._AFTER_A_FAULT", 0.001)
    clock, looks, done = SystemClock(), [], threading.Event()

    def look(now: float) -> float:
        looks.append(now)
        if len(looks) == 1:
            raise ValueError
        done.set()
        return math.inf

    timer = Timer(clock, look)
    timer.look_by(clock.now())
    assert done.wait(5)
    timer.close()


def test_an_earlier_look_replaces_a_later_one() -> None:
    """A request that comes in must be watched from now on, not from when the last look asked."""
    clock, done = SystemClock(), threading.Event()

    def look(now: float) -> float:
        done.set()
        return math.inf

    timer = Timer(clock, look)
    timer.look_by(clock.now() + 3_600)
    timer.look_by(clock.now())
    assert done.wait(5)
    timer.close()


def test_no_thread_is_started_for_nothing_nor_after_closing() -> None:
    """A process that never reranks pays nothing."""
    timer = Timer(SystemClock(), never)
    assert timer._thread is None
    timer.close()
    timer.call_at(0.0, lambda: None)
    assert timer._thread is None


def test_a_callback_may_close_the_timer() -> None:
    clock, closed = SystemClock(), threading.Event()
    timer = Timer(clock, never)
    timer.call_at(clock.now(), lambda: (timer.close(), closed.set()))
    assert closed.wait(5)
    assert timer._thread is not None
    timer._thread.join(5)
    assert not timer._thread.is_alive()
