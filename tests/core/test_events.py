"""Events carry sizes, ids, durations and enums: no field of any of them could hold a text by its type."""

import dataclasses
from typing import Any, get_args, get_type_hints

from rerankd.core import events
from rerankd.core.types import Text

NAMES = {
    "model",  # of the registry
    "device",
    "scorer",
    "source",  # of the flag
    "error",  # a type's name, or a step of loading
    "call",  # a method's name
    "subject",  # a random id that the memory's store made up
}
"""Fields that are strings: names and ids of ours, never a caller's words."""


def kinds() -> list[Any]:
    return [*get_args(events.Event), events.Timings, events.Shadow]


def test_the_only_plain_strings_are_names_of_ours() -> None:
    for kind in kinds():
        for name, hint in get_type_hints(kind).items():
            parts = {hint, *get_args(hint)}
            assert Text not in parts
            assert str not in parts or name in NAMES, f"{kind.__name__}.{name}"


def test_no_event_can_be_changed_once_it_is_told() -> None:
    assert all(dataclasses.fields(kind) and kind.__dataclass_params__.frozen for kind in kinds())
