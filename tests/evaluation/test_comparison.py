"""Systems are compared on the same queries, each under a name of its own."""

from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from rerankd.errors import ConfigError
from rerankd.evaluation.chart import chart
from rerankd.evaluation.collection import read_collection
from rerankd.evaluation.comparison import Comparison
from rerankd.evaluation.evaluate import Evaluation, evaluate
from rerankd.evaluation.markdown import markdown
from rerankd.evaluation.run import choose_run, read_run


def results(folder: Path, fake: Any, *options: dict[str, Any]) -> list[Evaluation]:
    collection = read_collection(folder)
    run = read_run(choose_run(folder), collection)
    return [evaluate(collection, run, fake, **each) for each in options]


def test_one_system_keeps_the_shape_of_its_evaluation(folder: Path, fake: Any) -> None:
    (alone,) = results(folder, fake, {})
    assert Comparison([alone]).as_json() == alone.as_json()


def test_names_tell_what_is_not_the_same(folder: Path, fake: Any) -> None:
    found = results(folder, fake, {"depth": 2}, {"depth": 4}, {"depth": 4, "budget_ms": 50.0})
    names = [system.name for system in Comparison(found).systems]
    assert names == ["fake, depth 2, no limit", "fake, depth 4, no limit", "fake, depth 4, 50 ms"]


def test_a_pair_says_what_the_later_system_gains_over_the_earlier(folder: Path, fake: Any) -> None:
    shallow, deep = results(folder, fake, {"depth": 2}, {"depth": 4})
    (pair,) = Comparison([shallow, deep]).pairs()
    assert (pair.first, pair.second) == ("fake, depth 2", "fake, depth 4")
    expected = deep.reranked()["mrr@10"] - shallow.reranked()["mrr@10"]
    assert pair.gains["mrr@10"].mean == pytest.approx(expected)


def test_several_systems_share_what_is_the_same_and_have_the_rest_each(folder: Path, fake: Any) -> None:
    shape = Comparison(results(folder, fake, {"depth": 2}, {"depth": 4})).as_json()
    shared = ["dataset", "queries", "sample", "run", "relevant_from", "group", "retrieval", "notes"]
    assert list(shape) == [*shared, "systems", "pairs"]
    assert [system["depth"] for system in shape["systems"]] == [2, 4]
    assert set(shape["pairs"][0]["gain"]) == set(shape["retrieval"])


@pytest.mark.parametrize("other", [{"size": 1}, {"measures": ("ndcg@3",)}, {"relevant_from": 2}])
def test_what_was_made_on_something_else_is_not_compared(
    folder: Path, fake: Any, other: dict[str, Any]
) -> None:
    with pytest.raises(ConfigError, match="compare"):
        Comparison(results(folder, fake, {}, other))


def test_markdown_holds_every_value_with_its_interval(folder: Path, fake: Any) -> None:
    found = results(folder, fake, {"depth": 2}, {"depth": 4})
    page = markdown(Comparison(found))
    for name, value in found[1].reranked().items():
        assert f"{value:.4f}" in page
        assert name in page
    gain = found[1].gains()["ndcg@10"]
    assert f"{gain.mean:+.4f} ({gain.low:+.4f} to {gain.high:+.4f}), p = {gain.p:.4f}" in page
    assert "fake, depth 4 over fake, depth 2" in page
    widths = {line.count("|") for line in page.splitlines() if line.startswith("| retrieval order")}
    assert widths == {5}


def test_the_picture_is_well_formed_and_within_its_frame(folder: Path, fake: Any) -> None:
    image = ElementTree.fromstring(chart(Comparison(results(folder, fake, {"depth": 2}, {"depth": 4}))))
    _, _, width, height = map(float, image.attrib["viewBox"].split())
    points = [each for each in image if each.tag.endswith("circle")]
    assert len(points) == 2 * 3
    for point in points:
        assert 0 < float(point.attrib["cx"]) < width
        assert 0 < float(point.attrib["cy"]) < height
