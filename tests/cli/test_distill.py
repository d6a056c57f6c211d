import ctypes
import json
import os
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from rerankd.backends import cpu
from rerankd.cli import main
from rerankd.cli.distill import _keep_memory, _teacher
from rerankd.cli.distill_progress import _STEPS, Bars, Lines, progress
from rerankd.settings import Settings
from rerankd.testing import fake_reranker
from tests.cli.conftest import Run
from tests.evaluation.conftest import write_lines, write_run
from tests.onnx_graphs import write_reranker
from tests.tokenizer_files import write_bert


def test_what_is_wrong_is_said_before_any_work(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def said(*arguments: str) -> str:
        with pytest.raises(SystemExit) as ended:
            main(["distill", "--out", str(tmp_path / "out"), *arguments])
        assert ended.value.code in (1, 2)
        return capsys.readouterr().err

    few = tmp_path / "few.jsonl"
    few.write_text('{"text": "one"}\n{"text": "two"}\n', encoding="utf-8")
    assert "has 2 different texts; at least 200 are needed" in said("--texts", str(few))
    assert "there is no" in said("--texts", str(tmp_path / "nowhere"))
    broken = tmp_path / "broken.jsonl"
    broken.write_text('{"text": 1}\n', encoding="utf-8")
    assert "line 1: needs an object with a string in text" in said("--texts", str(broken))
    assert "must be a number from 0.05 to 1" in said("--texts", str(few), "--keep", "7")
    assert "--layers, --keep: say what is taken from the teacher" in said(
        "--texts", str(few), "--student", "small", "--layers", "3"
    )
    many = tmp_path / "many.jsonl"
    many.write_text("".join(f'{{"text": "text number {at}"}}\n' for at in range(300)), encoding="utf-8")
    monkeypatch.setitem(sys.modules, "torch", None)
    assert "pip install 'rerankd[distill]'" in said("--texts", str(many))
    assert not (tmp_path / "out").exists()


@pytest.fixture
def texts(tmp_path: Path) -> Path:
    path = tmp_path / "texts.jsonl"
    path.write_text("".join(f'{{"text": "text number {at}"}}\n' for at in range(300)), encoding="utf-8")
    return path


@pytest.fixture
def plain(tmp_path: Path) -> Path:
    """A folder with a graph in fp32, of no BERT."""
    folder = tmp_path / "plain"
    folder.mkdir()
    write_reranker(folder / "model.onnx")
    write_bert(folder / "tokenizer.json", window=64)
    return folder


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    """A teacher of two layers."""
    transformers = pytest.importorskip("transformers")
    config = transformers.BertConfig(
        vocab_size=200,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=64,
        num_labels=1,
    )
    folder = tmp_path / "checkpoint"
    transformers.BertForSequenceClassification(config).save_pretrained(folder)
    write_bert(folder / "tokenizer.json", window=64)
    return folder


@pytest.mark.usefixtures("fake")
def test_a_teacher_or_student_that_cannot_be_one_is_refused_before_any_work(
    tmp_path: Path, texts: Path, plain: Path, checkpoint: Path, run: Run
) -> None:
    def said(*arguments: object) -> str:
        done = run("distill", "--texts", texts, "--out", tmp_path / "out", *arguments)
        assert done.status in (1, 2)
        assert "Traceback" not in done.err
        assert not (tmp_path / "out").exists()
        return done.err

    instead = "name as --teacher a folder with its config.json, model.safetensors and tokenizer.json"
    assert instead in (err := said("--teacher", plain))
    assert "model.onnx: is not the graph of a dynamically quantised BERT" in err
    assert instead in said("--teacher", "small")
    assert "--layers: the teacher has 2 layers, got 13" in said("--teacher", checkpoint, "--layers", 13)
    assert "another tokenizer than the teacher" in said("--teacher", checkpoint, "--student", "small")
    assert "was not quantised dynamically" in said("--teacher", checkpoint, "--student", plain)


@pytest.fixture
def collection(tmp_path: Path) -> Path:
    folder = tmp_path / "judged"
    write_lines(
        folder / "corpus.jsonl",
        [json.dumps({"_id": f"d{at}", "text": f"text number {at}"}) for at in range(6)],
    )
    write_lines(folder / "queries.jsonl", ['{"_id": "q", "text": "number five"}'])
    write_lines(folder / "qrels" / "test.tsv", ["query-id\tcorpus-id\tscore", "q\td5\t1"])
    write_run(folder / "runs" / "bm25.trec", {"q": ["d0", "d5", "d1", "d2"]})
    return folder


def test_a_student_is_made_and_held_to_judgements(
    tmp_path: Path,
    texts: Path,
    checkpoint: Path,
    collection: Path,
    run: Run,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pytest.importorskip("ir_measures")
    monkeypatch.setenv("RERANKD_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("DEVICE", "cpu")
    out = tmp_path / "out"
    small = ("--questions", 24, "--sentence-questions", 0, "--passes", 0, "--layers", 1, "--max-tokens", 32)
    done = run(
        *("distill", "--texts", texts, "--out", out, "--teacher", checkpoint, *small),
        *("--evaluate", collection, "--json"),
    )
    assert done.status == 0, done.err
    assert "Traceback" not in done.err
    found = done.json["judged"]
    assert (found["dataset"], found["queries"], found["depth"]) == ("judged", 1, 24)
    assert found["retrieval"] == pytest.approx(0.6309, abs=1e-4)  # 1 / log2(3)
    assert 0.43 <= found["teacher"] <= 1
    assert 0.43 <= found["student"] <= 1
    card = (out / "README.md").read_text(encoding="utf-8")
    assert f"| 0.6309 | {found['teacher']:.4f} | {found['student']:.4f} |" in card
    assert "with 1 of the teacher's 2 layers (counted from 1: 2)" in " ".join(card.split())
    steps = [line for line in done.err.splitlines() if ":" not in line]
    assert steps == list(_STEPS.values())


def test_a_collection_that_is_none_is_named_before_any_work(tmp_path: Path, texts: Path, run: Run) -> None:
    done = run("distill", "--texts", texts, "--out", tmp_path / "out", "--evaluate", tmp_path)
    assert done.status == 1
    assert "corpus.jsonl: no such file" in done.err
    assert not (tmp_path / "out").exists()


def test_weights_are_of_the_file_that_scores(
    tmp_path: Path, plain: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cpu, "int8_path", lambda: "avx512_vnni")
    monkeypatch.setenv("RERANKD_DATA_DIR", str(tmp_path / "data"))
    (plain / "onnx").mkdir()
    (plain / "model.onnx").rename(plain / "onnx" / "model.onnx")
    write_reranker(plain / "onnx" / "model_qint8_avx512_vnni.onnx", dynamic=True)
    with fake_reranker() as reranker:
        teacher = _teacher(str(plain), None, reranker, Settings.load())
    with pytest.raises(Exception, match=r"model_qint8_avx512_vnni\.onnx: is not the graph"):
        teacher.network()


class Clock:
    """Shows the time that it was set to."""

    time = 1_000.0

    def now(self) -> float:
        return self.time


def test_a_log_gets_a_line_every_now_and_then(capsys: pytest.CaptureFixture[str]) -> None:
    clock = Clock()
    told = progress(clock)
    assert isinstance(told, Lines)
    with told:
        told.step("scores")
        for minutes, share in (
            (0, 0.20),
            (1, 0.21),
            (2, 0.24),
            (10, 0.30),
            (16, 0.31),
            (17, 0.32),
            (60, 1.0),
        ):
            clock.time = 1_000.0 + 60 * minutes
            told.share(share, f"{share * 100:.0f} questions")
        told.step("training")
    assert capsys.readouterr().err.splitlines() == [
        "Asking the teacher",
        "Asking the teacher: 20%, 20 questions",  # of an earlier run: how long they took is not known
        "Asking the teacher: 30%, 1 h 10 min left, 30 questions",
        "Asking the teacher: 31%, 1 h 40 min left, 31 questions",
        "Asking the teacher: 100%, 100 questions",
        "Training",
    ]


def test_a_terminal_gets_bars(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert isinstance(progress(Clock()), Bars)


@pytest.mark.skipif(os.name != "posix", reason="there is no glibc")
def test_memory_is_kept_where_glibc_is_and_nothing_breaks_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[tuple[int, int]] = []
    monkeypatch.setattr(ctypes, "CDLL", lambda _: SimpleNamespace(mallopt=lambda *what: told.append(what)))
    _keep_memory()
    assert (-4, 0) in told, "large blocks are not mapped one by one"
    assert dict(told)[-1] >= 2**31 - 1, "nothing is trimmed"
    monkeypatch.setattr(ctypes, "CDLL", lambda _: SimpleNamespace())
    _keep_memory()
