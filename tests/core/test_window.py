"""The window holds the last calls that are not too old, and counts the bad ones among them."""

from hypothesis import given
from hypothesis import strategies as st

from rerankd.core.window import Window


def test_it_counts_the_bad_among_all() -> None:
    window = Window(calls=5, span=10.0)
    for bad in (True, False, True):
        window.add(0.0, bad)
    assert window.count(0.0) == (2, 3)


def test_only_the_last_calls_count() -> None:
    window = Window(calls=2, span=10.0)
    for bad in (True, True, False, False):
        window.add(0.0, bad)
    assert window.count(0.0) == (0, 2)


def test_a_call_as_old_as_the_span_still_counts_and_an_older_one_does_not() -> None:
    window = Window(calls=5, span=10.0)
    window.add(0.0, True)
    assert window.count(10.0) == (1, 1)
    assert window.count(10.1) == (0, 0)


def test_a_cleared_window_has_forgotten_everything() -> None:
    window = Window(calls=5, span=10.0)
    window.add(0.0, True)
    window.clear()
    assert window.count(0.0) == (0, 0)


@given(
    st.integers(1, 5),
    st.floats(0.1, 5),
    st.lists(st.tuples(st.floats(0, 3), st.booleans(), st.booleans()), max_size=40),
)
def test_it_counts_as_a_plain_list_of_all_calls_would(
    calls: int, span: float, steps: list[tuple[float, bool, bool]]
) -> None:
    window, history, now = Window(calls, span), [], 0.0
    for pause, bad, look in steps:
        now += pause
        window.add(now, bad)
        history.append((now, bad))
        if look:
            recent = [each for at, each in history[-calls:] if at >= now - span]
            assert window.count(now) == (sum(recent), len(recent))
