"""A batch that is run in parts, by length, scores as it does in one run."""

import pytest
import torch
from transformers import BertForSequenceClassification

from rerankd.distill import forward
from rerankd.distill.forward import Place, here, logits_of
from rerankd.distill.lessons import Lesson, tensors
from rerankd.distill.student import Student, student_of
from rerankd.engine.clock import SystemClock

LENGTHS = (12, 5, 30, 7, 21, 9, 16, 28, 6)


@pytest.fixture
def batch() -> list[Lesson]:
    chance = torch.Generator().manual_seed(5)
    rows = [torch.randint(4, 200, (length,), generator=chance).tolist() for length in LENGTHS]
    types = [[0] * 4 + [1] * (len(row) - 4) for row in rows]
    return [Lesson(rows[at : at + 3], types[at : at + 3], [1.0, 0.0, -1.0]) for at in (0, 3, 6)]


@pytest.fixture
def student(bert: BertForSequenceClassification) -> Student:
    return student_of(bert)


@pytest.mark.parametrize(("half", "apart"), [(False, 1e-5), (True, 0.02)])
def test_each_pair_keeps_its_place_and_its_score(
    student: Student, batch: list[Lesson], half: bool, apart: float
) -> None:
    inputs, wanted = tensors(batch)
    with torch.no_grad():
        whole = student(**inputs).reshape(wanted.shape)
        parts = logits_of(student, batch, Place("cpu", half))
    assert parts.dtype == torch.float32
    torch.testing.assert_close(parts, whole, atol=apart, rtol=0)


def test_all_weights_but_the_words_learn_through_it(student: Student, batch: list[Lesson]) -> None:
    logits_of(student, batch, Place("cpu", half=False)).square().sum().backward()
    learnt = {name for name, each in student.named_parameters() if each.grad is not None and each.grad.any()}
    # a bias of the keys adds the same to all that a softmax compares
    silent = {name for name, _ in student.named_parameters() if name.endswith("key.bias")}
    assert learnt | silent == {name for name, _ in student.named_parameters()} - {"words.weight"}


class Clock:
    """Time passes as it is told."""

    def __init__(self, *moments: float) -> None:
        self._moments = iter(moments)

    def now(self) -> float:
        return next(self._moments)


def test_here_is_a_device_that_torch_has(student: Student, batch: list[Lesson]) -> None:
    assert torch.zeros(1, device=here(student, batch, SystemClock()).device).item() == 0


@pytest.mark.parametrize(
    ("moments", "half"), [((0, 9, 9, 9, 9, 12, 12, 14), True), ((0, 1, 1, 9, 9, 11, 11, 14), False)]
)
def test_a_cpu_takes_what_was_faster_when_both_were_warm(
    student: Student,
    batch: list[Lesson],
    monkeypatch: pytest.MonkeyPatch,
    moments: tuple[float, ...],
    half: bool,
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(forward, "multiplies_bfloat16", lambda: True)
    assert here(student, batch, Clock(*moments)) == Place("cpu", half)
    assert all(each.grad is None for each in student.parameters())


def test_a_cpu_without_bfloat16_is_not_asked_for_it(
    student: Student, batch: list[Lesson], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(forward, "multiplies_bfloat16", lambda: False)
    assert here(student, batch, Clock()) == Place("cpu", half=False)
