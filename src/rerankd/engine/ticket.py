"""What a caller waits on. Sync and async callers wait on the same thing."""

import asyncio
import contextlib
import math
import threading
from concurrent.futures import Future, InvalidStateError, TimeoutError
from typing import Any

from rerankd.core.job import Job

__all__ = ["Ticket", "wait", "wait_async"]


class Ticket:
    """A job that was taken in. `owner`: who took it, and alone may touch it.

    `done` completes when nothing more can happen to it; `head` before that, when its first tier is finished.
    """

    __slots__ = ("done", "head", "job", "owner")

    def __init__(self, job: Job, owner: Any = None) -> None:
        self.job = job
        self.owner = owner
        self.done: Future[None] = Future()
        self.head: Future[None] = Future()
        job.exchange = self


def settle(job: Job) -> None:
    """Wake whoever waits for the job. Called outside the queue's lock: a waiter's callback runs in here."""
    ticket = job.exchange
    if isinstance(ticket, Ticket) and not ticket.done.done():
        ticket.done.set_result(None)
        settle_head(job)


def settle_head(job: Job) -> None:
    """Wake whoever waits for the job's first tier; also called outside the queue's lock."""
    ticket = job.exchange
    # two workers may have finished the last two of its pairs at once
    if isinstance(ticket, Ticket) and not ticket.head.done():
        with contextlib.suppress(InvalidStateError):
            ticket.head.set_result(None)


def wait(done: "Future[Any]", seconds: float) -> None:
    """Wait until it is done, but no longer than so many seconds; infinity: as long as it takes."""
    # at least nothing: a deadline that passed a moment ago is no error
    timeout = None if seconds == math.inf else min(max(0.0, seconds), threading.TIMEOUT_MAX)
    with contextlib.suppress(TimeoutError):
        done.exception(timeout)


async def wait_async(done: "Future[Any]", seconds: float) -> None:
    """The same, without blocking the event loop that is running."""
    loop = asyncio.get_running_loop()
    woken = loop.create_future()

    def wake(_: "Future[Any]") -> None:
        # the loop may have been closed meanwhile: then nobody is left to wake
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(_release, woken)

    done.add_done_callback(wake)
    if seconds != math.inf:
        timer = loop.call_later(max(0.0, seconds), _release, woken)
    try:
        await woken
    finally:
        if seconds != math.inf:
            timer.cancel()


def _release(woken: "asyncio.Future[None]") -> None:
    if not woken.done():
        woken.set_result(None)
