"""Which work is taken in, and which of it a free worker does next."""

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rerankd.core.batch import BatchPolicy
from rerankd.core.costs import characters
from rerankd.core.estimate import pair_weight
from rerankd.core.job import Job
from rerankd.core.scheduler import Scheduler
from rerankd.core.types import Reason
from rerankd.core.work import Encode, Run, Work
from tests.core.make import a_job, a_scheduler, encode, pair_of, run_seconds, score

GROUPED: dict[str, Any] = {"batch_invariant": True, "max_batch_tokens": 4_096}
TEN = run_seconds(10)
"""Seconds of one pair of ten tokens."""


def take(scheduler: Scheduler, now: float = 0.0) -> Run:
    work = scheduler.next(now)
    assert isinstance(work, Run)
    return work


def add(scheduler: Scheduler, *jobs: Job, now: float = 0.0) -> None:
    for job in jobs:
        assert scheduler.refuse(job, now) is None
        scheduler.add(job, now)


def candidates(run: Run) -> list[int]:
    return [item.candidate for item in run.items]


def work_off(scheduler: Scheduler, now: float = 0.0) -> list[tuple[Job, int]]:
    """One worker that is exactly as quick as predicted does all there is; returns what it did, in order."""
    done = []
    while (work := scheduler.next(now)) is not None:
        assert isinstance(work, Run)
        done += [(item.job, item.candidate) for item in work.items]
        now += work.predicted
        score(scheduler, work, now)
    return done


# -- taking in ------------------------------------------------------------------------------------------------


def test_a_budget_in_which_not_even_the_smallest_pair_fits_is_refused() -> None:
    scheduler = a_scheduler()
    assert scheduler.refuse(a_job([10, 500], deadline=TEN * 0.99), 0.0) is Reason.BUDGET_TOO_SMALL
    assert scheduler.refuse(a_job([10, 500], deadline=TEN * 1.01), 0.0) is None


def test_a_deadline_that_has_passed_is_refused_whatever_is_known() -> None:
    assert a_scheduler(calibrated=False).refuse(a_job(deadline=5.0), 5.0) is Reason.BUDGET_TOO_SMALL


def test_a_request_behind_which_the_queue_leaves_no_time_is_refused_as_overload() -> None:
    scheduler = a_scheduler()
    add(scheduler, a_job([10] * 8, deadline=TEN * 8.5))
    assert scheduler.refuse(a_job([10], deadline=TEN * 8.6), 0.0) is Reason.OVERLOADED
    assert scheduler.refuse(a_job([10], deadline=TEN * 9.6), 0.0) is None


def test_the_rest_of_others_gives_way_before_anybody_is_refused() -> None:
    scheduler = a_scheduler()
    add(scheduler, a_job([10] * 100, head=2, deadline=99.0))
    assert scheduler.refuse(a_job([10], deadline=TEN * 3.5), 0.0) is None


def test_a_request_without_a_deadline_holds_up_nobody_who_has_one() -> None:
    scheduler = a_scheduler()
    add(scheduler, a_job([500] * 8))
    score(scheduler, take(scheduler), 0.0)
    assert scheduler.refuse(a_job([10], deadline=TEN * 1.5), 0.0) is None


def test_what_is_under_way_is_waited_for_unless_a_worker_is_free() -> None:
    for workers, reason in ((1, Reason.OVERLOADED), (2, None)):
        scheduler = a_scheduler(concurrency=workers)
        add(scheduler, a_job([200]))
        take(scheduler)
        assert scheduler.refuse(a_job([10], deadline=TEN * 2), 0.0) is reason


def test_a_run_that_is_overdue_counts_as_ending_now_or_a_hang_would_hide_behind_overload() -> None:
    scheduler = a_scheduler()
    add(scheduler, a_job([200]))
    take(scheduler)
    later = run_seconds(200)
    assert scheduler.refuse(a_job([10], deadline=later + TEN * 2), later) is None


def test_a_full_queue_is_overload() -> None:
    scheduler = a_scheduler(batch=BatchPolicy(queue_pairs=10))
    add(scheduler, a_job([10] * 6))
    assert scheduler.refuse(a_job([10] * 5), 0.0) is Reason.OVERLOADED
    assert scheduler.refuse(a_job([10] * 5, deadline=99.0), 0.0) is Reason.OVERLOADED
    assert scheduler.refuse(a_job([10] * 4), 0.0) is None


def test_a_request_larger_than_the_queue_has_its_place_where_nothing_waits() -> None:
    scheduler = a_scheduler(batch=BatchPolicy(queue_pairs=10))
    assert scheduler.refuse(a_job([10] * 11), 0.0) is None


def test_one_slow_spell_does_not_refuse_everything_for_ever() -> None:
    scheduler, now = a_scheduler(), 0.0
    add(scheduler, a_job([10] * 200))
    for _ in range(200):
        run = take(scheduler, now)
        now += 50 * TEN
        score(scheduler, run, now)
    assert scheduler.refuse(a_job([10], deadline=now + 2 * TEN), now) is Reason.BUDGET_TOO_SMALL
    later = now + 30.0
    assert scheduler.refuse(a_job([10], deadline=later + 2 * TEN), later) is None


LENGTHS = st.lists(st.integers(1, 600), min_size=1, max_size=12)
IDLE = st.fixed_dictionaries(
    {"encodes": st.booleans(), "calibrated": st.booleans(), "concurrency": st.integers(1, 4)},
    optional={"batch_invariant": st.just(True), "max_batch_tokens": st.just(2_048), "unit": st.just("query")},
)


@given(IDLE, LENGTHS, st.integers(1, 3), st.floats(0, 3))
def test_an_idle_engine_takes_in_whatever_it_can_begin_in_time_and_nothing_else(
    options: dict[str, Any], lengths: list[int], max_chunks: int, budget: float
) -> None:
    scheduler = a_scheduler(**options)
    job = a_job(lengths, deadline=budget, max_chunks=max_chunks)
    refused = scheduler.refuse(job, 0.0)
    needed = scheduler.costs.first_score(job, 32, 0.0)
    assert refused is (Reason.BUDGET_TOO_SMALL if budget <= 0.0 or needed > budget else None)
    if refused is None:
        scheduler.add(job, 0.0)
        assert scheduler.next(0.0) is not None


@given(IDLE, st.lists(LENGTHS, max_size=3), LENGTHS, st.floats(0, 3), st.floats(0, 3))
def test_with_more_time_nobody_is_refused_who_would_be_taken_with_less(
    options: dict[str, Any], others: list[list[int]], lengths: list[int], budget: float, more: float
) -> None:
    scheduler = a_scheduler(**options)
    for other in others:
        # nobody in the queue has an earlier deadline: whoever has goes first, and may take the place
        scheduler.add(a_job(other, deadline=9.0), 0.0)
    before = scheduler.refuse(a_job(lengths, deadline=budget), 0.0)
    assert before is not None or scheduler.refuse(a_job(lengths, deadline=budget + more), 0.0) is None


@given(LENGTHS, st.floats(0.001, 0.5))
def test_texts_are_cut_so_that_all_of_them_fit_the_budget(lengths: list[int], budget: float) -> None:
    scheduler = a_scheduler()
    job = a_job(lengths, deadline=budget)
    scheduler.fit(job, 8, 0.0)
    needed = sum(run_seconds(tokens) for tokens in job.lengths)
    assert job.max_tokens in (8, 512) or needed <= budget
    assert job.max_tokens >= 8


def test_nothing_is_cut_without_a_deadline() -> None:
    job = a_job([500] * 50)
    a_scheduler().fit(job, 96, 0.0)
    assert job.max_tokens == 512


# -- the order ------------------------------------------------------------------------------------------------


def test_all_heads_go_before_anybodys_rest() -> None:
    scheduler = a_scheduler()
    first, second = a_job([10] * 4, head=2, deadline=50.0), a_job([10] * 4, head=2, deadline=90.0)
    add(scheduler, first, second)
    heads = [(first, 0), (first, 1), (second, 0), (second, 1)]
    rests = [(first, 2), (first, 3), (second, 2), (second, 3)]
    assert work_off(scheduler) == heads + rests


def test_the_earlier_deadline_goes_first_and_of_two_equal_ones_the_earlier_arrival() -> None:
    scheduler = a_scheduler()
    late, early, also_early = (a_job([10], deadline=at) for at in (90.0, 50.0, 50.0))
    add(scheduler, late, also_early, early)
    assert [job for job, _ in work_off(scheduler)] == [early, also_early, late]


def test_a_head_that_cannot_be_complete_takes_only_what_is_left_over() -> None:
    scheduler = a_scheduler()
    whole = a_job([10] * 6, head=2, deadline=TEN * 9.5)
    add(scheduler, whole)
    begun = take(scheduler)
    lost = a_job([10] * 8, deadline=TEN * 8.5)
    add(scheduler, lost, now=0.0)
    score(scheduler, begun, TEN)
    order = [job for job, _ in work_off(scheduler, TEN)]
    assert order[:5] == [whole] * 5
    assert set(order[5:]) == {lost}


def test_where_one_head_has_to_fail_it_is_not_the_one_that_was_begun() -> None:
    scheduler = a_scheduler()
    begun = a_job([10] * 8, deadline=TEN * 8.5)
    add(scheduler, begun)
    run = take(scheduler)
    urgent = a_job([10] * 4, deadline=TEN * 6.5)
    scheduler.add(urgent, 0.0)
    score(scheduler, run, TEN)
    work_off(scheduler, TEN)
    assert None not in begun.results()


def test_a_head_so_long_that_nobody_could_score_it_in_time_is_made_shorter_not_given_up() -> None:
    scheduler = a_scheduler()
    long = a_job([500] * 8, deadline=2.5 * run_seconds(500))
    short = a_job([10], deadline=99.0)
    add(scheduler, long, short)
    assert long.head == 2
    assert [job for job, _ in work_off(scheduler)][:2] == [long, long]


ARRIVALS = st.lists(
    st.tuples(st.floats(0, 0.2), st.lists(st.integers(5, 60), min_size=1, max_size=6), st.floats(0.01, 0.6)),
    min_size=1,
    max_size=12,
)


@given(ARRIVALS, st.integers(1, 4))
def test_a_head_that_was_begun_in_time_is_complete_in_time_whoever_comes_later(
    arrivals: list[tuple[float, list[int], float]], head: int
) -> None:
    """One worker, exactly as quick as predicted: then the prediction has to hold for every head begun."""
    scheduler = a_scheduler()
    coming, at = [], 0.0
    for gap, lengths, budget in arrivals:
        at += gap
        coming.append((at, a_job(lengths, deadline=at + budget, head=head)))
    begun: set[Job] = set()
    ends, now, run = math.inf, 0.0, None
    while coming or run is not None:
        if run is not None and (not coming or ends <= coming[0][0]):
            now = ends
            score(scheduler, run, now)
        else:
            now, job = coming.pop(0)
            if scheduler.refuse(job, now) is None:
                scheduler.add(job, now)
            if run is not None:
                continue
        scheduler.take_complete()
        before = {job: job.begun for job in scheduler.jobs()}
        work = scheduler.next(now)
        run = work if isinstance(work, Run) else None
        if run is not None:
            ends = now + run.predicted
            job = run.items[0].job
            is_head = run.items[0].candidate == 0 and not before[job]
            if is_head and costs_nobody_anything(scheduler, job, before, now, run):
                begun.add(job)
    for job in begun:
        assert None not in job.results()[: job.head]


def costs_nobody_anything(
    scheduler: Scheduler, job: Job, before: dict[Job, bool], now: float, run: Run
) -> bool:
    """Whether it was begun as a head that costs no begun one its completion, not as one for the left-overs."""
    at, heads = now, []
    for other in scheduler.jobs():
        if other is not job and before.get(other) and other.parts[0].waiting_pairs:
            seconds = other.parts[0].waiting_weight * 0.001
            if now + seconds <= other.deadline:
                heads.append((other.deadline, seconds))
    heads.append((job.deadline, job.parts[0].waiting_weight * 0.001 + run.predicted))
    for deadline, seconds in sorted(heads):
        at += seconds
        if at > deadline - 1e-9:
            return False
    return True


# -- what does not fit ----------------------------------------------------------------------------------------


def test_a_pair_that_cannot_end_in_time_never_starts_and_shorter_ones_after_it_do() -> None:
    scheduler = a_scheduler()
    job = a_job([500, 10, 400, 10], deadline=TEN * 2.5)
    add(scheduler, job)
    assert work_off(scheduler) == [(job, 1), (job, 3)]
    assert (job.complete, job.dropped) == (True, 2)


def test_a_job_that_can_no_longer_finish_anything_is_dropped_without_a_run() -> None:
    scheduler = a_scheduler()
    job = a_job([10] * 4, deadline=TEN * 4.5)
    add(scheduler, job)
    assert scheduler.next(TEN * 4) is None
    assert scheduler.take_complete() == [job]
    assert not job.begun


def test_a_chunk_of_a_candidate_that_was_given_up_is_not_run() -> None:
    scheduler = a_scheduler(encodes=True)
    job = a_job([20, 10], max_chunks=4)
    add(scheduler, job)
    work = scheduler.next(0.0)
    assert isinstance(work, Encode)
    scheduler.encoded(work, [[pair_of(10), pair_of(10)], [pair_of(10)]], 0.0)
    scheduler.failed(take(scheduler), 0.0)
    assert candidates(take(scheduler)) == [1]
    assert job.dropped == 1


# -- encoding -------------------------------------------------------------------------------------------------


def test_encoding_is_work_of_its_own_the_head_first() -> None:
    scheduler = a_scheduler(encodes=True, concurrency=2)
    job = a_job([10] * 6, head=4)
    add(scheduler, job)
    head, rest = scheduler.next(0.0), scheduler.next(0.0)
    assert isinstance(head, Encode)
    assert isinstance(rest, Encode)
    assert (len(head.texts), len(rest.texts)) == (4, 2)
    assert scheduler.next(0.0) is None
    scheduler.encoded(rest, [[pair_of(10)]] * 2, 0.0)
    scheduler.encoded(head, [[pair_of(10)]] * 4, 0.0)
    assert candidates(take(scheduler)) == [0]


def test_a_long_request_is_encoded_slice_by_slice() -> None:
    scheduler = a_scheduler(encodes=True, batch=BatchPolicy(encode_slice=2))
    job = a_job([10] * 3, head=3)
    add(scheduler, job)
    encode(scheduler, 0.0)
    assert [candidates(take(scheduler)) for _ in range(2)] == [[0], [1]]
    encode(scheduler, 0.0)
    assert candidates(take(scheduler)) == [2]


def test_what_could_not_be_scored_after_it_is_not_encoded() -> None:
    scheduler = a_scheduler(encodes=True)
    job = a_job([100] * 3, deadline=run_seconds(100) * 1.5)
    add(scheduler, job)
    assert scheduler.next(run_seconds(100)) is None
    assert (job.complete, job.begun, job.dropped) == (True, False, 3)


def test_texts_that_cannot_be_encoded_are_given_up_alone() -> None:
    scheduler = a_scheduler(encodes=True)
    job = a_job([10] * 6, head=4)
    add(scheduler, job)
    work = scheduler.next(0.0)
    assert isinstance(work, Encode)
    scheduler.failed(work, 0.0)
    assert (job.errors, job.unresolved, job.waiting_pairs) == (1, 2, 2)
    encode(scheduler, 0.0)
    assert candidates(take(scheduler)) == [4]


def _encode_as(scheduler: Scheduler, share: float, now: float = 0.0) -> None:
    """Do the encoding that is next, into pairs of that share of the tokens that are usually guessed."""
    work = scheduler.next(now)
    assert isinstance(work, Encode)
    sizes = work.job.sizes[work.first : work.last]
    scheduler.encoded(work, [[pair_of(round(tokens * share))] for tokens in sizes], now)


def test_an_encoding_teaches_how_long_the_texts_of_the_next_request_are() -> None:
    scheduler = a_scheduler(encodes=True)
    for _ in range(4):
        first = a_job([200] * 30, head=30)
        scheduler.add(first, 0.0)
        _encode_as(scheduler, 0.5)
        scheduler.close(first, 0.0)
    job = a_job([200] * 10, deadline=99.0)
    assert scheduler.refuse(job, 0.0) is None
    assert job.lengths == pytest.approx([100] * 10, rel=0.05)
    # how much a tokenizer has to read is no matter of tokens
    assert characters(job, 0, 10) == characters(a_job([200] * 10), 0, 10)


def test_of_a_long_request_what_is_not_yet_encoded_is_guessed_by_what_is() -> None:
    scheduler = a_scheduler(encodes=True, batch=BatchPolicy(encode_characters=10**9))
    job = a_job([200] * 96, head=96)
    scheduler.add(job, 0.0)
    _encode_as(scheduler, 0.5)
    assert job.lengths[:32] == [100] * 32
    assert job.lengths[32:] == pytest.approx([100] * 64, rel=0.1)
    assert job.parts[0].waiting_weight == pytest.approx(96 * pair_weight(100), rel=0.1)


def test_texts_that_were_longer_than_they_look_do_not_refuse_small_budgets_for_ever() -> None:
    """Whoever is refused teaches nothing, so time has to."""
    scheduler = a_scheduler(encodes=True)
    dense = a_job([100] * 30, head=30)
    scheduler.add(dense, 0.0)
    _encode_as(scheduler, 4.0)
    scheduler.close(dense, 0.0)

    def asked(now: float) -> Reason | None:
        return scheduler.refuse(a_job([100], deadline=now + 1.1 * run_seconds(100)), now)

    assert asked(0.0) is Reason.BUDGET_TOO_SMALL
    assert asked(180.0) is None


def test_an_encoding_teaches_what_encoding_costs() -> None:
    scheduler = a_scheduler(encodes=True)
    add(scheduler, a_job([10] * 3))
    work = scheduler.next(0.0)
    assert isinstance(work, Encode)
    before = scheduler.costs.encoding.seconds(100.0, 1.0)
    scheduler.encoded(work, [[pair_of(10)]] * 3, 1.0)
    assert scheduler.costs.encoding.seconds(100.0, 1.0) > before


# -- grouping -------------------------------------------------------------------------------------------------


def test_pairs_are_grouped_across_requests_in_the_order_of_their_priority() -> None:
    scheduler = a_scheduler(batch=BatchPolicy(max_pairs=3), **GROUPED)
    first, second = a_job([10] * 2, deadline=50.0), a_job([10] * 2, deadline=90.0)
    add(scheduler, first, second)
    assert [item.job for item in take(scheduler).items] == [first, first, second]
    assert [item.job for item in take(scheduler).items] == [second]


def test_a_run_holds_no_more_padded_tokens_than_allowed_and_is_sorted_by_length() -> None:
    scheduler = a_scheduler(batch_invariant=True, max_batch_tokens=100)
    add(scheduler, a_job([40, 60, 20, 30, 50]))
    run = take(scheduler)
    assert [item.pair.tokens for item in run.items] == [20, 40]
    assert run.padded_tokens <= 100


def test_a_pair_longer_than_a_run_may_hold_goes_alone() -> None:
    scheduler = a_scheduler(batch_invariant=True, max_batch_tokens=100)
    add(scheduler, a_job([200, 10]))
    assert candidates(take(scheduler)) == [0]


def test_no_pair_joins_a_run_that_would_take_more_than_half_of_what_its_most_urgent_caller_has_left() -> None:
    scheduler = a_scheduler(**GROUPED)
    urgent, patient = a_job([10] * 4, deadline=TEN * 5), a_job([10] * 9, head=9, deadline=99.0)
    add(scheduler, urgent, patient)
    run = take(scheduler)
    assert [item.job for item in run.items] == [urgent] * 2
    assert run.predicted <= TEN * 2.5 + 1e-9


def test_pairs_of_another_tier_wait_for_a_run_of_their_own() -> None:
    scheduler = a_scheduler(**GROUPED)
    add(scheduler, a_job([10] * 4, head=2))
    assert candidates(take(scheduler)) == [0, 1]
    assert candidates(take(scheduler)) == [2, 3]


def test_a_pair_that_is_no_longer_wanted_joins_no_run() -> None:
    scheduler = a_scheduler(encodes=True, batch=BatchPolicy(max_pairs=2), **GROUPED)
    job = a_job([20, 10, 10], max_chunks=4)
    add(scheduler, job)
    work = scheduler.next(0.0)
    assert isinstance(work, Encode)
    scheduler.encoded(work, [[pair_of(10)] * 4, [pair_of(10)], [pair_of(10)]], 0.0)
    scheduler.failed(take(scheduler), 0.0)
    assert candidates(take(scheduler)) == [1, 2]


@pytest.mark.parametrize("traits", [{}, {"batch_invariant": True}, {"max_batch_tokens": 4_096}])
def test_where_company_changes_scores_or_gains_nothing_pairs_run_alone(traits: dict[str, Any]) -> None:
    scheduler = a_scheduler(**traits)
    add(scheduler, a_job([10] * 3))
    assert candidates(take(scheduler)) == [0]


# -- whole requests -------------------------------------------------------------------------------------------


def test_a_scorer_of_whole_requests_gets_all_pairs_of_exactly_one() -> None:
    scheduler = a_scheduler(unit="query", encodes=True, concurrency=2)
    first, second = a_job([10] * 20, head=2), a_job([10] * 3)
    add(scheduler, first, second)
    assert [(item.job, item.candidate) for item in take(scheduler).items] == [(first, i) for i in range(20)]
    assert {item.job for item in take(scheduler).items} == {second}


def test_a_whole_request_that_no_longer_fits_is_dropped_whole() -> None:
    scheduler = a_scheduler(unit="query")
    job = a_job([10] * 3, deadline=1.5 * scheduler.costs.run([10], 0.0))
    add(scheduler, job)
    assert scheduler.next(job.deadline / 2) is None
    assert (job.complete, job.dropped, job.begun) == (True, 3, False)


def test_a_whole_request_that_runs_out_of_memory_fails() -> None:
    scheduler = a_scheduler(unit="query")
    job = a_job([10] * 3)
    add(scheduler, job)
    assert not scheduler.out_of_memory(take(scheduler), 0.0)
    assert (job.complete, job.errors) == (True, 1)


# -- how runs end ---------------------------------------------------------------------------------------------


def test_scores_go_to_their_own_candidates() -> None:
    scheduler = a_scheduler(**GROUPED)
    first, second = a_job([30, 10]), a_job([20])
    add(scheduler, first, second)
    run = take(scheduler)
    scheduler.scored(run, [float(item.pair.tokens) for item in run.items], 0.0)
    assert (first.results(), second.results()) == ([30.0, 10.0], [20.0])
    assert scheduler.take_complete() == [first, second]
    assert scheduler.jobs() == []


def test_a_run_teaches_what_runs_cost() -> None:
    scheduler = a_scheduler()
    add(scheduler, a_job([100]))
    before = scheduler.costs.run([100], 0.0)
    score(scheduler, take(scheduler), 2 * before)
    assert scheduler.costs.run([100], 2 * before) == pytest.approx(1.2 * before)


def test_a_failed_run_costs_its_own_candidates_only() -> None:
    scheduler = a_scheduler(batch=BatchPolicy(max_pairs=2), **GROUPED)
    job, other = a_job([10] * 3), a_job([10])
    add(scheduler, job, other)
    scheduler.failed(take(scheduler), 0.0)
    score(scheduler, take(scheduler), 0.0)
    assert (job.results(), job.errors) == ([None, None, 0.0], 1)
    assert (other.results(), other.errors) == ([0.0], 0)


def test_out_of_memory_queues_the_pairs_again_in_front_in_retrieval_order_and_halves_the_limit() -> None:
    scheduler = a_scheduler(batch=BatchPolicy(max_pairs=4), **GROUPED)
    job = a_job([40, 30, 20, 10, 5])
    add(scheduler, job)
    assert scheduler.out_of_memory(take(scheduler), 0.0)
    assert scheduler.limit.pairs == 2
    assert [item.candidate for item in job.parts[0].ready] == [0, 1, 2, 3, 4]
    assert sorted(candidates(take(scheduler))) == [0, 1]


def test_out_of_memory_of_a_single_pair_fails_it() -> None:
    scheduler = a_scheduler()
    job = a_job([10, 10])
    add(scheduler, job)
    assert not scheduler.out_of_memory(take(scheduler), 0.0)
    assert (job.errors, job.unresolved) == (1, 1)


def test_what_nobody_wants_any_more_is_not_queued_again() -> None:
    scheduler = a_scheduler(**GROUPED)
    job, gone = a_job([10]), a_job([10])
    add(scheduler, job, gone)
    run = take(scheduler)
    scheduler.close(gone, 0.0)
    scheduler.out_of_memory(run, 0.0)
    assert (job.waiting_pairs, gone.waiting_pairs, scheduler.waiting_pairs) == (1, 0, 1)


def test_the_limit_grows_back_after_good_runs() -> None:
    scheduler = a_scheduler(batch=BatchPolicy(max_pairs=2, regrow_runs=2), **GROUPED)
    add(scheduler, a_job([10] * 8))
    scheduler.out_of_memory(take(scheduler), 0.0)
    grown = [scheduler.scored(run, [0.0] * len(run.items), 0.0) for run in (take(scheduler), take(scheduler))]
    assert grown == [False, True]
    assert len(take(scheduler).items) == 2


def test_a_run_stopped_for_want_of_a_caller_says_nothing_unless_it_was_slow() -> None:
    for elapsed, learned in ((0.5, 1.0), (2.0, 1.4), (9.0, 1.0)):
        scheduler = a_scheduler()
        add(scheduler, a_job([100]))
        before = scheduler.costs.run([100], 0.0)
        run, now = take(scheduler), elapsed * before
        scheduler.interrupted(run, now)
        assert scheduler.costs.run([100], now) == pytest.approx(learned * before)
        assert not scheduler.active


def test_a_slow_spell_in_which_no_run_ends_in_time_is_noticed() -> None:
    scheduler, now = a_scheduler(), 0.0
    for _ in range(50):
        job = a_job([100], deadline=now + 1.5 * run_seconds(100))
        if scheduler.refuse(job, now) is Reason.BUDGET_TOO_SMALL:
            break
        scheduler.add(job, now)
        run, now = take(scheduler, now), job.deadline
        scheduler.close(job, now)
        scheduler.interrupted(run, now)
    else:
        pytest.fail("fifty callers waited in vain")


# -- closing --------------------------------------------------------------------------------------------------


def test_closing_names_the_work_that_is_thereby_of_no_use() -> None:
    scheduler = a_scheduler(concurrency=3)
    job, other = a_job([10] * 2), a_job([10])
    add(scheduler, job, other)
    mine: list[Work] = [take(scheduler), take(scheduler)]
    take(scheduler)
    assert set(map(id, scheduler.close(job, 0.0))) == set(map(id, mine))
    assert scheduler.jobs() == [other]


def test_a_run_that_another_caller_still_waits_for_is_of_use() -> None:
    scheduler = a_scheduler(**GROUPED)
    job, other = a_job([10]), a_job([10])
    add(scheduler, job, other)
    run = take(scheduler)
    assert scheduler.close(job, 0.0) == []
    assert scheduler.close(other, 0.0) == [run]


def test_nothing_changes_a_closed_job() -> None:
    scheduler = a_scheduler(concurrency=4, encodes=True)
    jobs = [a_job([10]) for _ in range(4)]
    add(scheduler, *jobs)
    for work in [scheduler.next(0.0) for _ in jobs]:
        assert isinstance(work, Encode)
        scheduler.encoded(work, [[pair_of(10)]], 0.0)
    runs = [take(scheduler) for _ in jobs]
    late = a_job([10])
    scheduler.add(late, 0.0)
    encoding = scheduler.next(0.0)
    assert isinstance(encoding, Encode)
    for job in (*jobs, late):
        scheduler.close(job, 0.0)
    score(scheduler, runs[0], 1.0)
    scheduler.failed(runs[1], 1.0)
    scheduler.out_of_memory(runs[2], 1.0)
    scheduler.interrupted(runs[3], 1.0)
    scheduler.encoded(encoding, [[pair_of(10)]], 1.0)
    for job in (*jobs, late):
        assert (job.results(), job.errors, job.waiting_pairs) == ([None], 0, 0)
    assert not scheduler.active


def test_a_failed_encoding_does_not_change_a_closed_job() -> None:
    scheduler = a_scheduler(encodes=True)
    job = a_job([10])
    add(scheduler, job)
    work = scheduler.next(0.0)
    assert work is not None
    scheduler.close(job, 0.0)
    scheduler.failed(work, 0.0)
    assert (job.errors, job.waiting_pairs) == (0, 0)


def test_a_job_closed_while_a_run_is_overrun_knows_whom_to_blame() -> None:
    scheduler = a_scheduler()
    job, other = a_job([10], deadline=99.0), a_job([10], deadline=99.0)
    add(scheduler, job, other)
    run = take(scheduler)
    assert not scheduler.overran(run.overrun_at)
    scheduler.close(other, run.overrun_at)
    scheduler.close(job, run.overrun_at + 0.001)
    scheduler.close(other, run.overrun_at + 1.0)
    assert (job.overran, other.overran) == (True, False)


def test_whoever_waits_while_work_is_given_up_as_hung_falls_short_because_of_it() -> None:
    """Their own deadlines may come when the hung work is no longer there to be seen."""
    scheduler = a_scheduler()
    hung, waits = a_job([10], deadline=9.0), a_job([10], deadline=9.0)
    add(scheduler, hung, waits)
    run = take(scheduler)
    scheduler.hung()
    scheduler.failed(run, 5.0)
    scheduler.close(waits, 5.0)
    assert waits.overran
    later = a_job([10], deadline=9.0)
    scheduler.add(later, 5.0)
    scheduler.close(later, 5.0)
    assert not later.overran


def test_a_caller_that_froze_is_found_by_its_deadline() -> None:
    scheduler = a_scheduler()
    soon, later, never = a_job(deadline=5.0), a_job(deadline=9.0), a_job()
    add(scheduler, soon, later, never)
    assert scheduler.expired(4.9) == []
    assert scheduler.expired(5.0) == [soon]


@pytest.mark.parametrize(("asked", "possible", "workers"), [(0, 3, 3), (2, 3, 2), (9, 3, 3)])
def test_there_are_as_many_workers_as_asked_for_but_no_more_than_the_scorer_can_use(
    asked: int, possible: int, workers: int
) -> None:
    assert a_scheduler(batch=BatchPolicy(workers=asked), concurrency=possible).workers == workers
