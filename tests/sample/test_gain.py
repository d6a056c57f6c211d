import pytest

from rerankd.sample.gain import first_place, ndcg
from rerankd.sample.questions import questions


def test_the_best_order_has_a_gain_of_one_and_one_without_answers_none() -> None:
    grades = {"a": 2, "b": 1}
    assert ndcg(["a", "b", "c"], grades) == pytest.approx(1.0)
    assert 0 < ndcg(["c", "b", "a"], grades) < 1
    assert ndcg(["c", "d"], grades) == 0.0
    assert ndcg(["a"], {}) == 0.0


def test_only_so_many_places_count() -> None:
    assert ndcg(["x"] * 10 + ["a"], {"a": 1}) == 0.0
    assert ndcg(["x"] * 10 + ["a"], {"a": 1}, depth=11) > 0.0


def test_it_agrees_with_the_measure_that_evaluate_uses() -> None:
    pytest.importorskip("ir_measures")
    from rerankd.evaluation.measures import measure

    orders = {q.id: [passage.id for passage in q.candidates] for q in questions()}
    expected = measure({q.id: q.grades for q in questions()}, orders)
    for question in questions():
        ours = ndcg(orders[question.id], question.grades)
        assert ours == pytest.approx(expected[question.id]["ndcg@10"], abs=1e-9)


def test_the_first_place_is_that_of_the_best_grade() -> None:
    assert first_place(["x", "b", "a"], {"a": 2, "b": 1}) == 3
    assert first_place(["x"], {"a": 2}) is None
    assert first_place(["x"], {}) is None
