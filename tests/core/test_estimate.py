"""Cost estimates: learned from runs, slow to panic, and never pessimistic for ever."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rerankd.core.estimate import Estimate, EstimatePolicy, pair_weight, run_weight
from rerankd.errors import ConfigError

HOUR = 3_600.0
RUNS = st.lists(st.tuples(st.floats(1, 1e4), st.floats(1e-4, 10)), max_size=6)


def estimate(*runs: tuple[float, float], now: float = 0.0) -> Estimate:
    made = Estimate(EstimatePolicy())
    made.calibrate(runs, now)
    return made


# -- weights --------------------------------------------------------------------------------------------------


@given(st.integers(1, 4096))
def test_a_longer_pair_weighs_more_and_more_than_in_proportion(tokens: int) -> None:
    assert pair_weight(tokens) < pair_weight(tokens + 1)
    assert pair_weight(2 * tokens) > 2 * pair_weight(tokens)


def test_in_a_run_every_pair_weighs_as_much_as_the_longest_to_which_it_is_padded() -> None:
    assert run_weight([3, 100, 5]) == 3 * pair_weight(100)
    assert run_weight([]) == 0.0


# -- the baseline ---------------------------------------------------------------------------------------------


def test_before_anything_was_measured_everything_is_tried() -> None:
    assert Estimate(EstimatePolicy()).seconds(pair_weight(512), 0.0) < 0.002


def test_two_lengths_give_a_fixed_and_a_growing_cost() -> None:
    made = estimate((100, 1.2), (200, 2.2))
    assert made.seconds(50, 0.0) == pytest.approx(0.7)
    assert made.seconds(100, 0.0, runs=3) == pytest.approx(3 * 0.2 + 1.0)


def test_one_length_gives_a_cost_in_proportion() -> None:
    assert estimate((100, 1.0), (100, 1.0)).seconds(50, 0.0) == pytest.approx(0.5)


def test_a_long_text_that_was_not_slower_than_a_short_one_costs_the_same() -> None:
    assert estimate((100, 1.0), (200, 0.9)).seconds(1_000, 0.0) == pytest.approx(1.0)


def test_timings_that_say_nothing_are_left_out() -> None:
    made = estimate((0, 1.0), (100, 0.0))
    assert made.seconds(100, 0.0) == Estimate(EstimatePolicy()).seconds(100, 0.0)


def test_where_nothing_was_timed_at_load_the_quickest_of_the_first_runs_is_the_baseline() -> None:
    made = Estimate(EstimatePolicy())
    for seconds in (3.0, 1.0, 2.0):
        made.observe(100, seconds, 0.0)
    assert made.seconds(100, 0.0) == pytest.approx(1.0)


def test_a_first_run_alone_is_doubted_at_once_as_it_may_have_been_a_cold_start() -> None:
    made = Estimate(EstimatePolicy())
    made.observe(100, 8.0, 0.0)
    assert made.seconds(100, 6.0) == pytest.approx(1.0)


# -- learning -------------------------------------------------------------------------------------------------


def test_a_run_that_was_stopped_is_no_baseline_but_counts_beside_one() -> None:
    made = estimate()
    made.outlasted(100, 0.001, 0.0)
    assert not made.known
    assert made.seconds(100, 0.0) < 0.001
    for _ in range(3):
        made.observe(100, 1.0, 0.0)
    made.outlasted(100, 4.0, 0.0)
    assert made.known
    assert made.seconds(100, 0.0) > 1.0


def test_a_run_that_was_stopped_early_never_makes_the_machine_look_quicker() -> None:
    made = estimate((100, 1.0))
    made.outlasted(100, 0.1, HOUR)
    assert made.seconds(100, HOUR) == pytest.approx(1.0)
    assert made.patience(100, HOUR) == pytest.approx(1.0)


def test_a_stopped_run_that_says_less_than_is_hoped_changes_nothing() -> None:
    made = estimate((100, 1.0))
    before = made.seconds(100, 31.0)
    made.outlasted(100, before / 2, 31.0)
    assert made.seconds(100, 31.0) == before


def test_a_run_moves_the_estimate_by_its_share() -> None:
    made = estimate((100, 1.0))
    made.observe(100, 2.0, 0.0)
    assert made.seconds(100, 0.0) == pytest.approx(1.2)


def test_a_hiccup_counts_no_more_than_four_times_the_estimate() -> None:
    made = estimate((100, 1.0))
    made.observe(100, 1_000.0, 0.0)
    assert made.seconds(100, 0.0) == pytest.approx(1.6)


def test_runs_of_one_pace_are_learned() -> None:
    made = estimate((100, 1.0))
    for _ in range(60):
        made.observe(50, 1.5, 0.0)
    assert made.seconds(100, 0.0) == pytest.approx(3.0, rel=0.01)


def test_after_a_long_silence_the_next_run_is_believed_at_once() -> None:
    made = estimate((100, 1.0))
    made.observe(100, 0.25, HOUR)
    assert made.seconds(100, HOUR) == pytest.approx(0.25)


@pytest.mark.parametrize(("weight", "seconds"), [(0.0, 1.0), (100.0, 0.0), (100.0, -1.0)])
def test_a_run_that_took_no_time_or_had_nothing_to_do_teaches_nothing(weight: float, seconds: float) -> None:
    made = estimate((100, 1.0))
    made.observe(weight, seconds, 0.0)
    assert made.seconds(100, 0.0) == pytest.approx(1.0)


# -- ageing ---------------------------------------------------------------------------------------------------


def test_half_of_a_slow_spell_is_forgotten_in_its_half_life() -> None:
    made = estimate((100, 1.0))
    for _ in range(200):
        made.observe(100, 9.0, 0.0)
    assert made.seconds(100, 2.0) == pytest.approx(5.0, rel=0.01)
    assert made.seconds(100, 20.0) == pytest.approx(1.0, rel=0.01)


def test_the_calibration_itself_is_doubted_after_a_long_silence() -> None:
    made = estimate((100, 1.0))
    assert made.seconds(100, 30.0) == pytest.approx(1.0)
    assert made.seconds(100, 32.0) == pytest.approx(0.5)


def test_a_machine_that_has_become_faster_is_not_thought_slower_again_by_silence() -> None:
    made = estimate((100, 1.0))
    for _ in range(60):
        made.observe(100, 0.5, 0.0)
    before = made.seconds(100, 0.0)
    assert made.seconds(100, 10.0) == pytest.approx(before)


@given(RUNS, RUNS, st.floats(0, 1e5), st.floats(0, 1e5), st.floats(0, 1e4))
def test_silence_only_ever_lowers_an_estimate_so_that_nothing_is_refused_for_ever(
    measured: list[tuple[float, float]],
    seen: list[tuple[float, float]],
    later: float,
    more: float,
    weight: float,
) -> None:
    made = estimate(*measured)
    for each, seconds in seen:
        made.observe(each, seconds, 0.0)
    first, second = made.seconds(weight, later), made.seconds(weight, later + more)
    assert 0.0 <= second <= first * (1 + 1e-9)
    assert made.seconds(weight, 24 * HOUR) < 1e-9
    assert math.isfinite(first)


@given(RUNS, st.floats(1, 1e4), st.floats(0, 1e4), st.integers(1, 10))
def test_more_work_never_takes_less_time(
    seen: list[tuple[float, float]], weight: float, more: float, runs: int
) -> None:
    made = estimate((100, 0.02), (900, 0.15))
    for each, seconds in seen:
        made.observe(each, seconds, 0.0)
    assert made.seconds(weight, 0.0) <= made.seconds(weight + more, 0.0)
    assert made.seconds(weight, 0.0, runs) <= made.seconds(weight, 0.0, runs + 1)


def test_a_run_is_not_overdue_because_the_machine_had_been_idle_before_it() -> None:
    made = estimate((100, 1.0))
    assert made.seconds(100, HOUR) < 1e-9
    assert made.patience(100, HOUR) == pytest.approx(1.0)


def test_what_was_seen_of_a_slow_spell_is_borne_with_as_long_as_it_is_remembered() -> None:
    made = estimate((100, 1.0))
    for _ in range(200):
        made.observe(100, 9.0, 0.0)
    assert made.patience(100, 0.0) == pytest.approx(9.0, rel=0.01)
    assert made.patience(100, HOUR) == pytest.approx(1.0)


def test_a_clock_that_is_read_a_little_earlier_than_the_last_news_is_no_news() -> None:
    made = estimate((100, 1.0), now=10.0)
    assert made.seconds(100, 9.0) == pytest.approx(1.0)


@pytest.mark.parametrize("wrong", [{"weight": 0}, {"clip": 0.5}, {"half_life_ms": 0}, {"forget_ms": -1}])
def test_a_policy_that_could_not_learn_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=r"EstimatePolicy\."):
        EstimatePolicy(**wrong)
