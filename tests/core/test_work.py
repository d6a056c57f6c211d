"""What a worker is given: how long it should take, and from when on it counts as overrun."""

from rerankd.core.estimate import pair_weight
from rerankd.core.job import Item
from rerankd.core.work import Encode, Run
from tests.core.make import a_job, pair_of


def a_run(*tokens: int) -> Run:
    job = a_job(tokens)
    items = [Item(job, candidate, pair_of(each)) for candidate, each in enumerate(tokens)]
    return Run(items, now=10.0, predicted=1.0, patience=4.0)


def test_what_is_left_of_it_is_nothing_once_it_is_overdue() -> None:
    run = a_run(10)
    assert (run.left(10.25), run.left(11.0), run.left(50.0)) == (0.75, 0.0, 0.0)


def test_it_is_overrun_when_its_patience_is_over() -> None:
    run = a_run(10)
    assert not run.overran(14.0)
    assert run.overran(14.001)


def test_a_run_knows_its_jobs_and_what_padding_makes_of_it() -> None:
    run = a_run(10, 100)
    assert (run.tokens, run.padded_tokens, run.weight) == (110, 200, 2 * pair_weight(100))
    assert run.jobs == {item.job for item in run.items}


def test_an_encoding_knows_its_texts_and_its_job() -> None:
    job = a_job([10, 20, 30, 40])
    work = Encode(job, job.parts[0], 1, 3, characters=9, now=0.0, predicted=1.0, patience=2.0)
    assert work.texts == job.texts[1:3]
    assert work.jobs == {job}
