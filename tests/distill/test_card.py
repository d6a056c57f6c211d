"""A card says what was done, and nothing that was not."""

from dataclasses import replace

import pytest

from rerankd.distill.card import Facts, card
from rerankd.distill.held_out import Agreement
from rerankd.distill.judged import Judged
from rerankd.distill.policy import DistillPolicy
from rerankd.distill.student import Shape

AGREED = Agreement(questions=280, correlation=0.99, squared_error=0.5, same_first=0.9, pairs_in_order=0.95)
FACTS = Facts(
    name="mine",
    teacher="large",
    student="",
    taken=tuple(range(12)),
    teacher_layers=12,
    licence="",
    policy=DistillPolicy(),
    shape=Shape(200, 64, 2, 32, 8, (4, 4), (96, 64), 1e-12),
    questions=14_000,
    pairs=84_000,
    seen=82_000,
    seconds=5_400,
    network=AGREED,
    graph=AGREED,
    parity=0.04,
    bytes=9_000_000,
)
CUT = "taken out in closed form"


def said(facts: Facts) -> str:
    return " ".join(card(facts).split())


def test_a_narrowed_teacher() -> None:
    text = said(FACTS)
    assert "It began with all 12 layers of the teacher; of their cost 52% was kept" in text
    assert CUT in text
    assert "imitated" not in text
    assert "how far the layers are" not in text
    assert "Then 82,000 pairs were trained on in 90 minutes (1 passes" in text
    assert "Licence: as the teacher's, which rerankd does not know." in text


@pytest.mark.parametrize("keep", [1.0, 0.5])
def test_some_of_its_layers(keep: float) -> None:
    policy = DistillPolicy(layers=6, keep=keep)
    text = said(replace(FACTS, taken=(0, 2, 4, 7, 9, 11), policy=policy))
    assert "with 6 of the teacher's 12 layers (counted from 1: 1, 3, 5, 8, 10, 12)" in text
    assert (CUT in text) is (keep < 1)
    assert ("12), whole." in text) is (keep == 1)


def test_an_earlier_student() -> None:
    text = said(replace(FACTS, student="first", taken=()))
    assert "It began with the student `first`, as int8 had kept it." in text
    assert CUT not in text
    assert "of the teacher's 12" not in text


def test_layers_that_were_imitated() -> None:
    text = said(replace(FACTS, policy=DistillPolicy(hidden_share=0.3)))
    assert "for the first 30% also how far the layers' states and attention are from the teacher's" in text


def test_without_training() -> None:
    text = said(replace(FACTS, seen=0))
    assert "No training followed." in text
    assert "AdamW" not in text


def test_judgements_are_told_where_there_were_any() -> None:
    assert "nDCG" not in card(FACTS)
    found = Judged(dataset="mine", queries=50, depth=24, retrieval=0.5, teacher=0.61, student=0.6)
    text = card(replace(FACTS, judged=found))
    assert "nDCG@10 on mine (50 queries, the first 24 texts of the retrieval order reranked)" in text
    assert "| 0.5000 | 0.6100 | 0.6000 |\n\n## Limits" in text


def test_no_line_is_wider_than_the_rest() -> None:
    lines = card(replace(FACTS, policy=DistillPolicy(layers=6, hidden_share=0.3))).splitlines()
    assert max(map(len, lines)) <= 116
