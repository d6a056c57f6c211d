"""How a request ended, why, and what that says about the scorer."""

import math
from collections.abc import Callable

import pytest

from rerankd.core.breaker import Verdict
from rerankd.core.conclusion import Conclusion, conclude, refused
from rerankd.core.job import Job
from rerankd.core.types import OnDeadline, Outcome, Reason
from tests.core.make import a_job

GOOD, BAD, UNJUDGED = Verdict.GOOD, Verdict.BAD, Verdict.UNJUDGED


def ended(
    *happened: Callable[[Job], object],
    scored: int = 0,
    on_deadline: OnDeadline = "partial",
    overran: bool = False,
) -> Conclusion:
    """A request of four candidates, the first two its head, of which so many were scored."""
    job = a_job([10] * 4, head=2)
    if scored or happened:
        job.begin("inference", 0.0)
    for candidate in range(scored):
        job.scored(candidate, float(candidate))
    for each in happened:
        each(job)
    job.close(overran=overran)
    return conclude(job, on_deadline)


def raised(job: Job) -> None:
    job.failed([3])


def no_number(job: Job) -> None:
    job.scored(3, math.nan)


def engine_closed(job: Job) -> None:
    job.unserved = True


# -- outcome --------------------------------------------------------------------------------------------------


def test_all_scored_is_reranked_without_a_reason() -> None:
    conclusion = ended(scored=4)
    assert (conclusion.outcome, conclusion.reason, conclusion.depth) == (Outcome.RERANKED, None, 4)
    assert conclusion.logits == (0.0, 1.0, 2.0, 3.0)


def test_some_scored_is_partial() -> None:
    conclusion = ended(scored=3)
    assert (conclusion.outcome, conclusion.depth) == (Outcome.PARTIAL, 3)
    assert conclusion.logits == (0.0, 1.0, 2.0, None)


def test_none_scored_is_skipped() -> None:
    conclusion = ended(raised)
    assert (conclusion.outcome, conclusion.depth, conclusion.logits) == (Outcome.SKIPPED, 0, (None,) * 4)


def test_where_all_or_nothing_was_asked_for_some_is_nothing() -> None:
    conclusion = ended(scored=3, on_deadline="retrieval")
    assert (conclusion.outcome, conclusion.depth, conclusion.logits) == (Outcome.SKIPPED, 0, (None,) * 4)
    assert conclusion.verdict is GOOD


def test_where_all_or_nothing_was_asked_for_all_is_reranked() -> None:
    assert ended(scored=4, on_deadline="retrieval").outcome is Outcome.RERANKED


# -- reason ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("conclusion", "reason"),
    [
        (ended(scored=3), Reason.DEADLINE),
        (ended(), Reason.OVERLOADED),
        (ended(overran=True), Reason.DEADLINE),
        (ended(no_number), Reason.NONFINITE_SCORE),
        (ended(raised), Reason.MODEL_ERROR),
        (ended(no_number, raised), Reason.MODEL_ERROR),
        (ended(engine_closed, raised), Reason.MODEL_UNAVAILABLE),
    ],
)
def test_the_first_reason_that_applies_is_given(conclusion: Conclusion, reason: Reason) -> None:
    assert conclusion.reason is reason


def test_an_engine_that_failed_before_it_began_is_an_error_and_not_overload() -> None:
    job = a_job([10])
    job.fail_all()
    job.close(overran=False)
    assert conclude(job, "partial").reason is Reason.MODEL_ERROR


# -- verdict --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("conclusion", "verdict"),
    [
        (ended(scored=4), GOOD),
        (ended(scored=2), GOOD),
        (ended(scored=1), UNJUDGED),
        (ended(), UNJUDGED),
        (ended(scored=1, overran=True), BAD),
        (ended(overran=True), BAD),
        (ended(raised, scored=1), BAD),
        (ended(no_number, scored=1), BAD),
        (ended(raised, scored=2), GOOD),
        (ended(no_number, scored=2), GOOD),
        (ended(scored=2, overran=True), GOOD),
        (ended(engine_closed, raised, overran=True), UNJUDGED),
    ],
)
def test_falling_short_of_the_head_is_bad_only_where_the_scorer_is_to_blame(
    conclusion: Conclusion, verdict: Verdict
) -> None:
    assert conclusion.verdict is verdict


def test_concluding_twice_gives_the_same_whatever_comes_late() -> None:
    job = a_job([10] * 4, head=2)
    job.begin("inference", 0.0)
    job.scored(0, 1.0)
    job.close(overran=False)
    first = conclude(job, "partial")
    job.end("inference", 9.0)
    assert conclude(job, "partial") == first


def test_what_a_scorer_left_without_a_failure_is_told_with_its_reason() -> None:
    found = ended(lambda job: job.leave(3, Reason.OVERLOADED), scored=2)
    assert (found.outcome, found.reason, found.depth) == (Outcome.PARTIAL, Reason.OVERLOADED, 2)


# -- with scores that were known before -----------------------------------------------------------------------


def knowing(*known: float | None) -> Job:
    return a_job([10] * len(known), head=2, known=known)


def test_a_known_score_counts_in_the_depth_and_not_for_the_scorer() -> None:
    job = knowing(1.0, 2.0, 3.0, None)
    job.begin("inference", 0.0)
    job.failed([0])
    job.close(overran=False)
    found = conclude(job, "partial")
    assert (found.outcome, found.reason, found.depth) == (Outcome.PARTIAL, Reason.MODEL_ERROR, 3)
    assert (found.logits, found.verdict) == ((1.0, 2.0, 3.0, None), BAD)


def test_where_everything_was_known_the_scorer_is_not_judged() -> None:
    job = knowing(1.0, 2.0)
    job.close(overran=True)
    found = conclude(job, "retrieval")
    assert (found.outcome, found.reason, found.depth, found.verdict) == (Outcome.RERANKED, None, 2, UNJUDGED)


@pytest.mark.parametrize(
    ("known", "on_deadline", "outcome", "depth"),
    [
        ((1.0, None), "partial", Outcome.PARTIAL, 1),
        ((1.0, None), "retrieval", Outcome.SKIPPED, 0),
        ((None, None), "partial", Outcome.SKIPPED, 0),
        ((), "partial", Outcome.SKIPPED, 0),
    ],
)
def test_of_a_job_that_is_refused_what_was_known_is_left(
    known: tuple[float | None, ...], on_deadline: OnDeadline, outcome: Outcome, depth: int
) -> None:
    job = knowing(*known) if known else a_job([10] * 2)
    found = refused(job, Reason.OVERLOADED, on_deadline)
    assert (found.outcome, found.reason, found.depth) == (outcome, Reason.OVERLOADED, depth)
    assert (len(found.logits), found.verdict) == (2, UNJUDGED)
