"""A cascade's larger model shares the workers, behind every first pass and without harm to one."""

import math

import pytest

from rerankd.core.batch import BatchPolicy
from rerankd.core.breaker import Verdict
from rerankd.core.conclusion import conclude
from rerankd.core.job import FIRST, REFINING, Job
from rerankd.core.ports import ScorerTraits
from rerankd.core.scheduler import Scheduler
from rerankd.core.types import Reason
from rerankd.core.work import Run
from tests.core.make import UNIT, a_job, a_scheduler, run_seconds, score

SLOWER = 3.0


def two_lanes(
    *, workers: int = 1, refiner_concurrency: int | None = None, interruptible: bool = True, **options: object
) -> Scheduler:
    """A cascade whose larger model takes three times as long."""
    refiner = ScorerTraits(
        model="large",
        device="cpu",
        concurrency=refiner_concurrency or workers,
        interruptible=interruptible,
    )
    scheduler = a_scheduler(
        concurrency=workers, refiner=refiner, refiner_encodes=False, interruptible=True, **options
    )
    timed = [(100.0, 100.0 * UNIT * SLOWER), (200.0, 200.0 * UNIT * SLOWER)]
    scheduler.lanes[REFINING].costs.running.calibrate(timed, 0.0)
    return scheduler


def a_tier(number: int = 0, *, deadline: float = math.inf, lengths: tuple[int, ...] = (10, 10)) -> Job:
    return a_job(lengths, deadline=deadline, tier=number)


def next_run(scheduler: Scheduler, now: float = 0.0) -> Run:
    work = scheduler.next(now)
    assert isinstance(work, Run)
    return work


def test_no_tier_begins_while_a_first_pass_waits_and_first_tiers_come_before_second_ones() -> None:
    scheduler = two_lanes()
    second, first, late = a_tier(1, deadline=9.0), a_tier(0, deadline=10.0), a_tier(0, deadline=20.0)
    for tier in (second, late, first):
        assert scheduler.refine(tier, 0.0)
    asked = a_job((10, 10, 10), deadline=1_000.0, head=1)
    scheduler.add(asked, 0.0)
    order = []
    while (run := scheduler.next(0.0)) is not None:
        assert isinstance(run, Run)
        order.append(run.items[0].job)
        score(scheduler, run, 0.0)
    assert order == [asked] * 3 + [first] * 2 + [late] * 2 + [second] * 2


def test_a_tier_costs_what_its_own_model_takes() -> None:
    scheduler = two_lanes()
    enough = 2 * run_seconds(10) * SLOWER
    assert not scheduler.refine(a_tier(deadline=enough * 0.99), 0.0)
    assert scheduler.refine(a_tier(deadline=enough * 1.01), 0.0)
    run = next_run(scheduler)
    assert run.lane == REFINING
    assert run.predicted == pytest.approx(run_seconds(10) * SLOWER)


def test_a_tier_that_cannot_be_complete_in_time_any_more_is_given_up_as_a_whole() -> None:
    scheduler = two_lanes()
    tier = a_tier(deadline=0.2)
    assert scheduler.refine(tier, 0.0)
    assert scheduler.next(0.19) is None
    assert scheduler.take_complete() == [tier]
    assert not tier.whole
    assert scheduler.waiting_pairs == 0
    assert conclude(tier, "partial").verdict is Verdict.UNJUDGED, "that was load, not the model"


def test_a_first_pass_stops_the_larger_models_runs_and_their_pairs_run_again() -> None:
    scheduler = two_lanes(workers=2)
    tier = a_tier(lengths=(20, 20, 20, 20))
    assert scheduler.refine(tier, 0.0)
    runs = [next_run(scheduler), next_run(scheduler)]
    assert scheduler.yielding(0.0) == [], "nobody waits for a worker"
    asked = a_job((10,), deadline=1_000.0)
    scheduler.add(asked, 0.0)
    assert set(scheduler.yielding(0.0)) == set(runs)
    assert scheduler.yielding(runs[0].ends) == [], "one that is about to end is not worth stopping"
    for run in runs:
        scheduler.interrupted(run, 0.001)
    assert next_run(scheduler, 0.001).jobs == {asked}
    left = []
    for _ in range(4):
        left.append(next_run(scheduler, 0.001))
        score(scheduler, left[-1], 0.002)
    assert sorted(run.items[0].candidate for run in left) == [0, 1, 2, 3]
    assert tier.whole


def test_what_cannot_be_interrupted_is_not_asked_to_yield_and_an_idle_worker_is_enough() -> None:
    for scheduler in (two_lanes(interruptible=False), two_lanes(workers=2)):
        assert scheduler.refine(a_tier(lengths=(20,)), 0.0)
        next_run(scheduler)
        scheduler.add(a_job((10,), deadline=1_000.0), 0.0)
        assert scheduler.yielding(0.0) == []


def test_no_more_runs_of_the_larger_model_than_it_can_take_at_once() -> None:
    scheduler = two_lanes(workers=3, refiner_concurrency=1)
    assert scheduler.refine(a_tier(lengths=(10, 10, 10)), 0.0)
    run = next_run(scheduler)
    assert scheduler.next(0.0) is None
    score(scheduler, run, 0.01)
    assert next_run(scheduler, 0.01).items[0].candidate == 1


def test_what_waits_for_the_larger_model_takes_no_room_from_a_first_pass() -> None:
    scheduler = two_lanes(batch=BatchPolicy(queue_pairs=4))
    assert scheduler.refine(a_tier(lengths=(10, 10, 10)), 0.0)
    assert not scheduler.refine(a_tier(lengths=(10, 10)), 0.0), "it is what falls away first"
    assert scheduler.refuse(a_job((10, 10), deadline=1_000.0), 0.0) is None


def test_one_models_failure_says_nothing_about_the_other() -> None:
    scheduler = two_lanes(workers=2)
    tier, asked = a_tier(deadline=1_000.0), a_job((10, 10), deadline=1_000.0)
    assert scheduler.refine(tier, 0.0)
    stuck = next_run(scheduler)
    scheduler.add(asked, 0.0)
    later = stuck.overrun_at + 0.1
    assert scheduler.overran(later, REFINING)
    assert not scheduler.overran(later, FIRST)
    scheduler.hung(REFINING)
    scheduler.close(asked, later)
    scheduler.close(tier, later)
    assert conclude(asked, "partial").verdict is Verdict.UNJUDGED
    assert conclude(tier, "partial").verdict is Verdict.BAD


def test_a_candidate_that_the_larger_model_cannot_digest_leaves_its_tier_usable() -> None:
    scheduler = two_lanes()
    tier = a_tier(lengths=(10, 10))
    assert scheduler.refine(tier, 0.0)
    scheduler.scored(next_run(scheduler), [math.nan], 0.0)
    scheduler.scored(next_run(scheduler), [1.0], 0.0)
    assert tier.whole
    assert tier.results() == [None, 1.0]


def test_without_a_larger_model_there_is_nothing_to_yield() -> None:
    scheduler = a_scheduler()
    scheduler.add(a_job((10, 10)), 0.0)
    assert scheduler.yielding(0.0) == []
    assert scheduler.refuse(a_job((10,), deadline=1e-9), 0.0) is Reason.BUDGET_TOO_SMALL


def test_a_tier_whose_texts_must_be_encoded_needs_the_time_for_that_too() -> None:
    refiner = ScorerTraits(model="large", device="cpu", interruptible=True)
    scheduler = a_scheduler(encodes=True, refiner=refiner, refiner_encodes=True)
    costs = scheduler.lanes[REFINING].costs
    costs.running.calibrate([(100.0, 100.0 * UNIT), (200.0, 200.0 * UNIT)], 0.0)
    costs.encoding.calibrate([(100.0, 1.0), (200.0, 2.0)], 0.0)
    tier = a_tier(deadline=2 * run_seconds(10) * 1.01)
    assert not scheduler.refine(tier, 0.0)
    assert scheduler.refine(a_tier(deadline=2 * run_seconds(10) + 100.0), 0.0)
