"""What can still be done in time, decided before anything is begun."""

from hypothesis import given
from hypothesis import strategies as st

from rerankd.core.forecast import Head, beginnable, fitting_tokens, queue_delay

HEADS = st.lists(st.tuples(st.floats(0, 10), st.floats(0, 5)), max_size=6)
HEAD = st.tuples(st.floats(0, 10), st.floats(0, 5))


def completions(heads: list[Head], now: float) -> dict[int, float]:
    """When each would be complete, earliest deadline first, one after the other."""
    at, ends = now, {}
    for number, (_, seconds) in sorted(enumerate(heads), key=lambda each: each[1]):
        at += seconds
        ends[number] = at
    return ends


# -- beginnable -----------------------------------------------------------------------------------------------


def test_a_head_that_fits_an_idle_engine_may_begin_and_one_that_does_not_may_not() -> None:
    assert beginnable((1.0, 1.0), [], 0.0)
    assert not beginnable((1.0, 1.001), [], 0.0)


def test_a_head_is_not_begun_where_that_costs_a_begun_one_its_completion() -> None:
    assert beginnable((1.0, 0.5), [(2.0, 1.5)], 0.0)
    assert not beginnable((1.0, 0.6), [(2.0, 1.5)], 0.0)


def test_a_begun_head_with_an_earlier_deadline_goes_first() -> None:
    assert beginnable((2.0, 1.0), [(1.0, 1.0)], 0.0)
    assert not beginnable((2.0, 1.1), [(1.0, 1.0)], 0.0)


def test_a_begun_head_that_is_lost_already_does_not_count() -> None:
    assert beginnable((1.0, 1.0), [(0.5, 3.0)], 0.0)
    assert beginnable((1.0, 1.0), [(2.0, 3.0)], 0.0)
    # nor does it stand for those behind it, as if they were lost as well
    assert not beginnable((1.0, 1.0), [(2.0, 3.0), (3.0, 3.0)], 0.0)


@given(HEAD, HEADS, st.floats(0, 5))
def test_where_it_may_begin_every_begun_head_that_would_be_complete_in_time_still_is(
    head: Head, begun: list[Head], now: float
) -> None:
    if not beginnable(head, begun, now):
        return
    alive = [other for other in begun if now + other[1] <= other[0]]
    before, after = completions(alive, now), completions([*alive, head], now)
    for number, (deadline, _) in enumerate(alive):
        # a hair more: the same sum in another order
        assert before[number] > deadline or after[number] <= deadline + 1e-9


@given(HEAD, HEADS, st.floats(0, 5), st.floats(0, 1))
def test_a_head_that_needs_less_may_begin_wherever_one_that_needs_more_may(
    head: Head, begun: list[Head], now: float, share: float
) -> None:
    smaller = (head[0], head[1] * share)
    assert not beginnable(head, begun, now) or beginnable(smaller, begun, now)


# -- the queue's delay ----------------------------------------------------------------------------------------


@given(HEAD, st.floats(0, 5))
def test_on_an_idle_engine_nobody_waits(head: Head, now: float) -> None:
    assert queue_delay(head, now, busy=0.0, begun=[], waiting=[]) == 0.0


def test_the_first_free_worker_is_waited_for() -> None:
    assert queue_delay((9.0, 1.0), 0.0, busy=0.3, begun=[], waiting=[]) == 0.3


def test_waiting_heads_with_an_earlier_deadline_go_first() -> None:
    waiting = [(5.0, 1.0), (9.5, 1.0)]
    assert queue_delay((9.0, 1.0), 0.0, busy=0.0, begun=[], waiting=waiting) == 1.0


def test_a_waiting_head_that_will_not_be_complete_in_time_holds_nobody_up() -> None:
    assert queue_delay((9.0, 1.0), 0.0, busy=0.0, begun=[], waiting=[(5.0, 6.0)]) == 0.0


def test_a_begun_head_goes_first_unless_the_newcomer_may_overtake_it() -> None:
    assert queue_delay((9.0, 1.0), 0.0, busy=0.0, begun=[(5.0, 2.0)], waiting=[]) == 2.0
    assert queue_delay((4.0, 1.0), 0.0, busy=0.0, begun=[(5.0, 2.0)], waiting=[]) == 0.0
    assert queue_delay((4.0, 3.5), 0.0, busy=0.0, begun=[(5.0, 2.0)], waiting=[]) == 2.0


def test_whoever_has_no_deadline_holds_up_nobody_who_has_one() -> None:
    for_ever = float("inf")
    assert queue_delay((1.0, 0.5), 0.0, busy=0.0, begun=[(for_ever, 100.0)], waiting=[(for_ever, 9.0)]) == 0.0


def test_a_begun_head_that_is_lost_holds_nobody_up() -> None:
    assert queue_delay((9.0, 1.0), 0.0, busy=0.0, begun=[(1.0, 2.0)], waiting=[]) == 0.0


@given(HEAD, st.floats(0, 5), st.floats(0, 3), st.floats(0, 3), HEADS, HEADS)
def test_a_busier_engine_never_lets_anybody_begin_earlier(
    head: Head, now: float, busy: float, more: float, begun: list[Head], waiting: list[Head]
) -> None:
    first = queue_delay(head, now, busy=busy, begun=begun, waiting=[])
    assert first + 1e-9 >= busy
    assert queue_delay(head, now, busy=busy + more, begun=begun, waiting=[]) + 1e-9 >= first
    assert queue_delay(head, now, busy=busy, begun=begun, waiting=waiting) + 1e-9 >= first


# -- fitting --------------------------------------------------------------------------------------------------


@given(
    st.lists(st.integers(1, 600), max_size=20), st.floats(0, 5_000), st.integers(8, 200), st.integers(8, 600)
)
def test_the_longest_cut_is_found_at_which_everything_fits(
    lengths: list[int], seconds: float, floor: int, ceiling: int
) -> None:
    cap = fitting_tokens(lengths, floor=floor, ceiling=ceiling, cost=float, seconds=seconds)

    def needed(cut: int) -> int:
        return sum(min(tokens, cut) for tokens in lengths)

    assert min(floor, ceiling) <= cap <= ceiling
    assert cap == ceiling or needed(cap + 1) > seconds
    assert cap <= floor or cap == ceiling or needed(cap) <= seconds


def test_where_everything_fits_nothing_is_cut() -> None:
    assert fitting_tokens([10, 20], floor=8, ceiling=512, cost=float, seconds=30.0) == 512


def test_no_cut_is_shorter_than_the_floor() -> None:
    assert fitting_tokens([500, 500], floor=96, ceiling=512, cost=float, seconds=1.0) == 96


def test_a_window_below_the_floor_is_left_alone() -> None:
    assert fitting_tokens([500], floor=96, ceiling=64, cost=float, seconds=0.0) == 64
