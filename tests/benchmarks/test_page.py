"""The page says what the figures say, and its pictures draw them."""

import re
import xml.etree.ElementTree as ET

import pytest
from benchmarks.chart import Axis, Line, chart
from benchmarks.page import PAGE, PICTURES, page, pictures, results


def test_the_page_and_its_pictures_are_those_of_the_kept_figures():
    found = results()
    assert page(found) == PAGE.read_text(encoding="utf-8"), "run `python -m benchmarks.page`"
    for name, drawn in pictures(found).items():
        assert drawn == (PICTURES / name).read_text(encoding="utf-8"), name


def test_every_picture_of_the_page_is_there():
    shown = set(re.findall(r"\]\(pictures/([^)]+)\)", page(results())))
    assert shown == set(pictures(results()))


def test_nothing_measured_leaves_no_section():
    assert "##" not in page({})
    assert pictures({}) == {}


def test_a_chart_is_well_formed_and_names_every_line():
    across, up = Axis(title="tokens", ticks=(10, 100), log=True), Axis(title="ms", ticks=(0, 50, 100))
    drawn = chart("A & B", "by < length", across, up, [Line(name="one", points=((10, 0), (100, 500)))])
    root = ET.fromstring(drawn)
    texts = [each.text for each in root.iter("{http://www.w3.org/2000/svg}text")]
    assert {"A & B", "by < length", "one", "tokens"} <= set(texts)
    points = next(root.iter("{http://www.w3.org/2000/svg}polyline")).get("points")
    (x0, y0), (x1, y1) = (map(float, pair.split(",")) for pair in points.split())
    assert x0 < x1
    # what lies above the axis is drawn at its end
    assert y1 == 84
    assert y0 == 376


@pytest.mark.parametrize(("value", "share"), [(10, 0.0), (31.6228, 0.5), (100, 1.0), (5, 0.0)])
def test_a_logarithmic_axis_gives_equal_ratios_equal_room(value, share):
    assert Axis(title="", ticks=(10, 100), log=True).share(value) == pytest.approx(share, abs=1e-4)
