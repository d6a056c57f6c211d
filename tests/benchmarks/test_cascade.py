"""Queries of several collections are pooled one by one, and what was recorded can be kept."""

import json

import pytest
from benchmarks.cascade import from_json, policies, policy_table, pooled, to_json

from rerankd.core.cascade import CascadePolicy
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


def test_other_margins_and_tiers_are_tried_one_at_a_time_beside_the_default() -> None:
    usual = CascadePolicy()
    found = policies([2.0, usual.margin], [usual.tier, 4])
    assert found == [usual, CascadePolicy(margin=2.0), CascadePolicy(tier=4)]


def test_a_policy_s_line_tells_its_quality_and_how_many_were_rescored() -> None:
    recorded = a_recording(4)
    asked = {"rate": 1.0, "budgets_ms": (60, None), "requests": 12}
    tried = [
        (policy, curve(*recorded, refiner=recorded[1], policy=policy, **asked))
        for policy in policies([], [4])
    ]
    header, _, *lines = policy_table(tried).splitlines()
    assert header == "| margin | tier | 60 ms | no limit |"
    assert [line.split("|")[2].strip() for line in lines] == ["2", "4"]
    for line, (_, made) in zip(lines, tried, strict=True):
        assert f"{made.points[1].value:.4f} ({made.points[1].refined_depth:.1f})" in line
