"""A wrong policy names its field, the value seen and what is allowed, and is never made."""

from dataclasses import dataclass
from typing import Any

import pytest

from rerankd.core.policy import check_at_least, check_one_of, check_range
from rerankd.errors import ConfigError


@dataclass(frozen=True)
class Sample:
    """A policy of which every field can be anything."""

    size: Any = 1
    small: Any = 1
    word: Any = "on"


@pytest.mark.parametrize("value", [0, 1.5, 10])
def test_a_number_within_its_range_is_accepted_ends_included(value: float) -> None:
    check_range(Sample(size=value), "size", 0, 10)


@pytest.mark.parametrize("value", [-1, 10.001, float("nan"), float("inf"), "3", None, True])
def test_anything_else_is_refused_with_the_range(value: object) -> None:
    with pytest.raises(ConfigError, match=r"Sample\.size: must be a number from 0 to 10, got "):
        check_range(Sample(size=value), "size", 0, 10)


def test_an_open_range_is_named_by_its_lower_end() -> None:
    with pytest.raises(ConfigError, match=r"Sample\.size: must be a number at least 1, got 0"):
        check_range(Sample(size=0), "size", 1)


def test_a_field_may_have_to_be_at_least_another_one() -> None:
    check_at_least(Sample(size=1, small=1), "size", "small")
    with pytest.raises(ConfigError, match=r"Sample\.size: must be at least small \(2\), got 1"):
        check_at_least(Sample(size=1, small=2), "size", "small")


def test_a_word_has_to_be_one_of_those_allowed() -> None:
    check_one_of(Sample(), "word", ("on", "off"))
    with pytest.raises(ConfigError, match=r"Sample\.word: must be one of on, off, got 'maybe'"):
        check_one_of(Sample(word="maybe"), "word", ("on", "off"))
