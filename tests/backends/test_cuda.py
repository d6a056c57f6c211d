"""What only a CUDA device can show; elsewhere all of it is skipped. ONNX Runtime's part is in `test_onnx.py`."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from rerankd.backends.devices import CPU, Device, cuda_uuid
from rerankd.core.ports import Model
from rerankd.core.types import Pair, Text
from rerankd.engine.stop import StopSignal
from rerankd.gpu_gauges import GpuGauges
from rerankd.loading import load_model
from rerankd.models.policy import ModelPolicy
from rerankd.nvml import NoGpu, Nvml
from tests.backends.test_torch import folder, long_pairs
from tests.embedded_model import embedded

torch = pytest.importorskip("torch", reason="needs the extra torch")

from rerankd.backends import torch as module  # noqa: E402 - only where torch is there
from rerankd.backends.torch import TorchScorer  # noqa: E402

__all__ = ["embedded", "folder"]

pytestmark = pytest.mark.cuda
CUDA = Device("cuda", 0)


@pytest.fixture(autouse=True)
def _a_device() -> None:
    if not torch.cuda.is_available():
        pytest.skip("there is no CUDA device here")


def scores_of(model: Model) -> list[float]:
    """Pairs of many lengths, in one call."""
    texts = [Text("Refunds arrive in five days. " * times) for times in (1, 2, 4, 9, 20, 90)]
    encoded = model.tokenizer.encode(Text("when do refunds arrive"), texts, max_tokens=model.max_tokens)
    try:
        return list(model.scorer.score([only for (only,) in encoded], StopSignal()))
    finally:
        model.scorer.close()


@pytest.mark.model
def test_the_default_model_is_loaded_on_cuda_and_scores_as_its_fp32_weights_do(
    embedded: Path, tmp_path: Path
) -> None:
    from rerankd.models.half import write_checkpoint

    model = load_model(ModelPolicy(device="cuda:0"), tmp_path)
    assert model.scorer.traits.device == "cuda:0"
    assert model.scorer.traits.batch_invariant
    write_checkpoint(embedded / "model.onnx", tmp_path, half=False)
    full = TorchScorer.load(tmp_path, model="fp32", device=CPU)
    reference = Model(scorer=full, tokenizer=model.tokenizer, max_tokens=model.max_tokens)
    assert scores_of(model) == pytest.approx(scores_of(reference), abs=2e-2)


def test_two_batches_are_in_flight_with_pinned_copies_and_scores_are_those_of_one_at_a_time(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scorer = TorchScorer.load(folder, model="tiny", device=CUDA, max_tokens=64, max_batch_tokens=128)
    assert scorer.traits.concurrency == module.IN_FLIGHT
    asked = long_pairs([64, 64, 60, 60, 33, 33, 20, 20, 7, 7, 3, 3])
    alone = [scorer.score([each], StopSignal())[0] for each in asked]
    pinned: list[bool] = []
    most = [0]
    zeros, launch = torch.zeros, scorer._launch

    def made(*arguments: Any, **how: Any) -> Any:
        host = zeros(*arguments, **how)
        if how.get("pin_memory"):
            pinned.append(host.is_pinned())
        return host

    def launched(*arguments: Any) -> Any:
        most[0] = max(most[0], module.IN_FLIGHT - scorer._lanes.qsize())  # its own lane is taken already
        return launch(*arguments)

    monkeypatch.setattr(torch, "zeros", made)
    monkeypatch.setattr(scorer, "_launch", launched)
    assert scorer.score(asked, StopSignal()) == pytest.approx(alone, abs=2e-2)
    assert most == [2]
    assert pinned
    assert all(pinned)
    with ThreadPoolExecutor(4) as pool:  # a buffer that is used again too early would mix up their inputs
        for scores in pool.map(lambda _: scorer.score(asked, StopSignal()), range(64)):
            assert scores == pytest.approx(alone, abs=2e-2)
    assert scorer._lanes.qsize() == module.IN_FLIGHT


def test_the_token_budget_is_what_the_free_memory_allows(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[tuple[int, int]] = []
    real = torch.cuda.mem_get_info

    def info(*arguments: Any) -> tuple[int, int]:
        told.append(real(*arguments))
        return told[-1]

    monkeypatch.setattr(torch.cuda, "mem_get_info", info)
    scorer = TorchScorer.load(folder, model="tiny", device=CUDA, max_tokens=64)
    ((free, total),) = told
    assert 0 < free <= total
    assert scorer.traits.max_batch_tokens == module._fitting(free)
    assert module.FEWEST_TOKENS <= scorer.traits.max_batch_tokens <= module.MOST_TOKENS
    fill = [Pair(Text("q"), Text("t"), 64, ids=[1] * 64)] * (scorer.traits.max_batch_tokens // 64)
    assert len(scorer.score(fill, StopSignal())) == len(fill)
    assert scorer._budget.tokens == scorer.traits.max_batch_tokens, "no batch ran out of memory"


def test_nvml_s_gauges_have_numbers_of_the_device_that_cuda_names() -> None:
    pytest.importorskip("pynvml", reason="needs the extra gpu")
    nvml = Nvml()
    try:
        seen = nvml.read()
        assert not isinstance(seen, NoGpu), seen
        gpu = next(each for each in seen if not cuda_uuid(CUDA) or each.uuid == cuda_uuid(CUDA))
        registry = CollectorRegistry()
        registry.register(GpuGauges(nvml.read))
        labels = {"gpu": str(gpu.index), "name": gpu.name}
        total = registry.get_sample_value("rerank_gpu_memory_total_bytes", labels)
        used = registry.get_sample_value("rerank_gpu_memory_used_bytes", labels)
        assert total is not None
        assert used is not None
        assert 0 < used <= total == gpu.memory_bytes
        busy = registry.get_sample_value("rerank_gpu_utilization_ratio", labels)
        assert busy is None or 0 <= busy <= 1
        power = registry.get_sample_value("rerank_gpu_power_watts", labels)
        assert power is None or power > 0
        warmth = registry.get_sample_value("rerank_gpu_temperature_celsius", labels)
        assert warmth is None or 0 < warmth < 120
    finally:
        nvml.close()
