from pathlib import Path

import pytest
import torch
from transformers import BertForSequenceClassification

from rerankd.distill.forward import Place
from rerankd.distill.lessons import Lesson, tensors
from rerankd.distill.losses import PATH_WEIGHT, attention_loss, order_loss, path_loss, score_loss
from rerankd.distill.policy import DistillPolicy
from rerankd.distill.student import student_of
from rerankd.distill.training import train
from rerankd.engine.clock import SystemClock

TEACHER = torch.tensor([[3.0, 1.0, -2.0], [0.0, 4.0, 1.0]])
MASK = torch.tensor([[1, 1, 0], [1, 1, 1]])


def states(seed: int, layers: int) -> list[torch.Tensor]:
    chance = torch.Generator().manual_seed(seed)
    return [torch.randn(2, 3, 4, generator=chance) for _ in range(layers)]


def test_scores_are_apart_by_their_squares() -> None:
    assert score_loss(TEACHER + 2, TEACHER).item() == pytest.approx(4)


def test_only_the_order_within_a_question_counts() -> None:
    moved = TEACHER + torch.tensor([[5.0], [-3.0]])
    assert order_loss(moved, TEACHER).item() == pytest.approx(0, abs=1e-6)
    near, far = TEACHER.clone(), TEACHER.flip(1)
    near[0, 1] += 1
    assert 0 < order_loss(near, TEACHER).item() < order_loss(far, TEACHER).item()


def test_order_is_a_mean_over_questions_at_a_temperature_of_two() -> None:
    # softmax of (0, 2 ln 3) / 2 is (1/4, 3/4), and the student's is (1/2, 1/2)
    logits = torch.tensor([[0.0, 2 * torch.tensor(3.0).log().item()]])
    wanted = 0.25 * torch.tensor(0.5).log().item() + 0.75 * torch.tensor(1.5).log().item()
    got = order_loss(torch.zeros(1, 2), logits).item()
    assert got == pytest.approx(wanted, abs=1e-6)
    assert order_loss(torch.zeros(3, 2), logits.expand(3, 2)).item() == pytest.approx(got)


def test_layers_are_apart_by_their_relative_squares_at_the_places_that_are_imitated() -> None:
    teacher = states(1, 4)
    assert path_loss([teacher[1], teacher[3]], teacher, (2, 4), MASK) == pytest.approx(0)
    assert path_loss([2 * teacher[1], teacher[3]], teacher, (2, 4), MASK).item() == pytest.approx(
        PATH_WEIGHT / 2
    )
    assert path_loss([teacher[0]], teacher, (2, 4), MASK).item() > 0


def test_padding_is_not_imitated() -> None:
    teacher = states(1, 1)
    student = [teacher[0].clone()]
    student[0][0, 2] += 9
    assert path_loss(student, teacher, (1,), MASK) == pytest.approx(0)
    student[0][1, 2] += 9
    assert path_loss(student, teacher, (1,), MASK) > 0


def test_what_there_is_nothing_of_is_not_apart() -> None:
    assert path_loss([], states(1, 2), (3,), MASK) == 0  # a student of one layer shows no states
    # the teacher shows nothing of its last layer
    assert path_loss(states(2, 1), states(1, 2), (3,), MASK) == 0
    assert path_loss(states(2, 2)[:1] + states(1, 2)[1:], states(1, 2), (3, 2), MASK) == pytest.approx(0)


def maps(seed: int, layers: int, heads: int = 2) -> list[torch.Tensor]:
    chance = torch.Generator().manual_seed(seed)
    return [torch.randn(2, heads, 3, 3, generator=chance) for _ in range(layers)]


def test_attention_is_apart_where_a_head_looks_elsewhere() -> None:
    teacher = maps(1, 4)
    assert attention_loss([teacher[1], teacher[3]], teacher, (2, 4), MASK).item() == pytest.approx(
        0, abs=1e-6
    )
    swapped = [teacher[1].flip(1), teacher[3]]  # the same heads, each in the other's place
    assert attention_loss(swapped, teacher, (2, 4), MASK).item() > 0.01
    assert attention_loss([], teacher, (2, 4), MASK) == 0
    assert attention_loss(maps(2, 1), teacher, (5,), MASK) == 0  # the last layer shows none


def test_attention_is_a_mean_over_tokens_and_heads() -> None:
    wanted, got = torch.tensor([0.25, 0.75]), torch.tensor([0.5, 0.5])
    apart = (wanted * (wanted / got).log()).sum().item()
    for heads in (1, 3):
        shape = (2, heads, 2, 2)
        everywhere = [got.log().expand(shape)], [wanted.log().expand(shape)]
        assert attention_loss(*everywhere, (1,), torch.ones(2, 2)).item() == pytest.approx(apart, abs=1e-6)


def test_other_heads_are_held_against_the_teacher_s_as_a_whole() -> None:
    (teacher,) = maps(1, 1, heads=4)
    whole = teacher.softmax(-1).mean(1, keepdim=True).log()
    assert attention_loss([whole], [teacher], (1,), MASK).item() == pytest.approx(0, abs=1e-6)
    assert attention_loss(maps(2, 1, heads=3), [teacher], (1,), MASK).item() > 0.01


def test_where_padding_attends_does_not_count() -> None:
    teacher = maps(1, 1)
    student = [teacher[0].clone()]
    student[0][0, :, 2, 0] += 9
    assert attention_loss(student, teacher, (1,), MASK).item() == pytest.approx(0, abs=1e-6)
    student[0][1, :, 2, 0] += 9
    assert attention_loss(student, teacher, (1,), MASK).item() > 0.01


def test_attention_has_a_slope_where_it_is_next_to_nothing() -> None:
    student = torch.tensor([0.0, -40.0]).expand(1, 1, 2, 2).clone().requires_grad_()
    teacher = torch.tensor([-40.0, 0.0]).expand(1, 1, 2, 2)
    attention_loss([student], [teacher], (1,), torch.ones(1, 2)).backward()
    assert student.grad is not None
    torch.testing.assert_close(student.grad[0, 0, 0], torch.tensor([0.5, -0.5]))


def test_attention_to_padding_is_finite() -> None:
    hidden = torch.tensor([0.0, 1.0, -1e4]).expand(1, 2, 3, 3)
    student = (hidden * torch.tensor([1.0, 2.0, 1.0])).clone().requires_grad_()
    loss = attention_loss([student], [hidden], (1,), torch.tensor([[1, 1, 0]]))
    loss.backward()
    assert loss.item() > 0
    assert student.grad is not None
    assert torch.isfinite(student.grad).all()


def test_a_student_that_imitates_comes_to_attend_as_the_teacher_does(
    bert: BertForSequenceClassification, lessons: list[Lesson], tmp_path: Path
) -> None:
    def apart(hidden_share: float) -> float:
        torch.manual_seed(5)
        teacher, student = student_of(bert), student_of(bert)
        with torch.no_grad():
            for layer in student.blocks:
                layer.query.weight += 0.3 * torch.randn_like(layer.query.weight)
        policy = DistillPolicy(hidden_share=hidden_share, passes=8, rate=3e-3)
        train(
            teacher,
            student,
            lessons,
            policy,
            tmp_path / f"{hidden_share}.pt",
            clock=SystemClock(),
            place=Place("cpu", half=False),
        )
        got, wanted, (inputs, _) = [], [], tensors(lessons[:8])
        with torch.no_grad():
            student(**inputs, maps=got)
            teacher(**inputs, maps=wanted)
        return float(attention_loss(got, wanted, (1,), inputs["attention_mask"]))

    assert apart(1.0) < 0.8 * apart(0.0)
