"""A run is told once that nobody waits for it any more."""

import logging

import pytest

from rerankd.engine.stop import StopSignal


def test_every_callback_is_called_once() -> None:
    """However often it fires."""
    stop, heard = StopSignal(), []
    stop.on_stop(lambda: heard.append("first"))
    stop.on_stop(lambda: heard.append("second"))
    assert not stop.stopped
    stop.fire()
    stop.fire()
    assert (stop.stopped, heard) == (True, ["first", "second"])


def test_a_callback_that_comes_late_is_called_at_once() -> None:
    """A run that registers after the deadline must still end."""
    stop, heard = StopSignal(), []
    stop.fire()
    stop.on_stop(lambda: heard.append("late"))
    assert heard == ["late"]


def test_a_callback_that_raises_costs_the_others_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """A caller that has its answer gets it, whatever the scorer does with the news."""
    stop, heard = StopSignal(), []

    def broken() -> None:
        raise ValueError("a text")

    stop.on_stop(broken)
    stop.on_stop(lambda: heard.append("told"))
    with caplog.at_level(logging.WARNING):
        stop.fire()
    assert heard == ["told"]
    assert "ValueError" in caplog.text
    assert "a text" not in caplog.text
