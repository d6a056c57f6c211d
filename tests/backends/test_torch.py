"""A checkpoint scores a pair the same alone and in company, and what is no reranker is refused by name."""

import json
from pathlib import Path
from typing import Any

import pytest

from rerankd.backends.devices import Device
from rerankd.core.types import Pair, Text
from rerankd.engine.stop import StopSignal
from rerankd.errors import BackendError, OutOfMemory

torch = pytest.importorskip("torch", reason="needs the extra torch")
transformers = pytest.importorskip("transformers", reason="needs the extra torch")

from rerankd.backends.torch import TorchScorer  # noqa: E402 - only where torch is there

IDS = [[3, 1, 4, 1, 5], [9, 2], [6, 5, 3, 5, 8, 9, 7, 9], [2]]
TYPES = [[0, 0, 1, 1, 1], [0, 1], [0, 0, 0, 1, 1, 1, 1, 1], [0]]


def write_checkpoint(folder: Path, **changed: Any) -> Path:
    """A tiny BERT with random weights, always the same."""
    torch.manual_seed(7)
    config = transformers.BertConfig(
        **{
            "vocab_size": 40,
            "hidden_size": 16,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "intermediate_size": 32,
            "max_position_embeddings": 64,
            "num_labels": 1,
            **changed,
        }
    )
    transformers.BertForSequenceClassification(config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_checkpoint(tmp_path_factory.mktemp("checkpoint"))


@pytest.fixture(scope="module")
def scorer(folder: Path) -> TorchScorer:
    return TorchScorer.load(folder, model="tiny", max_tokens=64)


def pairs() -> list[Pair]:
    return [
        Pair(Text("q"), Text("t"), len(ids), ids=ids, type_ids=types)
        for ids, types in zip(IDS, TYPES, strict=True)
    ]


def test_the_scores_are_those_of_the_checkpoint(folder: Path, scorer: TorchScorer) -> None:
    network = transformers.BertForSequenceClassification.from_pretrained(folder).eval()
    with torch.inference_mode():
        expected = [
            float(network(torch.tensor([ids]), token_type_ids=torch.tensor([types])).logits)
            for ids, types in zip(IDS, TYPES, strict=True)
        ]
    assert scorer.score(pairs(), StopSignal()) == pytest.approx(expected, abs=1e-5)


def test_a_pair_scores_the_same_alone_and_in_company(scorer: TorchScorer) -> None:
    together = scorer.score(pairs(), StopSignal())
    alone = [scorer.score([pair], StopSignal())[0] for pair in pairs()]
    assert together == pytest.approx(alone, abs=1e-5)
    assert scorer.traits.batch_invariant
    assert scorer.traits.max_batch_tokens > 0


def test_nothing_is_computed_once_nobody_waits(scorer: TorchScorer) -> None:
    stop = StopSignal()
    stop.fire()
    assert scorer.score(pairs(), stop) == []


def test_no_pairs_give_no_scores(scorer: TorchScorer) -> None:
    assert scorer.score([], StopSignal()) == []


def test_a_closed_scorer_says_so(folder: Path) -> None:
    closed = TorchScorer.load(folder, model="tiny", max_tokens=64)
    closed.close()
    with pytest.raises(BackendError, match="closed"):
        closed.score(pairs(), StopSignal())


def test_a_pair_without_ids_is_an_error(scorer: TorchScorer) -> None:
    with pytest.raises(BackendError, match="without token ids"):
        scorer.score([Pair(Text("q"), Text("t"), 2)], StopSignal())


def test_a_model_of_another_family_without_token_types_is_served(tmp_path: Path) -> None:
    torch.manual_seed(3)
    config = transformers.RobertaConfig(
        vocab_size=40,
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=70,
        num_labels=1,
        type_vocab_size=1,
        pad_token_id=1,
    )
    transformers.RobertaForSequenceClassification(config).save_pretrained(tmp_path)
    scorer = TorchScorer.load(tmp_path, model="tiny", pad_id=1, max_tokens=64)
    together = scorer.score(pairs(), StopSignal())
    assert together == pytest.approx([scorer.score([pair], StopSignal())[0] for pair in pairs()], abs=1e-5)


# --- what is refused -------------------------------------------------------------------------------------------


def refused(folder: Path, **how: Any) -> str:
    with pytest.raises(BackendError) as caught:
        TorchScorer.load(folder, model="tiny", max_tokens=64, **how)
    return str(caught.value)


def test_several_labels_are_no_reranker(tmp_path: Path) -> None:
    assert "3 labels" in refused(write_checkpoint(tmp_path, num_labels=3))


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_a_missing_file_is_named(tmp_path: Path, name: str) -> None:
    (write_checkpoint(tmp_path) / name).unlink()
    assert f"{name}: is missing" in refused(tmp_path)


@pytest.mark.parametrize("keep", [0, 5, 100, -1])
def test_a_half_downloaded_file_is_named_before_it_is_loaded(tmp_path: Path, keep: int) -> None:
    path = write_checkpoint(tmp_path) / "model.safetensors"
    path.write_bytes(path.read_bytes()[:keep])
    assert "model.safetensors: is cut short" in refused(tmp_path)


def test_pickles_are_never_loaded(tmp_path: Path) -> None:
    path = write_checkpoint(tmp_path)
    (path / "model.safetensors").rename(path / "pytorch_model.bin")
    assert "model.safetensors: is missing" in refused(path)


def test_a_checkpoint_that_brings_its_own_code_is_refused(tmp_path: Path) -> None:
    path = write_checkpoint(tmp_path) / "config.json"
    shape = json.loads(path.read_text())
    shape |= {"model_type": "of-its-own", "auto_map": {"AutoConfig": "code.Config"}}
    path.write_text(json.dumps(shape))
    (tmp_path / "code.py").write_text("raise SystemExit('ran')")
    assert "config.json: cannot be used" in refused(tmp_path)


def test_a_checkpoint_of_another_task_is_refused(tmp_path: Path) -> None:
    config = transformers.CLIPConfig(
        text_config={
            "hidden_size": 8,
            "num_hidden_layers": 1,
            "num_attention_heads": 1,
            "intermediate_size": 8,
        },
        vision_config={
            "hidden_size": 8,
            "num_hidden_layers": 1,
            "num_attention_heads": 1,
            "intermediate_size": 8,
        },
        num_labels=1,
    )
    write_checkpoint(tmp_path)
    config.save_pretrained(tmp_path)
    assert "cannot be" in refused(tmp_path)


def test_a_device_that_is_not_there_is_an_error_and_no_hang(folder: Path) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a CUDA device here")
    assert "cannot be loaded on cuda:0" in refused(folder, device=Device("cuda", 0))


def test_out_of_memory_is_told_from_other_failures(
    scorer: TorchScorer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for words, kind in (
        ("CUDA out of memory. Tried to allocate", OutOfMemory),
        ("something else", BackendError),
    ):

        def fail(*_: Any, words: str = words, **__: Any) -> Any:
            raise RuntimeError(words)

        monkeypatch.setattr(scorer, "_network", fail)
        with pytest.raises(BackendError) as caught:
            scorer.score(pairs(), StopSignal())
        assert type(caught.value) is kind


@pytest.mark.cuda
def test_half_precision_scores_within_two_hundredths(folder: Path, scorer: TorchScorer) -> None:
    if not torch.cuda.is_available():
        pytest.skip("there is no CUDA device here")
    half = TorchScorer.load(folder, model="tiny", device=Device("cuda", 0), max_tokens=64)
    assert half.traits.device == "cuda:0"
    assert half.score(pairs(), StopSignal()) == pytest.approx(scorer.score(pairs(), StopSignal()), abs=2e-2)
