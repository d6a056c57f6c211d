"""A scorer that takes each request whole is never split, and no size is refused that was never tried."""

import pytest

from rerankd.core.estimate import EstimatePolicy
from rerankd.core.job import Job
from rerankd.core.ports import ScorerTraits
from rerankd.core.scheduler import BatchPolicy, Scheduler
from rerankd.core.types import Reason, Text
from rerankd.core.watch import WatchPolicy
from rerankd.core.work import Run

BUDGET = 0.25


@pytest.fixture
def scheduler() -> Scheduler:
    return Scheduler(
        ScorerTraits(model="m", device="host", unit="query", local=False),
        batch=BatchPolicy(),
        estimate=EstimatePolicy(),
        watch=WatchPolicy(),
        encodes=False,
    )


def job(number: int, size: int, now: float) -> Job:
    texts = [Text("some words of a candidate")] * size
    return Job(number, Text("query"), texts, arrived=now, deadline=now + BUDGET, head=8, max_tokens=512)


def ask(scheduler: Scheduler, asked: Job, now: float, seconds: float) -> int:
    """Let a request through; its call takes so long. Gives the number of pairs in the call."""
    assert scheduler.refuse(asked, now) is None
    scheduler.add(asked, now)
    run = scheduler.next(now)
    assert isinstance(run, Run)
    assert scheduler.next(now) is None
    scheduler.scored(run, [0.0] * len(run.items), now + seconds)
    return len(run.items)


def test_one_call_takes_all_candidates_also_beyond_the_head(scheduler: Scheduler) -> None:
    assert ask(scheduler, job(1, 24, 0.0), 0.0, 0.01) == 24


@pytest.mark.parametrize("sizes", [(1, 24, 100), (24, 1, 24)])
def test_calls_that_cost_the_same_whatever_their_size_are_all_made(
    scheduler: Scheduler, sizes: tuple[int, ...]
) -> None:
    now = 0.0
    for number, size in enumerate(sizes):
        assert ask(scheduler, job(number, size, now), now, 0.1) == size
        now += 0.1


def test_a_budget_is_refused_in_which_no_call_ended(scheduler: Scheduler) -> None:
    ask(scheduler, job(1, 24, 0.0), 0.0, 0.4)
    assert scheduler.refuse(job(2, 24, 0.4), 0.4) == "budget_too_small"


def test_a_small_request_is_taken_in_after_a_large_one_that_took_long(scheduler: Scheduler) -> None:
    """A call is taken in if either its size or the last calls say that it fits."""
    for number in range(3):
        ask(scheduler, job(number, 1, 0.0), 0.0, 0.01)
    large = Job(
        3, Text("query"), [Text("some words")] * 1_000, arrived=0.0, deadline=60.0, head=8, max_tokens=512
    )
    assert ask(scheduler, large, 40.0, 10.0) == 1_000
    assert scheduler.refuse(job(4, 1, 50.0), 50.0) is None


def test_a_large_request_is_not_overdue_because_the_ones_before_it_were_small(scheduler: Scheduler) -> None:
    """What a call takes for its size counts as well when it is judged."""
    for number in range(3):
        ask(scheduler, job(number, 1, 0.0), 0.0, 0.01)
    large = Job(
        3, Text("query"), [Text("some words")] * 1_000, arrived=0.0, deadline=60.0, head=8, max_tokens=512
    )
    scheduler.add(large, 0.0)
    assert scheduler.next(0.0) is not None
    assert not scheduler.overran(5.0)
    assert scheduler.overran(60.0)


def test_a_stopped_call_says_something_of_its_size_too(scheduler: Scheduler) -> None:
    """Two thirds of it were done, as far as anybody knows."""
    for number in range(3):
        ask(scheduler, job(number, 1, 0.0), 0.0, 0.04)
    before = scheduler.costs.run([5], 0.0)
    asked = job(4, 1, 0.0)
    scheduler.add(asked, 0.0)
    run = scheduler.next(0.0)
    assert isinstance(run, Run)
    scheduler.close(asked, 0.1)
    scheduler.interrupted(run, 0.1)
    assert scheduler.costs.run([5], 0.1) > before


def test_a_scorer_with_deadlines_of_its_own_is_asked_however_little_time_is_left() -> None:
    punctual = Scheduler(
        ScorerTraits(model="m", device="host", unit="query", local=False, punctual=True),
        batch=BatchPolicy(),
        estimate=EstimatePolicy(),
        watch=WatchPolicy(),
        encodes=False,
    )
    assert ask(punctual, job(1, 24, 0.0), 0.0, 0.2) == 24
    hurried = job(2, 24, 1.0)
    hurried.deadline = 1.001
    assert punctual.refuse(hurried, 1.0) is None


def test_what_the_scorer_left_stays_without_a_score_for_its_reason(scheduler: Scheduler) -> None:
    asked = job(1, 3, 0.0)
    scheduler.add(asked, 0.0)
    run = scheduler.next(0.0)
    assert isinstance(run, Run)
    scheduler.scored(run, [1.0, None, 0.5], 0.1, left=Reason.OVERLOADED)
    assert asked.logits == [1.0, None, 0.5]
    assert asked.left is Reason.OVERLOADED
