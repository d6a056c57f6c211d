"""The switch: on, off or shadow, for a percentage of requests; outside the percentage it is off."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rerankd.core.flag import Flag, Mode, draw_of
from rerankd.errors import ConfigError


def test_by_default_it_is_on_for_everybody() -> None:
    assert Flag() == Flag(Mode.ON, 100.0)
    assert Flag().applies(99.999) is Mode.ON


@given(st.sampled_from(Mode), st.floats(0, 100), st.floats(0, 99.9999))
def test_a_request_outside_the_percentage_is_treated_as_off(mode: Mode, percent: float, draw: float) -> None:
    assert Flag(mode, percent).applies(draw) is (mode if draw < percent else Mode.OFF)


@given(st.floats(0, 100), st.floats(0, 100), st.floats(0, 99.9999))
def test_whoever_is_in_stays_in_when_the_percentage_grows(one: float, other: float, draw: float) -> None:
    low, high = sorted((one, other))
    assert Flag(Mode.ON, high).applies(draw) is Mode.ON or Flag(Mode.ON, low).applies(draw) is Mode.OFF


def test_nought_percent_is_nobody() -> None:
    assert Flag(Mode.ON, 0).applies(0.0) is Mode.OFF


def test_a_mode_may_be_given_as_its_word() -> None:
    assert Flag("shadow").mode is Mode.SHADOW  # type: ignore[arg-type]


@pytest.mark.parametrize("mode", ["ON", "maybe", "", None, 1])
def test_another_word_is_refused(mode: object) -> None:
    with pytest.raises(ConfigError, match=r"flag mode: must be one of on, off, shadow, got"):
        Flag(mode)  # type: ignore[arg-type]


@pytest.mark.parametrize("percent", [True, "50", None])
def test_a_percentage_has_to_be_a_number(percent: object) -> None:
    with pytest.raises(ConfigError, match=r"flag percent: a number from 0 to 100 is needed"):
        Flag(Mode.ON, percent)  # type: ignore[arg-type]


@pytest.mark.parametrize("percent", [-0.1, 100.1, float("nan"), float("inf")])
def test_a_percentage_is_from_0_to_100(percent: float) -> None:
    with pytest.raises(ConfigError, match=r"flag percent: must be from 0 to 100"):
        Flag(Mode.ON, percent)


@given(st.text())
def test_a_key_always_draws_the_same_from_the_whole_range(key: str) -> None:
    assert 0 <= draw_of(key) < 100
    assert draw_of(key) == draw_of(key)


def test_keys_are_spread_evenly() -> None:
    below = sum(draw_of(f"user {number}") < 25 for number in range(4_000))
    assert below == pytest.approx(1_000, abs=120)
