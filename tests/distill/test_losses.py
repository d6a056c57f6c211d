import pytest
import torch

from rerankd.distill.losses import PATH_WEIGHT, order_loss, path_loss, score_loss

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
