"""Sync and async callers wait on the same thing, and no longer than they want to."""

import asyncio
import math
import threading
from concurrent.futures import Future

import pytest

from rerankd.core.job import Job
from rerankd.core.types import Text
from rerankd.engine.ticket import Ticket, settle, settle_head, wait, wait_async


def a_job() -> Job:
    return Job(1, Text("q"), [Text("t")], arrived=0.0, deadline=math.inf, head=1, max_tokens=512)


def test_settling_a_job_wakes_whoever_waits_and_a_second_time_changes_nothing() -> None:
    """A job may be settled by its last score and by the timer at once."""
    job = a_job()
    ticket = Ticket(job)
    settle(job)
    settle(job)
    wait(ticket.done, math.inf)
    assert ticket.done.done()


def test_a_job_that_nobody_waits_for_can_be_settled() -> None:
    settle(a_job())


@pytest.mark.parametrize("seconds", [-1.0, 0.0, 0.001])
def test_a_wait_that_is_over_is_no_error(seconds: float) -> None:
    """A deadline that passed a moment ago just means: take what is there."""
    done: Future[None] = Future()
    wait(done, seconds)
    asyncio.run(wait_async(done, seconds))
    assert not done.done()


def test_a_wait_longer_than_the_platform_can_wait_is_no_error() -> None:
    """A caller may ask for years."""
    done: Future[None] = Future()
    done.set_result(None)
    wait(done, 1e300)


@pytest.mark.threads
def test_a_blocked_caller_wakes_when_it_is_done() -> None:
    done: Future[None] = Future()
    waiter = threading.Thread(target=wait, args=(done, math.inf))
    waiter.start()
    done.set_result(None)
    waiter.join(5)
    assert not waiter.is_alive()


@pytest.mark.threads
@pytest.mark.parametrize("seconds", [math.inf, 60.0])
def test_an_async_caller_wakes_when_another_thread_is_done(seconds: float) -> None:
    """And its event loop goes on meanwhile."""

    async def main() -> list[str]:
        done: Future[None] = Future()
        heard = []
        waiter = asyncio.create_task(wait_async(done, seconds))
        await asyncio.sleep(0)
        heard.append("the loop goes on")
        threading.Thread(target=done.set_result, args=(None,)).start()
        await waiter
        return heard

    assert asyncio.run(main()) == ["the loop goes on"]


def test_what_is_done_already_is_not_waited_for() -> None:
    done: Future[None] = Future()
    done.set_result(None)
    asyncio.run(wait_async(done, math.inf))


def test_a_result_that_comes_after_the_event_loop_is_closed_disturbs_nobody() -> None:
    """The caller's loop may end while a run goes on: nobody is left to wake."""
    done: Future[None] = Future()

    async def give_up() -> None:
        task = asyncio.create_task(wait_async(done, math.inf))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(give_up())
    done.set_result(None)
    assert done.done()


def test_the_end_of_the_head_is_told_before_the_job_s_own() -> None:
    job = a_job()
    ticket = Ticket(job)
    settle_head(job)
    settle_head(job)
    assert ticket.head.done()
    assert not ticket.done.done()


def test_a_job_that_ends_ends_its_head_as_well() -> None:
    """Or whoever waits for the head of a job that was given up would wait for its deadline."""
    job = a_job()
    ticket = Ticket(job)
    settle(job)
    assert ticket.head.done()
