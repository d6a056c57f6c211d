"""Words in a picture are text whatever they hold, and names never lie upon each other nor below the picture."""

from itertools import pairwise
from xml.etree import ElementTree

from hypothesis import given
from hypothesis import strategies as st

from rerankd.evaluation.drawing import apart, text


def test_signs_of_the_format_are_only_signs() -> None:
    element = ElementTree.fromstring(text(1, 2, "<p> & 'more'"))
    assert (element.tag, element.text) == ("text", "<p> & 'more'")


@given(st.lists(st.floats(0, 400), max_size=9))
def test_names_are_a_line_apart_and_above_the_bottom(heights: list[float]) -> None:
    placed = [y for y, _, _ in apart([(y, str(place), "#000000") for place, y in enumerate(heights)], 400.0)]
    assert len(placed) == len(heights)
    assert all(below - above >= 15.8 for above, below in pairwise(placed))
    assert not placed or placed[-1] <= 400.0


def test_names_that_have_room_stay_where_they_are() -> None:
    assert apart([(40.0, "b", "#000000"), (10.0, "a", "#ffffff")], 400.0) == [
        (10.0, "a", "#ffffff"),
        (40.0, "b", "#000000"),
    ]
