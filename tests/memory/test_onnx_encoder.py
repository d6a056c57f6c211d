"""The carried embedder gives unit vectors that put a question near the text that answers it."""

from pathlib import Path

import numpy as np
import pytest

from rerankd.errors import BackendError
from rerankd.memory.embedder import Run
from rerankd.memory.onnx_encoder import OnnxEncoder

pytestmark = pytest.mark.model


@pytest.fixture(scope="module")
def encoder() -> OnnxEncoder:
    return OnnxEncoder.load("BAAI/bge-small-en-v1.5")


def vector(encoder: OnnxEncoder, text: str, *, query: bool = False) -> np.ndarray:
    return np.asarray(encoder.encode(text, query=query, run=Run()))


def test_a_question_is_nearer_to_its_answer_than_to_another_text(encoder: OnnxEncoder) -> None:
    asked = vector(encoder, "Where does she live now?", query=True)
    answer = vector(encoder, "In May I moved to Lisbon, into a flat near the river.")
    other = vector(encoder, "The invoice of the dentist came to 80 euros.")
    assert asked @ answer > asked @ other + 0.05


def test_vectors_have_384_numbers_and_norm_1(encoder: OnnxEncoder) -> None:
    found = vector(encoder, "text")
    assert found.shape == (384,)
    assert found.dtype == np.float32
    assert np.linalg.norm(found) == pytest.approx(1, abs=1e-5)


def test_a_question_carries_the_documented_instruction(encoder: OnnxEncoder) -> None:
    instructed = vector(encoder, "Represent this sentence for searching relevant passages: why")
    assert vector(encoder, "why", query=True) == pytest.approx(instructed)


@pytest.mark.parametrize("text", ["", "\ud800 alone", "word " * 20_000, "x" * 1_000_000, "\0"])
def test_any_text_has_a_vector(encoder: OnnxEncoder, text: str) -> None:
    assert np.isfinite(vector(encoder, text)).all()


def test_a_run_that_nobody_waits_for_does_not_begin(encoder: OnnxEncoder) -> None:
    run = Run()
    run.end()
    with pytest.raises(BackendError, match="nobody"):
        encoder.encode("text", query=False, run=run)


def test_files_that_are_no_model_are_named(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"nonsense")
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(BackendError, match=r"model\.onnx: cannot be loaded"):
        OnnxEncoder.load(str(tmp_path))
