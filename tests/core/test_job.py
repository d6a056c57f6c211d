"""A job's candidates are resolved once; what waits is counted exactly; nothing changes once it is closed."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rerankd.core.estimate import pair_weight
from rerankd.core.job import Job, Part
from rerankd.core.lengths import USUAL, PerToken
from tests.core.make import a_job, pair_of


def waiting(part: Part) -> tuple[int, float]:
    return part.waiting_pairs, part.waiting_weight


def ready(job: Job, *chunks: int) -> None:
    """Every candidate is encoded, into so many pairs."""
    for candidate, count in enumerate(chunks):
        job.ready(candidate, [pair_of(10)] * count)
    for part in job.parts:
        part.next = part.last


# -- head and rest --------------------------------------------------------------------------------------------


def test_the_head_is_the_first_candidates_and_never_longer_than_all() -> None:
    job = a_job([10] * 5, head=3)
    assert [(part.first, part.last) for part in job.parts] == [(0, 3), (3, 5)]
    assert a_job([10] * 2, head=3).head == 2


def test_the_head_can_be_made_shorter_before_anything_is_begun() -> None:
    job = a_job([10] * 5, head=3)
    job.split(1)
    assert [part.waiting_pairs for part in job.parts] == [1, 4]
    assert job.part_of(0) is job.parts[0]
    assert job.part_of(1) is job.parts[1]


def test_a_shorter_cut_makes_long_candidates_lighter() -> None:
    job = a_job([10, 200])
    job.cap(100)
    assert job.lengths == [10, 100]
    assert waiting(job.parts[0]) == (2, pair_weight(10) + pair_weight(100))


def test_another_guess_changes_what_waits_and_is_not_begun() -> None:
    job = a_job([10, 100, 100, 9_999], head=2)
    sizes = job.sizes.copy()
    job.parts[0].next = 1
    job.guess(PerToken(9.0, 2.0))
    assert job.lengths == [10, 52, 52, 512]
    assert job.sizes == sizes
    assert waiting(job.parts[0]) == (2, pytest.approx(pair_weight(10) + pair_weight(52)))
    assert waiting(job.parts[1]) == (2, pytest.approx(pair_weight(52) + pair_weight(512)))


def test_a_guess_that_is_hardly_another_changes_nothing() -> None:
    job = a_job([100])
    job.guess(PerToken(4.55, 2.0))
    assert job.per_token == USUAL


def test_a_shorter_cut_goes_by_the_last_guess() -> None:
    job = a_job([100, 200])
    job.guess(PerToken(9.0, 2.0))
    job.cap(60)
    assert job.lengths == [52, 60]
    assert job.sizes == [60, 60]


def test_a_candidate_of_several_windows_weighs_as_its_chunks() -> None:
    job = a_job([10], max_tokens=100, max_chunks=4)
    assert job.weight(250) == 2 * pair_weight(100) + pair_weight(50)


# -- what waits -----------------------------------------------------------------------------------------------


def test_encoding_replaces_the_guess_by_what_is_there() -> None:
    job = a_job([10])
    job.ready(0, [pair_of(40), pair_of(30)])
    assert waiting(job.parts[0]) == (2, pair_weight(40) + pair_weight(30))
    assert job.lengths == [70]


def test_what_is_taken_waits_no_longer_and_what_is_returned_waits_again_in_front() -> None:
    job = a_job([10, 10])
    ready(job, 1, 1)
    part = job.parts[0]
    first = part.ready.popleft()
    job.taken(first)
    assert waiting(part) == (1, pair_weight(10))
    job.returned(first)
    assert waiting(part) == (2, 2 * pair_weight(10))
    assert part.ready[0] is first


@given(st.lists(st.integers(1, 500), min_size=1, max_size=20), st.randoms())
def test_when_nothing_waits_it_weighs_nothing_whatever_the_rounding(lengths: list[int], draw: object) -> None:
    job = a_job(lengths, head=len(lengths))
    for candidate, tokens in enumerate(lengths):
        job.ready(candidate, [pair_of(tokens), pair_of(tokens // 2 + 1)])
    items = list(job.parts[0].ready)
    draw.shuffle(items)  # type: ignore[attr-defined]
    for item in items:
        job.taken(item)
        assert job.parts[0].waiting_weight >= 0.0
    assert waiting(job.parts[0]) == (0, 0.0)


def test_what_nobody_has_begun_to_encode_can_be_given_up_at_once() -> None:
    job = a_job([10, 10, 10], head=2)
    job.parts[0].next = 1
    job.drop_unencoded(job.parts[0])
    assert not job.parts[0].available
    assert (job.dropped, job.unresolved, job.waiting_pairs) == (1, 2, 2)


# -- results --------------------------------------------------------------------------------------------------


def test_a_candidate_has_its_score_when_all_its_chunks_have_one_and_the_best_counts() -> None:
    job = a_job([10])
    ready(job, 3)
    job.scored(0, 1.0)
    job.scored(0, 3.0)
    assert job.results() == [None]
    assert not job.complete
    job.scored(0, 2.0)
    assert job.results() == [3.0]
    assert job.complete


def test_a_candidate_is_given_up_when_one_of_its_chunks_has_no_number() -> None:
    job = a_job([10, 10])
    ready(job, 2, 1)
    job.scored(0, 1.0)
    job.scored(0, math.nan)
    job.scored(1, 0.5)
    assert job.results() == [None, 0.5]
    assert (job.nonfinite, job.complete) == (1, True)


def test_what_was_given_up_is_not_scored_by_a_chunk_that_comes_late() -> None:
    job = a_job([10])
    ready(job, 2)
    job.failed([0])
    job.scored(0, 1.0)
    job.scored(0, 1.0)
    assert job.results() == [None]


def test_a_candidate_is_resolved_once_however_often_it_is_given_up() -> None:
    job = a_job([10, 10])
    job.give_up(0)
    job.give_up(0)
    job.drop(0)
    assert job.unresolved == 1


def test_the_head_is_complete_before_the_job_is() -> None:
    job = a_job([10] * 4, head=2)
    job.scored(3, 1.0)
    job.scored(0, 1.0)
    assert not job.head_complete
    job.give_up(1)
    assert job.head_complete
    assert not job.complete


def test_a_head_made_shorter_is_complete_sooner() -> None:
    job = a_job([10] * 4, head=3)
    job.split(1)
    job.scored(0, 1.0)
    assert job.head_complete


def test_failing_everything_completes_it() -> None:
    job = a_job([10, 10])
    job.fail_all()
    assert (job.complete, job.errors, job.results()) == (True, 1, [None, None])


# -- closing --------------------------------------------------------------------------------------------------


def test_a_closed_job_wants_nothing_more() -> None:
    job = a_job([10, 10])
    ready(job, 1, 1)
    item = job.parts[0].ready[0]
    assert job.wants(item)
    job.close(overran=False)
    assert not job.wants(item)


def test_closing_counts_what_was_never_begun_as_dropped_and_lets_go_of_it() -> None:
    job = a_job([10] * 5, head=3)
    ready(job, 1, 1)
    job.close(overran=True)
    assert (job.dropped, job.waiting_pairs, job.overran) == (5, 0, True)
    assert not any(part.available for part in job.parts)


# -- times ----------------------------------------------------------------------------------------------------


def test_two_workers_at_once_count_once() -> None:
    job = a_job()
    job.begin("inference", 1.0)
    job.begin("inference", 2.0)
    job.end("inference", 3.0)
    job.end("inference", 5.0)
    job.begin("inference", 10.0)
    job.end("inference", 11.0)
    assert job.spent("inference", 99.0) == pytest.approx(5.0)
    assert job.spent("tokenize", 99.0) == 0.0


def test_what_is_under_way_counts_up_to_now() -> None:
    job = a_job()
    job.begin("tokenize", 1.0)
    assert job.spent("tokenize", 4.0) == 3.0


def test_its_first_work_begins_it() -> None:
    job = a_job()
    assert not job.begun
    job.begin("tokenize", 1.0)
    job.begin("inference", 2.0)
    assert (job.begun, job.first_work) == (True, 1.0)


def test_where_scores_were_known_before_it_speaks_of_the_rest_and_its_results_of_all() -> None:
    job = a_job([10, 20, 30, 40], head=2, known=[None, 1.0, None, 2.0])
    assert (job.lengths, job.head, job.unresolved) == ([10, 30], 1, 2)
    assert job.waiting_pairs == 2
    job.scored(1, 7.0)
    assert job.results() == [None, 1.0, 7.0, 2.0]
    assert job.scores() == [None, 7.0]


def test_a_head_that_was_known_before_leaves_one_of_the_rest_to_be_judged_by() -> None:
    assert a_job([10] * 4, head=2, known=[1.0, 2.0, None, None]).head == 1


def test_a_job_whose_scores_were_all_known_is_complete_from_the_start() -> None:
    job = a_job([10, 10], head=2, known=[1.0, 2.0])
    assert job.complete
    assert job.head_complete
    assert (job.results(), job.scores(), job.waiting_pairs) == ([1.0, 2.0], [], 0)
