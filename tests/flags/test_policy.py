"""The flag's settings refuse what cannot work, and say what can."""

from pathlib import Path

import pytest

from rerankd.core.flag import Flag, Mode
from rerankd.errors import ConfigError
from rerankd.flags.policy import FlagPolicy


def test_without_settings_everybody_is_reranked_and_the_process_holds_the_switch():
    policy = FlagPolicy()
    assert policy.initial == Flag(Mode.ON, 100)
    assert policy.file is None
    assert policy.openfeature_key == ""
    assert policy.poll_ms <= 1_000  # a changed file must be seen within a second


def test_the_initial_flag_is_the_mode_and_percentage_of_the_settings():
    assert FlagPolicy(mode="shadow", percent=12.5, file=Path("flag.json")).initial == Flag(Mode.SHADOW, 12.5)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"mode": "maybe"}, "FlagPolicy.mode: must be one of on, off, shadow, got 'maybe'"),
        ({"percent": 100.1}, "FlagPolicy.percent: must be a number from 0 to 100, got 100.1"),
        ({"percent": -1}, "FlagPolicy.percent: must be a number from 0 to 100, got -1"),
        ({"percent": float("nan")}, "FlagPolicy.percent: must be a number from 0 to 100, got nan"),
        ({"poll_ms": 0}, "FlagPolicy.poll_ms: must be a number from 10 to 60000, got 0"),
        ({"openfeature_provider": "a:B"}, "FlagPolicy.openfeature_key: must be set where"),
        (
            {"openfeature_key": "k", "openfeature_provider": "a.B"},
            "FlagPolicy.openfeature_provider: must have the form module:name, got 'a.B'",
        ),
        ({"openfeature_key": "k", "openfeature_provider": ":B"}, "must have the form module:name"),
        ({"openfeature_key": "k", "openfeature_provider": "a:"}, "must have the form module:name"),
    ],
)
def test_a_wrong_setting_is_refused_with_its_name_and_what_is_allowed(wrong, message):
    with pytest.raises(ConfigError) as caught:
        FlagPolicy(**wrong)
    assert message in str(caught.value)
