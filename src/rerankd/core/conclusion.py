"""How a request ended, from what became of its pairs."""

from dataclasses import dataclass

from rerankd.core.breaker import Verdict
from rerankd.core.job import Job
from rerankd.core.types import OnDeadline, Outcome, Reason

__all__ = ["Conclusion", "conclude", "refused"]


@dataclass(frozen=True, slots=True)
class Conclusion:
    """The outcome of a request that was taken in, and what it says about the scorer."""

    logits: tuple[float | None, ...]
    outcome: Outcome
    reason: Reason | None
    depth: int
    verdict: Verdict


def conclude(job: Job, on_deadline: OnDeadline) -> Conclusion:
    """Judge a closed job.

    A request that fell short of its head while runs kept to their predictions says nothing about the scorer:
    that was load, or a long text.
    """
    logits = tuple(job.results())
    depth = sum(logit is not None for logit in logits)
    verdict = _verdict(job)
    if depth == len(logits):
        return Conclusion(logits, Outcome.RERANKED, None, depth, verdict)
    return _short(logits, depth, _reason(job), on_deadline, verdict)


def refused(job: Job, reason: Reason, on_deadline: OnDeadline) -> Conclusion:
    """Judge a job that was not taken in: what was known before is all that its request gets."""
    logits = tuple(job.results())
    depth = sum(logit is not None for logit in logits)
    return _short(logits, depth, reason, on_deadline, Verdict.UNJUDGED)


def _short(
    logits: tuple[float | None, ...], depth: int, reason: Reason, on_deadline: OnDeadline, verdict: Verdict
) -> Conclusion:
    if depth == 0 or on_deadline == "retrieval":
        return Conclusion((None,) * len(logits), Outcome.SKIPPED, reason, 0, verdict)
    return Conclusion(logits, Outcome.PARTIAL, reason, depth, verdict)


def _verdict(job: Job) -> Verdict:
    # a score that was known before is no work of the scorer's
    if job.unserved or not job.texts:
        return Verdict.UNJUDGED
    if sum(score is not None for score in job.scores()) >= job.head:
        # one text that the model cannot digest must not shut it for everybody
        return Verdict.GOOD
    # a scorer that answers without numbers is as broken as one that raises
    return Verdict.BAD if job.errors or job.nonfinite or job.overran else Verdict.UNJUDGED


def _reason(job: Job) -> Reason:
    if job.unserved:
        return Reason.MODEL_UNAVAILABLE
    if job.errors:
        return Reason.MODEL_ERROR
    if job.nonfinite:
        return Reason.NONFINITE_SCORE
    if job.left is not None:
        return job.left
    return Reason.DEADLINE if job.begun or job.overran else Reason.OVERLOADED
