"""A figure is judged as it was promised, and percentiles are never flattering."""

from tests.prove.line import Line, percentile, seconds


def test_a_timing_is_shown_but_not_judged_in_the_quick_form():
    late = Line(3, "overshoot", "≤ 10 ms", "12 ms", False, timed=True)
    assert not late.fails(quick=True)
    assert late.fails(quick=False)
    assert late.verdict(quick=False) == "FAIL"


def test_what_is_counted_is_judged_in_both_forms():
    lost = Line(1, "conserved", "0", "1", False)
    assert lost.fails(quick=True)
    assert lost.fails(quick=False)


def test_a_percentile_is_a_value_that_was_seen_and_not_below_its_share():
    values = [float(number) for number in range(1, 1001)]
    assert percentile(values, 0.5) == 500
    assert percentile(values, 0.99) == 990
    assert percentile(values, 0.999) == 999
    assert percentile([3.0, 1.0, 2.0], 0.999) == 3.0
    assert percentile([], 0.5) == 0.0


def test_seconds_read_well():
    assert seconds(0.0123) == "12.30 ms"
    assert seconds(2.5) == "2.50 s"
