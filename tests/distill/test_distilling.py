"""The whole way with a tiny teacher, and what a stop in each step costs: nothing but time."""

import math
from collections.abc import Iterator
from dataclasses import replace
from itertools import count
from pathlib import Path

import pytest
import torch
from transformers import BertForSequenceClassification

from rerankd.distill.distilling import Distilled, Earlier, Teacher, distil
from rerankd.distill.policy import DistillPolicy
from rerankd.distill.student import some_layers, student_of
from rerankd.distill.student_weights import student_of_onnx
from rerankd.distill.texts import Passage
from rerankd.errors import ConfigError
from rerankd.reranker import Reranker
from rerankd.testing import fake_reranker

POLICY = DistillPolicy(
    queries=24,
    sentence_queries=6,
    keep=0.7,
    passes=2.0,
    max_tokens=48,
    batch_queries=2,
    hidden_share=0.3,
    rate=1e-3,
)


class Stopped(Exception):
    pass


class Steps:
    """Notes the steps, and stops the run the so-manieth time that it hears of one."""

    def __init__(self, stop: str = "", after: int = 0) -> None:
        self.names: list[str] = []
        self.shares: list[float] = []
        self._stop, self._left = stop, after

    def step(self, name: str) -> None:
        self.names.append(name)
        self._heard()

    def share(self, done: float, note: str = "") -> None:
        self.shares.append(done)
        self._heard()

    def _heard(self) -> None:
        if self.names[-1] == self._stop:
            if not self._left:
                raise Stopped
            self._left -= 1


class Slow:
    """Every look at it is a minute later, so that training is saved every few steps."""

    def __init__(self) -> None:
        self._minutes = count()

    def now(self) -> float:
        return 60.0 * next(self._minutes)


@pytest.fixture
def reranker() -> Iterator[Reranker]:
    with fake_reranker() as one:
        yield one


def run(
    reranker: Reranker,
    bert: BertForSequenceClassification,
    tokenizer: Path,
    passages: list[Passage],
    out: Path,
    told: Steps,
    policy: DistillPolicy = POLICY,
    student: Earlier | None = None,
) -> Distilled:
    teacher = Teacher(
        id="tiny",
        licence="MIT",
        reranker=reranker,
        network=lambda: student_of(bert),
        tokenizer=tokenizer,
        student=student,
    )
    return distil(teacher, ["why is the sky blue"], passages, policy, out, clock=Slow(), told=told)


def weights(out: Path) -> torch.Tensor:
    kept = torch.load(out / "work" / "checkpoint.pt", weights_only=True)
    return torch.cat([value.flatten().float() for value in kept["student"].values()])


def test_from_texts_to_a_model_and_again_after_a_stop_in_each_step(
    reranker: Reranker,
    bert: BertForSequenceClassification,
    tokenizer: Path,
    passages: list[Passage],
    tmp_path: Path,
) -> None:
    whole, told = tmp_path / "whole", Steps()
    distilled = run(reranker, bert, tokenizer, passages, whole, told)
    assert told.names == ["pairs", "scores", "narrowing", "training", "export"]
    assert all(0 <= share <= 1 for share in told.shares)
    assert {"model.onnx", "tokenizer.json", "README.md"} <= {path.name for path in whole.iterdir()}
    card = (whole / "README.md").read_text(encoding="utf-8")
    assert "`tiny`. Licence: MIT." in card
    assert f"{distilled.pairs:,} pairs" in card
    assert distilled.parity < 0.1
    assert math.isfinite(distilled.network.squared_error)

    stopped = tmp_path / "stopped"
    for step, after in (
        ("pairs", 1),
        ("scores", 0),
        ("scores", 1),
        ("narrowing", 0),
        ("training", 1),
        ("export", 0),
    ):
        with pytest.raises(Stopped):
            run(reranker, bert, tokenizer, passages, stopped, Steps(step, after))
    again = run(reranker, bert, tokenizer, passages, stopped, Steps())
    torch.testing.assert_close(weights(stopped), weights(whole))
    assert again.graph == distilled.graph


def test_work_on_something_else_is_not_gone_on_with(
    reranker: Reranker,
    bert: BertForSequenceClassification,
    tokenizer: Path,
    passages: list[Passage],
    tmp_path: Path,
) -> None:
    with pytest.raises(Stopped):
        run(reranker, bert, tokenizer, passages, tmp_path / "out", Steps("pairs"))
    with pytest.raises(ConfigError, match="begun with other texts"):
        run(reranker, bert, tokenizer, passages[1:], tmp_path / "out", Steps())


def test_too_few_questions_are_refused(
    reranker: Reranker,
    bert: BertForSequenceClassification,
    tokenizer: Path,
    passages: list[Passage],
    tmp_path: Path,
) -> None:
    few = DistillPolicy(queries=3, sentence_queries=0)
    with pytest.raises(ConfigError, match=r"--queries: 3 questions are too few .* at least 20"):
        run(reranker, bert, tokenizer, passages, tmp_path / "out", Steps(), few)


def test_a_student_is_gone_on_with_instead_of_narrowing_the_teacher(
    reranker: Reranker,
    bert: BertForSequenceClassification,
    tokenizer: Path,
    passages: list[Passage],
    tmp_path: Path,
) -> None:
    with torch.no_grad():
        for each in bert.parameters():
            each += 0.01 * torch.randn_like(each)  # as trained: the exporter stores equal parameters once
    begun = Earlier("first", lambda: some_layers(student_of(bert), 1))
    untrained = replace(POLICY, passes=0.0)
    run(reranker, bert, tokenizer, passages, tmp_path / "first", Steps(), untrained, begun)
    file = tmp_path / "first" / "model.onnx"
    assert (
        len(student_of_onnx(file).layers) == 1
    )  # nothing of the teacher's second layer, and nothing narrowed
    assert "student `first`" in (tmp_path / "first" / "README.md").read_text(encoding="utf-8")
    again = Earlier("second", lambda: student_of_onnx(file))
    distilled = run(reranker, bert, tokenizer, passages, tmp_path / "second", Steps(), student=again)
    assert distilled.layers == 1
    with pytest.raises(ConfigError, match="begun with other student"):
        run(reranker, bert, tokenizer, passages, tmp_path / "second", Steps(), student=begun)
