"""What work is predicted to take, in the words of the scheduler."""

from typing import Any

import pytest

from rerankd.core.batch import BatchPolicy
from rerankd.core.costs import Costs, characters
from rerankd.core.estimate import pair_weight
from rerankd.core.job import Item
from rerankd.core.lengths import CHARACTERS_PER_TOKEN
from rerankd.core.work import Run
from tests.core.make import a_job, a_scheduler, pair_of, run_seconds

GROUPED = {"batch_invariant": True, "max_batch_tokens": 4_096}


def costs(**options: Any) -> Costs:
    return a_scheduler(**options).costs


def test_a_run_costs_by_its_longest_pair() -> None:
    assert costs().run([10, 100], 0.0) == pytest.approx(run_seconds(10, 100))


def test_a_run_is_overrun_after_four_times_that_but_not_at_once() -> None:
    assert costs().run_patience([100], 0.0) == pytest.approx(4 * run_seconds(100))
    assert costs().run_patience([1], 0.0) == 0.05
    assert costs(encodes=True).encode_patience(a_job(), 0, 3, 0.0) == 0.05


def test_the_tokenizer_looks_at_no_more_characters_than_fit_the_window() -> None:
    job = a_job([10, 100_000, 10])
    assert characters(job, 1, 2) == int(512 * CHARACTERS_PER_TOKEN)


def test_the_first_score_is_that_of_the_shortest_candidate() -> None:
    assert costs().first_score(a_job([200, 30, 90]), 32, 0.0) == pytest.approx(run_seconds(30))


def test_a_long_candidate_in_chunks_has_its_first_score_after_one_window() -> None:
    job = a_job([2_000], max_chunks=4)
    assert costs().first_score(job, 32, 0.0) == pytest.approx(run_seconds(512))


def test_where_texts_must_be_encoded_that_comes_before_it() -> None:
    made = costs(encodes=True)
    made.encoding.calibrate([(100.0, 1.0), (200.0, 2.0)], 0.0)
    job = a_job([30] * 40, head=40)
    expected = run_seconds(30) + characters(job, 0, 32) * 0.01
    assert made.first_score(job, 32, 0.0) == pytest.approx(expected)


def test_a_scorer_of_whole_requests_takes_plain_text_and_all_its_calls_count_as_equal() -> None:
    made = costs(unit="query", encodes=True)
    assert not made.encodes
    few, many = a_job([30]), a_job([500] * 100)
    assert made.first_score(few, 32, 0.0) == made.first_score(many, 32, 0.0) == made.run([7, 9], 0.0)
    assert made.all_workers(few.parts[0], 0.0) == made.run([30], 0.0)


def test_what_a_run_took_is_learned_by_what_it_was() -> None:
    made, job = costs(), a_job([10])
    run = Run([Item(job, 0, pair_of(100))], now=0.0, predicted=1.0, patience=1.0)
    before = made.run([100], 0.0)
    made.observe(run, 2 * before, 2 * before)
    assert made.run([100], 2 * before) == pytest.approx(1.2 * before)


@pytest.mark.parametrize(
    ("traits", "share", "runs"),
    [
        ({}, 1, 4),
        ({"concurrency": 2}, 2, 4),
        ({"concurrency": 8}, 4, 4),
        ({"concurrency": 8, **GROUPED}, 1, 1),
    ],
)
def test_a_head_is_shared_by_as_many_workers_as_it_has_runs(
    traits: dict[str, Any], share: int, runs: int
) -> None:
    scheduler = a_scheduler(**traits)
    scheduler.costs.running.calibrate([(100.0, 0.3), (200.0, 0.5)], 0.0)
    seconds = scheduler.costs.all_workers(a_job([10] * 4).parts[0], 0.0)
    assert seconds == pytest.approx((runs * 0.1 + 4 * pair_weight(10) * 0.002) / share)


def test_nothing_that_waits_takes_no_time() -> None:
    part = a_job([10], head=1).parts[1]
    assert costs().all_workers(part, 0.0) == 0.0


def test_as_much_of_a_head_is_reachable_as_an_idle_engine_could_score_in_time() -> None:
    lengths = [100] * 8
    assert costs().reachable(a_job(lengths, deadline=3.5 * run_seconds(100)), 0.0) == 3
    assert costs(concurrency=2).reachable(a_job(lengths, deadline=3.6 * run_seconds(100)), 0.0) == 7
    assert costs().reachable(a_job(lengths, deadline=99.0), 0.0) == 8
    assert costs().reachable(a_job(lengths, deadline=0.0), 0.0) == 1


def test_a_smaller_batch_limit_makes_more_runs() -> None:
    scheduler = a_scheduler(batch=BatchPolicy(max_pairs=4), **GROUPED)
    scheduler.costs.running.calibrate([(100.0, 0.3), (200.0, 0.5)], 0.0)
    part = a_job([10] * 8).parts[0]
    before = scheduler.costs.all_workers(part, 0.0)
    scheduler.limit.halve(4)
    assert scheduler.costs.all_workers(part, 0.0) == pytest.approx(before + 2 * 0.1)
