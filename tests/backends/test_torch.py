"""A checkpoint scores a pair the same alone and in company, and what is no reranker is refused by name."""

import contextlib
import json
import queue
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from rerankd.backends.devices import Device
from rerankd.core.types import Pair, Text
from rerankd.engine.stop import StopSignal
from rerankd.errors import BackendError, DeviceLost, OutOfMemory

torch = pytest.importorskip("torch", reason="needs the extra torch")
transformers = pytest.importorskip("transformers", reason="needs the extra torch")

from rerankd.backends import torch as module  # noqa: E402 - only where torch is there
from rerankd.backends.torch import TorchScorer  # noqa: E402
from rerankd.backends.torch_checkpoint import _by_capability, precisions  # noqa: E402

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


def test_weights_that_are_not_in_the_file_are_not_made_up(tmp_path: Path) -> None:
    """A checkpoint of the same family that was trained for something else."""
    write_checkpoint(tmp_path)
    config = transformers.BertConfig.from_pretrained(tmp_path)
    transformers.BertForMaskedLM(config).save_pretrained(tmp_path)
    assert "4 weights are missing, as bert.pooler" in refused(tmp_path)


def test_weights_of_another_shape_are_refused(tmp_path: Path) -> None:
    path = write_checkpoint(tmp_path) / "config.json"
    shape = json.loads(path.read_text()) | {"vocab_size": 41}
    path.write_text(json.dumps(shape))
    assert "model.safetensors: " in refused(tmp_path)


# --- batches and memory ------------------------------------------------------------------------------------------


class Watched(torch.nn.Module):
    """A network that keeps the shapes it was run with, and fails where it is told to."""

    def __init__(self, inner: Any, fail: Callable[[tuple[int, int]], Exception | None]) -> None:
        super().__init__()
        self.inner = inner
        self.fail = fail
        self.shapes: list[tuple[int, int]] = []
        self.masked: list[bool] = []

    def forward(self, **feed: Any) -> Any:
        shape = tuple(feed["input_ids"].shape)
        self.shapes.append(shape)
        self.masked.append("attention_mask" in feed)
        problem = self.fail(shape)
        if problem is not None:
            raise problem
        return self.inner(**feed)


@pytest.fixture
def watched(folder: Path) -> Callable[..., tuple[TorchScorer, Watched]]:
    def make(
        fail: Callable[[tuple[int, int]], Exception | None] = lambda shape: None, tokens: int = 2_048
    ) -> tuple[TorchScorer, Watched]:
        network = Watched(transformers.BertForSequenceClassification.from_pretrained(folder).eval(), fail)
        return TorchScorer(network, model="tiny", max_batch_tokens=tokens), network

    return make


def long_pairs(lengths: list[int]) -> list[Pair]:
    return [Pair(Text("q"), Text("t"), n, ids=[at % 40 for at in range(n)]) for n in lengths]


def test_pairs_of_similar_length_share_a_batch_and_scores_come_back_in_order(
    watched: Callable[..., tuple[TorchScorer, Watched]],
) -> None:
    scorer, network = watched()
    asked = long_pairs([60, 3, 59, 2, 60, 3])
    scores = scorer.score(asked, StopSignal())
    assert network.shapes == [(3, 3), (3, 60)]
    assert scores == pytest.approx([scorer.score([each], StopSignal())[0] for each in asked], abs=1e-5)


def test_no_batch_holds_more_padded_tokens_than_the_budget_but_a_pair_that_alone_does(
    watched: Callable[..., tuple[TorchScorer, Watched]],
) -> None:
    scorer, network = watched(tokens=40)
    assert len(scorer.score(long_pairs([20, 20, 20, 64]), StopSignal())) == 4
    assert sorted(network.shapes) == [(1, 20), (1, 64), (2, 20)]


def test_only_a_padded_batch_has_a_mask(watched: Callable[..., tuple[TorchScorer, Watched]]) -> None:
    scorer, network = watched()
    scorer.score(long_pairs([5, 5]), StopSignal())
    scorer.score(long_pairs([5, 6]), StopSignal())
    assert network.masked == [False, True]


def test_no_further_batch_is_begun_once_nobody_waits(
    watched: Callable[..., tuple[TorchScorer, Watched]],
) -> None:
    stop = StopSignal()

    def fire(shape: tuple[int, int]) -> None:
        stop.fire()

    scorer, network = watched(fail=fire, tokens=1)
    assert scorer.score(long_pairs([5, 6, 7]), stop) == []
    assert len(network.shapes) == 1


def test_at_most_two_batches_are_in_flight_whoever_s_they_are(
    watched: Callable[..., tuple[TorchScorer, Watched]], monkeypatch: pytest.MonkeyPatch
) -> None:
    scorer, _ = watched(tokens=1)
    lock, flying, most = threading.Lock(), 0, 0
    launch, land = scorer._launch, scorer._land

    def launched(*arguments: Any) -> Any:
        nonlocal flying, most
        with lock:
            flying += 1
            most = max(most, flying)
        return launch(*arguments)

    def landed(*arguments: Any) -> None:
        nonlocal flying
        with lock:
            flying -= 1
        land(*arguments)

    monkeypatch.setattr(scorer, "_launch", launched)
    monkeypatch.setattr(scorer, "_land", landed)
    asked = long_pairs([4, 5, 6, 7, 8, 9])
    expected = scorer.score(asked, StopSignal())
    with ThreadPoolExecutor(3) as pool:
        for scores in pool.map(lambda _: scorer.score(asked, StopSignal()), range(12)):
            assert scores == expected
    assert most == 2
    assert flying == 0


def test_a_failed_run_leaves_room_for_the_next(watched: Callable[..., tuple[TorchScorer, Watched]]) -> None:
    broken = True
    scorer, _ = watched(fail=lambda shape: RuntimeError("no") if broken and shape[1] == 6 else None, tokens=1)
    for _ in range(5):
        with pytest.raises(BackendError, match="a run of 2 pair"):
            scorer.score(long_pairs([5, 6]), StopSignal())
    broken = False
    assert len(scorer.score(long_pairs([5, 6, 7]), StopSignal())) == 3


@pytest.mark.parametrize(
    ("words", "kind"),
    [
        ("CUDA out of memory. Tried to allocate", OutOfMemory),
        ("CUDA error: an illegal memory access was encountered", DeviceLost),
        ("something else", BackendError),
    ],
)
def test_the_kinds_of_failure_are_told_apart(
    watched: Callable[..., tuple[TorchScorer, Watched]], words: str, kind: type[BackendError]
) -> None:
    scorer, _ = watched(fail=lambda shape: RuntimeError(words))
    with pytest.raises(BackendError) as caught:
        scorer.score(pairs(), StopSignal())
    assert type(caught.value) is kind


def test_a_batch_that_does_not_fit_is_split_and_later_ones_are_smaller_until_all_went_well_for_long(
    watched: Callable[..., tuple[TorchScorer, Watched]],
) -> None:
    room = 100

    def fail(shape: tuple[int, int]) -> Exception | None:
        return RuntimeError("CUDA out of memory") if shape[0] * shape[1] > room else None

    scorer, network = watched(fail=fail)
    asked = long_pairs([20] * 16)
    assert scorer.score(asked, StopSignal()) == pytest.approx([scorer.score(asked[:1], StopSignal())[0]] * 16)
    assert network.shapes[:3] == [(16, 20), (8, 20), (4, 20)]
    network.shapes.clear()
    scorer.score(asked, StopSignal())
    assert set(network.shapes) == {(4, 20)}
    room = 10_000
    for _ in range(80):
        scorer.score(asked, StopSignal())
    assert network.shapes[-1] == (16, 20)


def test_a_pair_that_does_not_fit_alone_is_out_of_memory(
    watched: Callable[..., tuple[TorchScorer, Watched]],
) -> None:
    scorer, network = watched(fail=lambda shape: RuntimeError("CUDA out of memory"))
    with pytest.raises(OutOfMemory, match="a run of 2 pair"):
        scorer.score(long_pairs([20, 20]), StopSignal())
    assert network.shapes == [(2, 20), (1, 20)]


def test_a_device_with_little_memory_begins_with_a_smaller_budget(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = transformers.BertForSequenceClassification.from_pretrained(folder).eval()
    room = 200

    def fail(shape: tuple[int, int]) -> Exception | None:
        return RuntimeError("CUDA out of memory") if shape[0] * shape[1] > room else None

    monkeypatch.setattr(module, "network_of", lambda *_: Watched(whole, fail))
    scorer = TorchScorer.load(folder, model="tiny", max_tokens=64, max_batch_tokens=1_024)
    assert 64 <= scorer._budget.tokens <= room
    room = 50
    with pytest.raises(OutOfMemory):
        TorchScorer.load(folder, model="tiny", max_tokens=64, max_batch_tokens=1_024)


def test_before_the_first_caller_each_lane_has_run_with_and_without_a_mask_at_each_length(
    watched: Callable[..., tuple[TorchScorer, Watched]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on CUDA, with lanes that only have names."""
    scorer, network = watched(tokens=256)
    ran: list[tuple[str, int, bool]] = []

    def on(lane: Any) -> contextlib.AbstractContextManager[None]:
        if len(network.shapes) > len(ran):  # its batch is landed
            ran.append((lane, network.shapes[-1][1], network.masked[-1]))
        return contextlib.nullcontext()

    lanes: Any = queue.LifoQueue()
    for lane in ("first", "second"):
        lanes.put(lane)
    monkeypatch.setattr(scorer, "_lanes", lanes)
    monkeypatch.setattr(scorer, "_traits", replace(scorer.traits, concurrency=2))
    monkeypatch.setattr(module, "_on", on)
    assert scorer._warm_up(64, full=True)
    assert set(ran) == {
        (lane, length, masked)
        for lane in ("first", "second")
        for length in (8, 64)
        for masked in (False, True)
    }
    assert {(1, 8), (1, 64), (32, 8), (4, 64)} == set(network.shapes), "single pairs and the budget's fill"
    assert lanes.qsize() == 2


def test_on_the_cpu_single_pairs_warm_it_up(watched: Callable[..., tuple[TorchScorer, Watched]]) -> None:
    scorer, network = watched()
    assert scorer._warm_up(64, full=False)
    assert network.shapes == [(1, 8), (1, 64), (1, 64), (1, 64), (1, 64)]
    assert not any(network.masked)


def test_the_budget_follows_the_memory_that_is_free_within_bounds() -> None:
    assert module._fitting(0) == module.FEWEST_TOKENS
    assert module._fitting(4_000_000_000) == 10_172
    assert module._fitting(48_000_000_000) == module.MOST_TOKENS


# --- precision ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("capability", "stored", "expected"),
    [
        ((6, 1), torch.float16, (torch.float32,)),
        ((7, 5), torch.bfloat16, (torch.float16, torch.float32)),
        ((8, 9), torch.float16, (torch.float16, torch.bfloat16, torch.float32)),
        ((8, 0), None, (torch.float16, torch.bfloat16, torch.float32)),
        ((8, 0), torch.bfloat16, (torch.bfloat16, torch.float32)),
    ],
)
def test_the_precision_follows_what_the_device_is_capable_of_and_the_checkpoint_needs(
    capability: tuple[int, int], stored: Any, expected: tuple[Any, ...]
) -> None:
    assert _by_capability(capability, stored) == expected


def test_on_the_cpu_it_is_fp32() -> None:
    assert precisions(Device(), torch.float16) == (torch.float32,)


def test_scores_that_are_not_finite_in_one_precision_are_computed_in_the_next(tmp_path: Path) -> None:
    network = transformers.BertForSequenceClassification.from_pretrained(write_checkpoint(tmp_path))
    with torch.no_grad():
        network.classifier.bias += 100_000  # beyond fp16
    network.save_pretrained(tmp_path)
    half = (torch.float16,)
    scorer = TorchScorer.load(tmp_path, model="tiny", max_tokens=64, dtypes=(*half, torch.float32))
    assert next(scorer._network.parameters()).dtype is torch.float32  # type: ignore[union-attr]
    with pytest.raises(BackendError, match="gives no finite scores on cpu"):
        TorchScorer.load(tmp_path, model="tiny", max_tokens=64, dtypes=half)


@pytest.mark.model
def test_the_default_model_scores_as_its_fp32_graph_does(embedded: Path, tmp_path: Path) -> None:
    """Within 1e-4 in fp32 and within 2e-2 in fp16, with pairs of many lengths in one batch."""
    import onnx

    from rerankd.backends.onnx import OnnxScorer
    from rerankd.models.dequantise import graph_of
    from rerankd.models.half import write_checkpoint as write_dequantised
    from rerankd.models.pairs import PairTokenizer

    onnx.save(graph_of(embedded / "model.onnx"), str(tmp_path / "model.onnx"))
    write_dequantised(embedded / "model.onnx", tmp_path, half=False)
    tokenizer = PairTokenizer(embedded / "tokenizer.json", max_tokens=512)
    texts = [Text("Refunds arrive in five days. " * times) for times in (1, 2, 4, 9, 20, 90)]
    asked = [only for (only,) in tokenizer.encode(Text("when do refunds arrive"), texts, max_tokens=512)]
    expected = OnnxScorer.load(tmp_path / "model.onnx", model="fp32").score(asked, StopSignal())
    for dtype, tolerance in ((torch.float32, 1e-4), (torch.float16, 2e-2)):
        scorer = TorchScorer.load(tmp_path, model="m", dtypes=(dtype,), max_tokens=64)
        assert scorer.score(asked, StopSignal()) == pytest.approx(expected, abs=tolerance)


@pytest.mark.cuda
def test_half_precision_scores_within_two_hundredths(folder: Path, scorer: TorchScorer) -> None:
    if not torch.cuda.is_available():
        pytest.skip("there is no CUDA device here")
    half = TorchScorer.load(folder, model="tiny", device=Device("cuda", 0), max_tokens=64)
    assert half.traits.device == "cuda:0"
    assert half.score(pairs(), StopSignal()) == pytest.approx(scorer.score(pairs(), StopSignal()), abs=2e-2)


@pytest.mark.cuda
def test_a_run_that_does_not_fit_the_device_says_so_and_the_next_one_works(folder: Path) -> None:
    if not torch.cuda.is_available():
        pytest.skip("there is no CUDA device here")
    scorer = TorchScorer.load(folder, model="tiny", device=Device("cuda", 0), max_tokens=64)
    torch.cuda.set_per_process_memory_fraction(1e-4)
    try:
        with pytest.raises(OutOfMemory):  # not even a batch of one fits
            scorer.score(long_pairs([64] * 4_096), StopSignal())
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert len(scorer.score(pairs(), StopSignal())) == len(IDS)
