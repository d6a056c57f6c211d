"""A status is a snapshot: it does not change, and has no place for a text."""

import dataclasses
from typing import get_type_hints

import pytest

from rerankd.core.flag import Flag
from rerankd.core.status import Status

STATUS = Status(
    model="m",
    device=None,
    model_state="loading",
    error=None,
    load_seconds=None,
    circuit="closed",
    queue_pairs=0,
    workers=0,
    busy=0,
    hung=0,
    flag=Flag(),
    flag_source="memory",
    enabled=False,
)


def test_a_status_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        STATUS.queue_pairs = 1  # type: ignore[misc]


def test_its_only_strings_are_names_states_and_the_reason_for_a_missing_model() -> None:
    words = {name for name, hint in get_type_hints(Status).items() if "str" in str(hint)}
    assert words == {"model", "scorer", "refiner", "device", "refiner_device", "error", "flag_source"}
