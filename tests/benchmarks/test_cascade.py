"""Queries of several collections are pooled one by one, and what was recorded can be kept."""

import json

import pytest
from benchmarks.cascade import from_json, pooled, to_json

from rerankd.evaluation.contest import contests
from rerankd.evaluation.curve import curve
from tests.evaluation.test_curve import a_recording


def test_a_pooled_curve_counts_every_query_the_same() -> None:
    few, many = a_recording(2), a_recording(6, seed=1)
    found = [
        (name, curve(*recorded, rate=1.0, budgets_ms=(60, None), requests=12))
        for name, recorded in (("few", few), ("many", many))
    ]
    whole = pooled("both", found)
    assert whole.model == "both"
    assert len(whole.points[0].by_query) == 8
    for place, point in enumerate(whole.points):
        values = [value for _, each in found for value in each.points[place].by_query.values()]
        assert point.value == pytest.approx(sum(values) / 8)
        assert sum(point.outcomes.values()) == pytest.approx(1.0)
    assert whole.retrieval == pytest.approx((2 * found[0][1].retrieval + 6 * found[1][1].retrieval) / 8)
    assert contests([whole]) == []


def test_a_recording_that_was_kept_replays_the_same() -> None:
    collection, made = a_recording(3)
    again = from_json(json.loads(json.dumps(to_json(made))))
    assert again.queries == made.queries
    options = {"rate": 2.0, "budgets_ms": (80, None), "requests": 30}
    assert curve(collection, again, **options) == curve(collection, made, **options)
