import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from transformers import BertForSequenceClassification

from rerankd.backends.onnx import evaluate
from rerankd.distill.export import FP32, INT8, export, scores_of_graph
from rerankd.distill.lessons import Lesson, tensors
from rerankd.distill.narrow import narrowed
from rerankd.distill.student import Student, load, save, some_layers, spread, student_of
from rerankd.distill.student_weights import student_of_onnx
from rerankd.errors import BackendError, ConfigError
from rerankd.models import resolve as resolving
from rerankd.models.policy import ModelPolicy
from rerankd.models.registry import find
from rerankd.models.rewriting.rewrite import lean
from tests.onnx_graphs import write_reranker


def all_different(student: Student) -> Student:
    """With no two parameters alike, as after training: the exporter stores equal ones once, under one name."""
    with torch.no_grad():
        for each in student.parameters():
            each += 0.01 * torch.randn_like(each)
    return student


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


def test_an_exported_student_comes_back_as_int8_has_kept_it(
    bert: BertForSequenceClassification, tokenizer: Path, tmp_path: Path, lessons: list[Lesson]
) -> None:
    student = narrowed(all_different(student_of(bert)), lessons[:4], 0.6)
    export(student, tokenizer, tmp_path / "out")
    back = student_of_onnx(tmp_path / "out" / INT8)
    assert back.shape == replace(student.shape, epsilon=back.shape.epsilon)
    assert back.shape.epsilon == pytest.approx(student.shape.epsilon)
    assert not back.words.weight.requires_grad
    for name, value in student.state_dict().items():
        step = float(value.abs().max()) / 100  # a little more than an int8 step
        torch.testing.assert_close(back.state_dict()[name], value, atol=step, rtol=0.0)


def test_a_file_that_holds_no_student_is_named(tmp_path: Path) -> None:
    with pytest.raises(BackendError, match=r"plain\.onnx: was not quantised dynamically"):
        student_of_onnx(write_reranker(tmp_path / "plain.onnx"))
    (tmp_path / "odd.onnx").write_bytes(b"nothing")
    with pytest.raises(BackendError, match=r"odd\.onnx: cannot be read"):
        student_of_onnx(tmp_path / "odd.onnx")


@pytest.mark.model
def test_another_quantised_model_is_no_student(embedded: Path) -> None:
    with pytest.raises(BackendError, match=r"model\.onnx: is no student of rerankd distill"):
        student_of_onnx(embedded / "model.onnx")


def test_a_student_as_large_as_the_carried_one_is_no_damaged_copy_of_it(
    bert: BertForSequenceClassification, tokenizer: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    export(student_of(bert), tokenizer, tmp_path / "out")
    file = tmp_path / "out" / INT8
    known = find("small")
    assert known.carried is not None
    as_large = replace(known.carried, onnx=replace(known.carried.onnx, size=file.stat().st_size))
    monkeypatch.setattr(resolving, "known_models", lambda: (replace(known, carried=as_large),))
    policy = ModelPolicy(model=str(tmp_path / "out"))
    assert resolving.resolve(policy, data_dir=tmp_path / "data").precision == "int8"
    made = onnx.load(str(file))
    made.producer_name = "rerankd " + "x" * 7  # as long
    onnx.save(made, str(file))
    with pytest.raises(BackendError, match="damaged copy of rerankd-small"):
        resolving.resolve(policy, data_dir=tmp_path / "other")
