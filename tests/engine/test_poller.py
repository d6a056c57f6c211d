"""Something slow is asked again and again, on a thread of its own."""

import math
import threading

import pytest

from rerankd.engine.poller import Poller
from rerankd.engine.ticket import wait

pytestmark = pytest.mark.threads


def test_it_asks_at_once_and_again_until_it_is_closed() -> None:
    asked, enough = [], threading.Event()

    def ask() -> None:
        asked.append(None)
        if len(asked) == 3:
            enough.set()

    poller = Poller(ask, 0.001)
    assert enough.wait(5)
    poller.close()
    poller._thread.join(5)
    assert not poller._thread.is_alive()


def test_the_first_answer_can_be_waited_for() -> None:
    """Entering a reranker waits for the flag's source, but only for its first word."""
    go_on, answers = threading.Event(), []

    def ask() -> None:
        go_on.wait(5)
        answers.append("on")

    poller = Poller(ask, 60.0)
    wait(poller.asked, 0.0)
    assert not poller.asked.done()
    go_on.set()
    wait(poller.asked, math.inf)
    assert answers == ["on"]
    poller.close()


def test_closing_does_not_wait_for_an_answer_that_is_on_its_way() -> None:
    """A source that hangs must not keep the process from ending."""
    go_on = threading.Event()

    def ask() -> None:
        go_on.wait(5)

    poller = Poller(ask, 60.0)
    poller.close()
    assert poller._thread.is_alive()
    go_on.set()
    poller._thread.join(5)
    assert not poller._thread.is_alive()
