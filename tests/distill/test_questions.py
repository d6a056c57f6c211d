import math
from collections.abc import Callable

import pytest

from rerankd.distill.held_out import agreement
from rerankd.distill.questions import make_questions
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


LONG = " ".join(f"word{at}" for at in range(300))


@pytest.mark.parametrize(
    ("passage", "expected"),
    [
        (Passage("Otter", "Otter"), {"what is otter", "define otter", "who or what was Otter", "Otter"}),
        (
            Passage("Replace a flat tyre", "Tyre"),
            {"how to replace a flat tyre", "help with Replace a flat tyre"},
        ),
        (Passage("How are you?", "Fine."), {"How are you?", "how are you"}),
        (
            Passage("", "otter: an animal that swims well"),
            {"what do you call an animal that swims well", "why otter: an animal that swims well"},
        ),
        (
            Passage("", "The cat sat on the mat today."),
            {"the cat sat on the mat today", "is it true that the cat sat on the mat today", "cat sat mat"},
        ),
    ],
)
def test_questions_are_of_titles_headwords_and_sentences(passage: Passage, expected: set[str]) -> None:
    assert expected <= {question for seed in range(600) for question in make_questions([passage], 5, seed)}


def test_a_few_questions_are_whole_paragraphs() -> None:
    made = make_questions([Passage("", LONG)] * 300, 300, 5)
    lengths = [len(question.split()) for question in made]
    assert max(lengths) > 40
    assert max(map(len, made)) <= 600
    assert 0 < sum(length > 20 for length in lengths) < 30
    assert all(question in LONG for question in made if len(question.split()) > 20)


@pytest.mark.parametrize("make", [make_questions, ask])
def test_no_more_are_made_than_are_wanted_and_none_twice(
    make: Callable[[list[Passage], int, int], list[str]],
) -> None:
    passages = sentences_of([EINSTEIN, PLAIN, TURN], 10, 1)
    made = make(passages, 7, 3)
    assert len(made) == len(set(made)) == 7
    assert made == make(passages, 7, 3) != make(passages, 7, 4)


def test_a_text_without_a_sentence_is_asked_by_its_words() -> None:
    passages = [Passage("", f"kernel panic {place}") for place in range(200)]
    made = make_questions(passages, 200, 1)
    assert made
    assert all("kernel" in question or "panic" in question for question in made)


def test_texts_that_give_nothing_end_it() -> None:
    assert make_questions([], 10, 1) == []
