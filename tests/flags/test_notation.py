"""A flag written out and read back is the same flag, and anything else is refused."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rerankd.core.flag import Flag, Mode
from rerankd.errors import ConfigError
from rerankd.flags.notation import flag_from_json, flag_from_object, flag_to_json, flag_to_object

CANARY = "canary-7f3a the patient's name is Ada"


@given(st.sampled_from(Mode), st.floats(0, 100))
def test_every_flag_survives_being_written_and_read(mode, percent):
    assert flag_from_json(flag_to_json(Flag(mode, percent))) == Flag(mode, percent)


def test_a_whole_percentage_is_written_without_a_fraction():
    assert flag_to_json(Flag(Mode.ON, 100.0)) == '{"mode": "on", "percent": 100}'
    assert flag_to_object(Flag(Mode.SHADOW, 0.5)) == {"mode": "shadow", "percent": 0.5}


def test_the_percentage_may_be_left_out():
    assert flag_from_object({"mode": "off"}) == Flag(Mode.OFF, 100)


@pytest.mark.parametrize("percent", [0, 0.0, 100, 100.0, 33.3, 1e-9])
def test_percentages_from_0_to_100_are_taken_ends_included(percent):
    assert flag_from_object({"mode": "on", "percent": percent}).percent == percent


@pytest.mark.parametrize(
    "percent", ["-0.001", "100.001", "1e400", "NaN", "Infinity", "true", '"50"', "null", "[5]"]
)
def test_any_other_percentage_is_refused(percent):
    with pytest.raises(ConfigError, match="flag percent: must be a number from 0 to 100, got "):
        flag_from_json(f'{{"mode": "on", "percent": {percent}}}')


@pytest.mark.parametrize("mode", ["ON", "", "maybe", None, True, 1, ["on"], {"on": 1}])
def test_any_other_mode_is_refused(mode):
    with pytest.raises(ConfigError, match="flag mode: must be one of on, off, shadow, got "):
        flag_from_object({"mode": mode})


def test_a_missing_mode_and_an_unknown_key_are_refused():
    with pytest.raises(ConfigError, match=r"flag mode: .* is missing"):
        flag_from_object({"percent": 5})
    with pytest.raises(ConfigError, match="may have the keys mode and percent only, got 'percnt'"):
        flag_from_object({"mode": "on", "percnt": 5})


@pytest.mark.parametrize(
    ("value", "kind"), [(None, "null"), ("on", "a string"), ([1], "a list"), (1, "a value of type int")]
)
def test_what_is_not_an_object_is_refused_by_its_kind(value, kind):
    with pytest.raises(ConfigError, match=f"must be an object like .*, got {kind}"):
        flag_from_object(value)


@pytest.mark.parametrize("text", ["", "{", b"\xff\xfe\x00", "[" * 100_000])
def test_what_is_not_json_is_refused(text):
    with pytest.raises(ConfigError, match="flag: is not valid JSON"):
        flag_from_json(text)


@pytest.mark.parametrize("value", [CANARY, {"mode": CANARY}, {"mode": "on", "percent": CANARY}, {CANARY: 1}])
def test_a_refusal_never_repeats_a_long_text(value):
    with pytest.raises(ConfigError) as caught:
        flag_from_object(value)
    assert "canary" not in str(caught.value)
    with pytest.raises(ConfigError) as caught:
        flag_from_json(json.dumps(value) + CANARY)
    assert "canary" not in str(caught.value)
