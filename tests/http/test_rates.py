"""A key gets its rate in the long run, a burst after a pause, and so many requests at once."""

from hypothesis import given
from hypothesis import strategies as st

from rerankd.http.rates import Meter


def ask(meter: Meter, now: float) -> bool:
    within = meter.enter(now)
    meter.leave()
    return within


@given(st.lists(st.floats(0, 5), max_size=200), st.integers(1, 600))
def test_never_more_than_the_rate_and_one_burst(pauses, per_minute):
    meter, now, allowed = Meter(per_minute, 0), 100.0, 0
    for pause in pauses:
        now += pause
        allowed += ask(meter, now)
    burst = max(1.0, per_minute / 6)
    assert allowed <= burst + (now - 100.0) * per_minute / 60 + 1e-6


def test_a_rate_that_is_kept_is_never_refused():
    meter = Meter(60, 0)
    assert all(ask(meter, second) for second in range(100))


def test_what_is_over_the_number_at_once_is_refused_and_costs_no_rate():
    meter = Meter(6, 1)
    assert meter.enter(0)
    assert not meter.enter(0)
    meter.leave()
    meter.leave()
    assert meter.enter(10)


def test_zero_means_any_number():
    meter = Meter(0, 0)
    assert all(meter.enter(0) for _ in range(1_000))
