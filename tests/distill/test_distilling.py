"""The whole way with a tiny teacher, and what a stop in each step costs: nothing but time."""

import json
import math
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import BertConfig, BertForSequenceClassification

from rerankd.distill import distilling, teacher
from rerankd.distill.distilling import Distilled, Earlier, Teacher, distil
from rerankd.distill.policy import DistillPolicy
from rerankd.distill.student import some_layers, student_of
from rerankd.distill.student_weights import student_of_onnx
from rerankd.distill.texts import Passage
from rerankd.distill.work import Work
from rerankd.errors import BackendError, ConfigError
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


SHARD = 4
"""Questions a file of scores, where some files are to be there and others not."""
_FILES = ("model.onnx", "tokenizer.json", "README.md")


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
    large = Teacher(
        id="tiny",
        licence="MIT",
        reranker=reranker,
        network=lambda: student_of(bert),
        tokenizer=tokenizer,
        student=student,
    )
    return distil(large, ["why is the sky blue"], passages, policy, out, clock=Slow(), told=told)


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
    assert set(_FILES) <= {path.name for path in whole.iterdir()}
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
        ("scores", 2),
        ("narrowing", 0),
        ("training", 1),
        ("export", 0),
    ):
        with pytest.raises(Stopped):
            run(reranker, bert, tokenizer, passages, stopped, Steps(step, after))
    again = run(reranker, bert, tokenizer, passages, stopped, Steps())
    torch.testing.assert_close(weights(stopped), weights(whole))
    assert again.graph == distilled.graph


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")
def test_a_killed_process_costs_nothing_but_time(
    reranker: Reranker,
    bert: BertForSequenceClassification,
    tokenizer: Path,
    passages: list[Passage],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(teacher, "SHARD", SHARD)
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    distilled = run(reranker, bert, tokenizer, passages, whole, Steps())
    for step, after in (("scores", 4), ("training", 1)):
        command = [sys.executable, "-m", "tests.distill.killed", killed, tokenizer, step, str(after)]
        ended = subprocess.run(command, check=False, capture_output=True, text=True, timeout=300)
        assert ended.returncode == -signal.SIGKILL, ended.stderr
        shards = sorted(path.name for path in (killed / "work" / "scores").iterdir())
        if step == "scores":
            assert shards == ["scores-00000.parquet", "scores-00001.parquet", "scores-00002.parquet"]
            first = (killed / "work" / "scores" / shards[0]).stat().st_mtime_ns
    # what was done is kept, and not done again
    assert len(shards) == len(list((whole / "work" / "scores").iterdir())) > 3
    assert (killed / "work" / "scores" / shards[0]).stat().st_mtime_ns == first
    kept = torch.load(killed / "work" / "checkpoint.pt", weights_only=True)
    assert 0 < kept["step"] < 20  # the kill came when the twentieth was told
    assert not (killed / "model.onnx").exists()
    again = run(reranker, bert, tokenizer, passages, killed, Steps())
    torch.testing.assert_close(weights(killed), weights(whole))
    assert again.graph == distilled.graph
    assert again.seconds == distilled.seconds


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


def test_a_student_whose_file_was_written_anew_is_another_one(tmp_path: Path) -> None:
    def begin(student: str, digest: str) -> None:
        work.begin("tiny", ["why"], ["because"], POLICY, student=student, student_file=digest)

    work = Work(tmp_path / "out" / "work")
    begin("first", "abc")
    begin("first", "abc")
    with pytest.raises(ConfigError, match="begun with other student_file;"):
        begin("first", "abd")
    path = work.folder / "begun.json"
    begun = json.loads(path.read_text(encoding="utf-8"))
    del begun["student_file"]  # as an earlier release has left it
    path.write_text(json.dumps(begun), encoding="utf-8")
    begin("first", "abd")
    with pytest.raises(ConfigError, match="begun with other student;"):
        begin("second", "abd")


@pytest.mark.parametrize(
    ("changed", "earlier", "said"),
    [
        ({"layers": 3}, None, "--layers: the teacher has 2 layers, got 3"),
        ({"hidden_share": 0.3}, {"hidden_size": 16}, "--hidden-share: the layers of other are 16 wide"),
        (
            {"hidden_share": 0.3},
            {"num_hidden_layers": 3},
            "--hidden-share: other has 3 layers, the teacher 2;",
        ),
        ({"hidden_share": 0.0}, {"vocab_size": 100}, "--student: other knows 100 tokens, the teacher 200"),
    ],
)
def test_networks_that_do_not_fit_are_refused_before_any_work(
    reranker: Reranker,
    bert: BertForSequenceClassification,
    tokenizer: Path,
    passages: list[Passage],
    tmp_path: Path,
    changed: dict[str, Any],
    earlier: dict[str, int] | None,
    said: str,
) -> None:
    student = None
    if earlier:
        config = BertConfig(**{**bert.config.to_dict(), **earlier})
        student = Earlier("other", lambda: student_of(BertForSequenceClassification(config)))
    policy, told = replace(POLICY, **changed), Steps()
    with pytest.raises(ConfigError, match=said):
        run(reranker, bert, tokenizer, passages, tmp_path / "out", told, policy, student)
    assert not told.names
    assert not (tmp_path / "out").exists()


def test_an_export_that_scores_otherwise_is_no_model(
    reranker: Reranker,
    bert: BertForSequenceClassification,
    tokenizer: Path,
    passages: list[Passage],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    out, untrained = tmp_path / "out", replace(POLICY, passes=0.0)
    with monkeypatch.context() as context:
        context.setattr(distilling, "_PARITY", -1.0)
        with pytest.raises(
            BackendError, match=r"differ from the network's by 0\.\d+ in the mean, more than -1"
        ):
            run(reranker, bert, tokenizer, passages, out, Steps(), untrained)
    assert [path.name for path in out.iterdir()] == ["work"]
    run(reranker, bert, tokenizer, passages, out, Steps(), untrained)
    assert {path.name for path in out.iterdir()} == {"work", "onnx", *_FILES}
    assert not (out / "work" / "export").exists()
