"""The budget becomes one absolute moment, once."""

import math

from hypothesis import given
from hypothesis import strategies as st

from rerankd.core.deadline import Deadline


def test_a_budget_in_milliseconds_is_counted_from_now() -> None:
    assert Deadline.after(10.0, 250.0) == Deadline(10.25)


def test_without_a_budget_there_is_no_limit() -> None:
    deadline = Deadline.after(10.0, None)
    assert deadline.remaining(1e12) == math.inf
    assert not deadline.passed(1e12)


def test_it_has_passed_at_its_very_moment() -> None:
    deadline = Deadline(5.0)
    assert not deadline.passed(4.999)
    assert deadline.passed(5.0)


def test_what_remains_is_negative_when_it_has_passed() -> None:
    assert Deadline(5.0).remaining(7.0) == -2.0


@given(st.floats(0, 1e6), st.floats(0, 1e6), st.floats(0, 1e6))
def test_a_larger_budget_never_ends_earlier(now: float, budget: float, more: float) -> None:
    assert Deadline.after(now, budget) <= Deadline.after(now, budget + more) <= Deadline.after(now, None)
