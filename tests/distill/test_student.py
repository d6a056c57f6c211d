import re
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from transformers import BertForSequenceClassification

from rerankd.backends.onnx import evaluate
from rerankd.distill.export import FP32, INT8, export, scores_of_graph
from rerankd.distill.lessons import Lesson, tensors
from rerankd.distill.narrow import narrowed
from rerankd.distill.student import load, save, some_layers, spread, student_of
from rerankd.errors import ConfigError
from rerankd.models.rewriting.rewrite import lean


def test_the_whole_student_scores_as_its_teacher_does(
    bert: BertForSequenceClassification, lessons: list[Lesson]
) -> None:
    lesson = Lesson([lessons[0].ids[0], lessons[1].ids[0][:6]], [[0] * 12, [0] * 6], [0.0, 0.0])
    inputs, _ = tensors([lesson])  # with padding
    with torch.no_grad():
        torch.testing.assert_close(student_of(bert)(**inputs), bert(**inputs).logits)


def test_layers_are_taken_evenly_the_first_and_the_last_among_them() -> None:
    assert spread(6, 12) == (0, 2, 4, 7, 9, 11)
    assert spread(1, 12) == (11,)
    with pytest.raises(ConfigError, match=re.escape("the teacher has 12 layers, got 13")):
        spread(13, 12)


def test_some_layers_keep_their_weights(bert: BertForSequenceClassification) -> None:
    whole = student_of(bert)
    last = some_layers(whole, 1)
    assert len(last.layers) == 1
    torch.testing.assert_close(last.blocks[0].up.weight, whole.blocks[1].up.weight)


def test_a_saved_student_comes_back(
    bert: BertForSequenceClassification, tmp_path: Path, lessons: list[Lesson]
) -> None:
    student = narrowed(student_of(bert), lessons[:4], 0.6)
    save(student, tmp_path / "student.pt")
    back = load(tmp_path / "student.pt")
    inputs, _ = tensors(lessons[:1])
    assert back.shape == student.shape
    assert not back.words.weight.requires_grad
    torch.testing.assert_close(back(**inputs), student(**inputs))


def test_units_that_say_nothing_are_taken_out_without_a_loss(
    bert: BertForSequenceClassification, lessons: list[Lesson]
) -> None:
    student = student_of(bert)
    with torch.no_grad():
        for layer in student.blocks:
            layer.down.weight[:, ::2] = 0.0
    inputs, _ = tensors(lessons[5:6])
    before = student(**inputs)
    smaller = narrowed(student, lessons, 0.95)
    assert sum(smaller.shape.units) < sum(student.shape.units)
    torch.testing.assert_close(smaller(**inputs), before, atol=1e-4, rtol=1e-3)


def test_less_is_kept_when_less_is_wanted(bert: BertForSequenceClassification, lessons: list[Lesson]) -> None:
    def cost(keep: float) -> int:
        shape = narrowed(student_of(bert), lessons[:4], keep).shape
        return 96 * shape.heads[0] + shape.units[0]

    assert cost(0.3) < cost(0.7) < cost(1.0)


def test_both_graphs_score_as_the_network(
    bert: BertForSequenceClassification, tokenizer: Path, tmp_path: Path, lessons: list[Lesson]
) -> None:
    student = student_of(bert)
    export(student, tokenizer, tmp_path / "out")
    lesson = Lesson([lessons[0].ids[0], lessons[1].ids[0][:6]], [[0] * 5 + [1] * 7, [0] * 6], [0.0, 0.0])
    inputs, _ = tensors([lesson])
    with torch.no_grad():
        wanted = student(**inputs).reshape(-1).tolist()
    assert scores_of_graph(tmp_path / "out" / FP32, lesson.ids, lesson.types) == pytest.approx(
        wanted, abs=1e-4
    )
    assert scores_of_graph(tmp_path / "out" / INT8, lesson.ids, lesson.types) == pytest.approx(
        wanted, abs=0.05
    )


@pytest.mark.parametrize("file", [FP32, INT8])
def test_the_exported_attention_is_made_lean(
    bert: BertForSequenceClassification, tokenizer: Path, tmp_path: Path, lessons: list[Lesson], file: str
) -> None:
    student = narrowed(student_of(bert), lessons[:4], 0.6)
    for name, each in student.named_parameters():
        if name.endswith("bias"):
            torch.nn.init.normal_(each, std=0.02)  # the exporter would share those that are equal
    export(student, tokenizer, tmp_path / "out")
    path = tmp_path / "out" / file
    graph = lean(path, evaluate)
    assert graph is not None
    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    assert [each.name for each in session.get_inputs()] == ["input_ids", "token_type_ids"]
    ids, types = lessons[0].ids, lessons[0].types
    scores = [
        session.run(None, {"input_ids": np.array([row]), "token_type_ids": np.array([kinds])})[0].item()
        for row, kinds in zip(ids, types, strict=True)
    ]
    assert scores == pytest.approx(scores_of_graph(path, ids, types), abs=1e-4 if file == FP32 else 0.02)
