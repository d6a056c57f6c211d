"""The page says what the figures say, and its pictures draw them."""

import re
import xml.etree.ElementTree as ET
from collections import Counter
from dataclasses import asdict

import pytest
from benchmarks.chart import Axis, Line, chart
from benchmarks.machine import machine
from benchmarks.page import PAGE, PICTURES, page, pictures, results
from benchmarks.service_levels import Turn, judge, level


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


@pytest.fixture
def service():
    """A report as `benchmarks.service` writes it."""
    ours = Turn(latencies=[240.0], late=[1.0], seen=Counter({"in time": 1, "scored": 18}), others=0.02)
    theirs = Turn(latencies=[10_000.0], late=[1.0], seen=Counter({"unanswered": 1}))
    levels = [level("rerankd", 0.5, 3.0, [ours]), level("infinity-torch", 0.5, 3.0, [theirs])]
    return {
        "schema": 1,
        "machine": machine(),
        "infinity": "0.0.78",
        "workload": "mixed",
        "title": "mixed lengths",
        "candidates": 24,
        "budget_ms": 250.0,
        "seconds": 30.0,
        "turns": 2,
        "pairs_per_second": 144.0,
        "levels": list(map(asdict, levels)),
        "not_measured": {"infinity-optimum": "it ended with status 1"},
        "overhead": {"p50_ms": 0.8, "p99_ms": 1.5, "requests": 2000},
        "rules": list(map(asdict, judge(levels, 0.8))),
    }


def test_the_service_has_a_section_with_each_server_at_each_load_and_why_one_is_missing(service):
    drawn = page({"service": service})
    assert "## Over HTTP" in drawn
    assert f"{service['machine']['date']}, processor" in drawn
    assert "Capacity: 144 pairs a second, 6.0 requests." in drawn
    assert "| rerankd | 50% | 3.0 | 1 | 100.0% | 0.0% | 18.0 | 240 | 240 | 240 | 1 | 2% |" in drawn
    # none of its answers came in time, so there is no depth to tell
    assert "| infinity-torch | 50% | 3.0 | 1 | 0.0% | 100.0% |  | 10000 | 10000 | 10000 | 1 | 0% |" in drawn
    assert "- infinity-optimum: it ended with status 1" in drawn
    assert (
        "| HTTP and JSON for 24 candidates of 500 characters, flag off, p50: ≤ 3 ms | 0.80 ms | held |"
        in drawn
    )
    assert pictures({"service": service}) == {}


def test_a_service_beside_which_all_were_measured_lists_none_as_missing(service):
    drawn = page({"service": {**service, "not_measured": {}}})
    assert "## Over HTTP" in drawn
    assert "Not measured" not in drawn


def test_without_a_report_of_the_service_it_has_no_section():
    found = results()
    found.pop("service", None)
    assert "Over HTTP" not in page(found)


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
