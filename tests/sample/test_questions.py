import json
from importlib.resources import files

from rerankd.sample.gain import first_place, ndcg
from rerankd.sample.questions import questions

FOLDER = files("rerankd.sample") / "support"


def test_the_corpus_is_large_enough_and_nothing_in_it_comes_twice() -> None:
    rows = [json.loads(line) for line in (FOLDER / "corpus.jsonl").read_text("utf-8").splitlines()]
    assert len(rows) >= 60
    assert len({row["_id"] for row in rows}) == len({row["text"] for row in rows}) == len(rows)


def test_lengths_are_as_mixed_as_in_real_retrieval() -> None:
    words = sorted(len(p.text.split()) for question in questions() for p in question.candidates)
    assert words[0] <= 25
    assert 45 <= sum(words) / len(words) <= 75  # about 80 tokens
    assert 200 <= words[-1] <= 300


def test_every_question_has_24_candidates_and_an_answer_among_them() -> None:
    assert len(questions()) >= 12
    for question in questions():
        assert len(question.candidates) == 24
        assert len({passage.id for passage in question.candidates}) == 24
        assert max(question.grades.values()) == 2
        assert first_place([passage.id for passage in question.candidates], question.grades) is not None


def test_the_first_stage_is_visibly_imperfect() -> None:
    orders = [[p.id for p in question.candidates] for question in questions()]
    places = [first_place(order, q.grades) for order, q in zip(orders, questions(), strict=True)]
    values = [ndcg(order, q.grades) for order, q in zip(orders, questions(), strict=True)]
    assert 1 not in places
    assert sum(place is not None and place >= 4 for place in places) >= 10
    assert sum(values) / len(values) < 0.5
