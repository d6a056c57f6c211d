"""Where pairs share a run, none is taken along whose score nobody would use."""

import math

from rerankd.core.batch import BatchPolicy
from rerankd.core.work import Run
from tests.core.make import a_job, a_scheduler, encode, pair_of


def test_a_chunk_of_a_candidate_that_is_given_up_does_not_join_a_run() -> None:
    """Its sibling gave no number, so the candidate has no score whatever this chunk would get."""
    policy = BatchPolicy(max_pairs=2, regrow_runs=1)
    scheduler = a_scheduler(encodes=True, batch=policy, batch_invariant=True, max_batch_tokens=1_000)
    chunked = a_job([20], deadline=1e6)
    scheduler.add(chunked, 0.0)
    work = scheduler.next(0.0)
    scheduler.encoded(work, [[pair_of(10), pair_of(10)]], 0.0)
    scheduler.limit.halve(2)
    first = scheduler.next(0.0)
    assert isinstance(first, Run)
    assert scheduler.scored(first, [math.nan], 0.0), "the limit grows back to two pairs"
    urgent = a_job([10], deadline=1e5)
    scheduler.add(urgent, 0.0)
    encode(scheduler, 0.0)
    run = scheduler.next(0.0)
    assert isinstance(run, Run)
    assert [item.job for item in run.items] == [urgent]
    assert chunked.dropped == 1
