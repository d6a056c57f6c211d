import math

import pytest

from rerankd.distill.held_out import agreement
from rerankd.distill.sentences import ask, sentences_of
from rerankd.distill.texts import Passage

EINSTEIN = Passage("Einstein", "Einstein: physicist who formulated the theory of relativity (1879-1955)")
PLAIN = Passage(
    "Weather", "The long bridge was built in 1890 because of the floods. It is old and made of iron."
)
TURN = Passage("", "Anna: I was in Lisbon last week. It was warm.")


def test_sentences_stand_alone_but_glosses_and_turns_stay_whole() -> None:
    texts = {each.text for each in sentences_of([EINSTEIN, PLAIN, TURN], 10, 1)}
    assert EINSTEIN.text in texts
    assert TURN.text in texts
    assert "The long bridge was built in 1890 because of the floods." in texts


def test_questions_ask_who_when_and_why() -> None:
    sentences = sentences_of([EINSTEIN, PLAIN], 10, 1)
    asked = {question.lower().rstrip("?") for seed in range(60) for question in ask(sentences, 5, seed)}
    assert "who formulated the theory of relativity" in asked
    assert "when was einstein born" in asked
    assert any(question.startswith("when was the long bridge built") for question in asked)
    assert any(question.startswith("why was the long bridge") for question in asked)


def test_the_same_seed_asks_the_same_and_fewer_are_the_first_of_many() -> None:
    sentences = sentences_of([EINSTEIN, PLAIN, TURN], 10, 1)
    assert ask(sentences, 4, 9)[:2] == ask(sentences, 2, 9)


def test_agreement_counts_first_texts_and_pairs_in_order() -> None:
    found = agreement([[3.0, 2.0, 1.0], [1.0, 2.0]], [[3.0, 2.0, 1.0], [2.0, 1.0]])
    assert found.same_first == pytest.approx(0.5)
    assert found.pairs_in_order == pytest.approx(3 / 4)
    assert found.squared_error == pytest.approx(2 / 5)
    assert math.isnan(agreement([[1.0]], [[1.0]]).correlation)
