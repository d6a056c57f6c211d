"""The measures are ir-measures' own, and agree with a calculation by hand."""

import math

import pytest

from rerankd.errors import ConfigError
from rerankd.evaluation.measures import MEASURES, mean, measure, read_measures

GRADES = {"a": {"x": 2, "y": 1, "z": 0}, "b": {"x": 1}}
ORDERS = {"a": ["z", "y", "x"], "b": ["x"]}


def test_ndcg_takes_the_grades_as_linear_gains() -> None:
    gained = 1 / math.log2(3) + 2 / math.log2(4)
    ideal = 2 / math.log2(2) + 1 / math.log2(3)
    assert measure(GRADES, ORDERS)["a"]["ndcg@10"] == pytest.approx(gained / ideal)


def test_mrr_is_one_over_the_place_of_the_first_relevant_document_within_ten() -> None:
    assert measure(GRADES, ORDERS)["a"]["mrr@10"] == pytest.approx(1 / 2)
    late = {"a": [f"d{n}" for n in range(10)] + ["x"]}
    assert measure({"a": GRADES["a"]}, late)["a"]["mrr@10"] == 0


def test_recall_counts_the_relevant_documents_among_the_first_eight() -> None:
    order = {"a": ["x", *(f"d{n}" for n in range(7)), "y"]}
    assert measure({"a": GRADES["a"]}, order)["a"]["recall@8"] == pytest.approx(1 / 2)


def test_relevant_from_moves_the_line_of_mrr_and_recall_and_leaves_ndcg() -> None:
    strict, usual = measure(GRADES, ORDERS, relevant_from=2), measure(GRADES, ORDERS)
    assert strict["a"]["mrr@10"] == pytest.approx(1 / 3)
    assert strict["a"]["recall@8"] == 1
    assert strict["a"]["ndcg@10"] == usual["a"]["ndcg@10"]
    assert strict["b"]["mrr@10"] == 0


def test_a_judged_query_without_an_order_counts_as_nothing_found() -> None:
    values = measure(GRADES, {"b": ["x"]})
    assert values["a"] == dict.fromkeys(MEASURES, 0.0)
    assert values["b"]["ndcg@10"] == 1


def test_an_order_that_is_not_judged_is_left_out() -> None:
    assert set(measure(GRADES, {**ORDERS, "c": ["x"]})) == {"a", "b"}


def test_the_mean_counts_every_query_the_same() -> None:
    assert mean([dict.fromkeys(MEASURES, 1.0), dict.fromkeys(MEASURES, 0.0)]) == dict.fromkeys(MEASURES, 0.5)


def test_the_order_counts_and_not_a_document_s_name() -> None:
    grades = {"a": {"a1": 1}}
    first, second = measure(grades, {"a": ["a1", "z9"]}), measure(grades, {"a": ["z9", "a1"]})
    assert (first["a"]["mrr@10"], second["a"]["mrr@10"]) == (1.0, 0.5)


def test_measures_are_read_by_name_and_depth_each_once() -> None:
    assert read_measures(["nDCG@5", "recall@24", "ndcg@5"]) == ("ndcg@5", "recall@24")
    assert read_measures([]) == ()


@pytest.mark.parametrize("name", ["ndcg", "ndcg@0", "ndcg@ten", "bleu@4", "@10", "ndcg@99999", ""])
def test_a_name_that_is_no_measure_is_named(name: str) -> None:
    with pytest.raises(ConfigError, match="measure"):
        read_measures([name])


def test_precision_and_average_precision_agree_with_a_calculation_by_hand() -> None:
    values = measure(GRADES, ORDERS, measures=("precision@2", "map@3"))["a"]
    assert values["precision@2"] == pytest.approx(1 / 2)
    assert values["map@3"] == pytest.approx((1 / 2 + 2 / 3) / 2)
