"""The model's files, its loading, and its scores on a test batch."""

from pathlib import Path
from typing import Any, Literal

import pytest

from rerankd.core.flag import Flag
from rerankd.core.status import Status as State
from rerankd.doctor.check import Status
from rerankd.doctor.model import (
    RECORDED_FROM,
    REFERENCES,
    TOLERANCE,
    Reference,
    batch_check,
    file_checks,
    load_check,
    score_reference,
)
from rerankd.errors import BackendError
from rerankd.models.resolve import FileCheck
from rerankd.testing import fake_reranker


def file(name: str, status: Literal["known", "trusted", "new", "changed"], problem: str = "") -> FileCheck:
    return FileCheck(name=name, path=Path("models") / name, sha256="ab", status=status, problem=problem)


def state(**changes: Any) -> State:
    usual: dict[str, Any] = {
        "model": "m",
        "device": "cpu",
        "model_state": "ready",
        "error": None,
        "load_seconds": 1.0,
        "circuit": "closed",
        "queue_pairs": 0,
        "workers": 1,
        "busy": 0,
        "hung": 0,
        "flag": Flag(),
        "flag_source": "memory",
        "enabled": True,
    }
    return State(**{**usual, **changes})


def test_files_that_are_there_and_known_pass() -> None:
    checks = file_checks([file("model.onnx", "known"), file("tokenizer.json", "trusted")])
    assert [check.status for check in checks] == [Status.PASS, Status.PASS]
    assert [check.figure for check in checks] == ["model.onnx, tokenizer.json", "known, trusted"]


def test_a_changed_file_fails_and_is_named() -> None:
    checks = file_checks([file("model.onnx", "changed", "models/model.onnx: has sha256 ab, not cd")])
    assert [check.status for check in checks] == [Status.PASS, Status.FAIL]
    assert "model.onnx" in checks[1].figure


def test_a_missing_file_fails_and_is_named() -> None:
    (check,) = file_checks(BackendError("models/model.onnx is missing"))
    assert (check.status, check.figure) == (Status.FAIL, "models/model.onnx is missing")
    assert "rerankd models pull" in check.remedy


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"load_seconds": 4.9}, Status.PASS),
        ({"load_seconds": 5.0}, Status.FAIL),
        (
            {"model_state": "unavailable", "load_seconds": None, "error": "model.onnx is cut short"},
            Status.FAIL,
        ),
    ],
)
def test_a_model_has_to_load_within_5_seconds(changes: dict[str, Any], status: Status) -> None:
    check = load_check(state(**changes))
    assert check.status is status
    assert (changes.get("error") or f"{changes['load_seconds']:.2f} s") in check.figure


REFERENCE = Reference(query="a b", texts=("a b", "a", "c"), logits=(2.0, 1.0, 0.0))


def test_scores_come_back_in_the_order_of_the_texts() -> None:
    with fake_reranker() as reranker:
        assert score_reference(reranker, REFERENCE) == (2.0, 1.0, 0.0)


@pytest.mark.parametrize(
    ("model", "logits", "status"),
    [
        (RECORDED_FROM, (2.0, 1.0, 0.0), Status.PASS),
        (RECORDED_FROM, (2.0 + TOLERANCE * 0.9, 1.0, 0.0), Status.PASS),
        (RECORDED_FROM, (2.0 + TOLERANCE * 1.1, 1.0, 0.0), Status.FAIL),
        (RECORDED_FROM, (1.0, 2.0, 0.0), Status.FAIL),
        (RECORDED_FROM, (2.0, None, 0.0), Status.FAIL),
        ("another/model", (9.0, 8.0, 7.0), Status.PASS),
        ("another/model", (7.0, 8.0, 9.0), Status.FAIL),
    ],
)
def test_the_order_has_to_be_right_and_the_scores_those_recorded(
    model: str, logits: tuple[float | None, ...], status: Status
) -> None:
    assert batch_check(model, [REFERENCE], [logits]).status is status


def test_every_reference_is_written_down_best_first() -> None:
    for reference in REFERENCES:
        assert len(reference.texts) == len(reference.logits)
        assert list(reference.logits) == sorted(reference.logits, reverse=True)


@pytest.mark.model
def test_the_embedded_model_gives_what_was_recorded() -> None:
    import rerankd

    with rerankd.open("large", require_model=True) as reranker:
        seen = [score_reference(reranker, reference) for reference in REFERENCES]
        assert batch_check(reranker.status().model, REFERENCES, seen).status is Status.PASS
