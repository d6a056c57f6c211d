"""One source holds the switch: RERANK_ENABLED=false, else OpenFeature, else the file, else the process."""

from pathlib import Path

import pytest

from rerankd.core.flag import Flag, Mode
from rerankd.flags.choice import choose
from rerankd.flags.policy import FlagPolicy


@pytest.mark.parametrize(
    ("settings", "enabled", "source"),
    [
        ({}, True, "memory"),
        ({"file": Path("flag.json")}, True, "file"),
        ({"file": Path("flag.json"), "openfeature_key": "rerank"}, True, "openfeature"),
        ({"openfeature_key": "rerank"}, True, "openfeature"),
        ({}, False, "RERANK_ENABLED"),
        ({"file": Path("flag.json"), "openfeature_key": "k"}, False, "RERANK_ENABLED"),
        ({"openfeature_key": "k", "openfeature_provider": "does.not:exist"}, False, "RERANK_ENABLED"),
    ],
)
def test_the_first_source_that_is_configured_is_the_only_one(settings, enabled, source):
    assert choose(FlagPolicy(**settings), enabled=enabled).name == source


def test_the_process_starts_with_the_configured_flag():
    assert choose(FlagPolicy(mode="shadow", percent=5)).read({}) == Flag(Mode.SHADOW, 5)


def test_switched_off_is_off_whatever_the_settings_say():
    assert choose(FlagPolicy(mode="on"), enabled=False).read({}) == Flag(Mode.OFF)
