"""Equal entries of one user have equal labels; nothing else can be told from them."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rerankd.memory.labels import LABEL_BYTES, label, labels_of

KEY, OTHER = b"k" * 32, b"o" * 32
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(st.characters(exclude_categories=["Cs"]), max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from("abc"), inner, max_size=2),
    max_leaves=4,
)


@given(one=values, other=values)
def test_labels_are_equal_where_the_json_values_are(one: Any, other: Any) -> None:
    # repr tells True from 1, which Python's own equality does not
    assert (label(KEY, "n", one) == label(KEY, "n", other)) == (_written(one) == _written(other))


def _written(value: Any) -> str:
    if isinstance(value, dict):
        return "d" + repr(sorted((name, _written(inner)) for name, inner in value.items()))
    return repr([_written(inner) for inner in value]) if isinstance(value, list) else repr(value)


def test_a_whole_number_is_the_same_with_and_without_a_point() -> None:
    assert label(KEY, "n", 1) == label(KEY, "n", 1.0)
    assert label(KEY, "n", [{"a": 2.0}]) == label(KEY, "n", [{"a": 2}])
    assert label(KEY, "n", 1) != label(KEY, "n", True)
    assert label(KEY, "n", 1) != label(KEY, "n", 1.5)


def test_users_names_and_borders_are_kept_apart() -> None:
    assert label(KEY, "a", "b") != label(OTHER, "a", "b")
    assert label(KEY, "a", "b") != label(KEY, "b", "a")
    assert label(KEY, 'a"', "b") != label(KEY, "a", '"b')


def test_there_is_one_label_an_entry_in_an_order_of_their_own() -> None:
    labels = labels_of(KEY, {"a": 1, "b": 2, "c": 3})
    assert sorted(labels) == list(labels) == list(labels_of(KEY, {"c": 3, "b": 2, "a": 1}))
    assert {len(each) for each in labels} == {LABEL_BYTES}
    assert labels_of(KEY, {}) == ()


@pytest.mark.parametrize("value", [float("nan"), float("inf"), object()])
def test_what_json_cannot_hold_has_no_label(value: Any) -> None:
    with pytest.raises((ValueError, TypeError)):
        label(KEY, "n", value)
