from itertools import islice, pairwise

import pytest

from rerankd.bench.arrivals import Closed, Open


def test_open_arrivals_rise_and_are_the_same_for_the_same_seed() -> None:
    times = list(islice(Open(rate=50, seed=3).times(), 200))
    assert times == list(islice(Open(rate=50, seed=3).times(), 200))
    assert times != list(islice(Open(rate=50, seed=4).times(), 200))
    assert all(before < after for before, after in pairwise(times))


def test_open_arrivals_come_at_their_rate_and_as_irregularly_as_independent_callers() -> None:
    times = list(islice(Open(rate=50).times(), 20_000))
    gaps = [after - before for before, after in pairwise(times)]
    mean = sum(gaps) / len(gaps)
    spread = (sum((gap - mean) ** 2 for gap in gaps) / len(gaps)) ** 0.5
    assert mean == pytest.approx(1 / 50, rel=0.05)
    assert spread == pytest.approx(mean, rel=0.05)  # exponential: as wide as its mean


@pytest.mark.parametrize("rate", [0, -1, float("nan")])
def test_a_rate_that_never_sends_is_refused(rate: float) -> None:
    with pytest.raises(ValueError, match="rate: must be above 0"):
        Open(rate=rate)


def test_nobody_calling_is_refused() -> None:
    with pytest.raises(ValueError, match="concurrency: must be at least 1"):
        Closed(concurrency=0)
