"""What NVML says of each device, what it does not, and the gauges made of that."""

import os
import sys
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from rerankd.gpu_gauges import GpuGauges
from rerankd.metrics import PrometheusObserver
from rerankd.nvml import Gpu, NoGpu, Nvml

L40 = Gpu(
    index=0,
    uuid="GPU-1",
    name="NVIDIA L40",
    memory_bytes=48e9,
    free_bytes=40e9,
    utilisation=0.37,
    power_watts=123.5,
    temperature_celsius=61.0,
    processes=(7, 9),
    driver="550.54",
)


class FakeNvml(ModuleType):
    """NVML with one device, as far as it is asked."""

    NVML_TEMPERATURE_GPU = 0

    class NVMLError(Exception):
        pass

    class NVMLError_NotSupported(NVMLError):
        pass

    def __init__(self, **replaced: Any) -> None:
        super().__init__("pynvml")
        self.opened = self.shut = 0
        self.replaced = replaced

    def nvmlInit(self) -> None:
        self._maybe("nvmlInit")
        self.opened += 1

    def nvmlShutdown(self) -> None:
        self.shut += 1

    def _maybe(self, name: str) -> None:
        if name in self.replaced:
            raise self.replaced[name]

    def __getattr__(self, name: str) -> Any:
        answers: dict[str, Any] = {
            "nvmlDeviceGetCount": 1,
            "nvmlDeviceGetHandleByIndex": "handle",
            "nvmlDeviceGetMemoryInfo": SimpleNamespace(total=48e9, free=40e9),
            "nvmlDeviceGetComputeRunningProcesses": [SimpleNamespace(pid=9), SimpleNamespace(pid=7)],
            "nvmlDeviceGetUtilizationRates": SimpleNamespace(gpu=37),
            "nvmlDeviceGetPowerUsage": 123_500,
            "nvmlDeviceGetTemperature": 61,
            "nvmlDeviceGetName": b"NVIDIA L40",
            "nvmlDeviceGetUUID": "GPU-1",
            "nvmlSystemGetDriverVersion": "550.54",
        }
        if name not in answers:
            raise AttributeError(name)

        def answer(*_: Any) -> Any:
            self._maybe(name)
            return answers[name]

        return answer


@pytest.fixture
def nvml(monkeypatch: pytest.MonkeyPatch) -> FakeNvml:
    fake = FakeNvml()
    monkeypatch.setitem(sys.modules, "pynvml", fake)
    return fake


def test_it_is_opened_once_and_read_again_and_again(nvml: FakeNvml) -> None:
    reader = Nvml()
    assert reader.read() == (L40,)
    assert reader.read() == (L40,)
    assert nvml.opened == 1
    reader.close()
    reader.close()
    assert nvml.shut == 1
    assert reader.read() == (L40,)
    assert nvml.opened == 2


def test_what_a_device_does_not_tell_is_left_out(nvml: FakeNvml) -> None:
    for name in ("nvmlDeviceGetPowerUsage", "nvmlDeviceGetUtilizationRates", "nvmlDeviceGetTemperature"):
        nvml.replaced[name] = FakeNvml.NVMLError_NotSupported("Not Supported")
    (seen,) = Nvml().read()  # type: ignore[misc]
    assert (seen.power_watts, seen.utilisation, seen.temperature_celsius) == (None, None, None)
    assert seen.memory_bytes == 48e9


def test_a_library_that_does_not_open_or_a_device_that_fails_is_told_and_opened_again_later(
    nvml: FakeNvml,
) -> None:
    reader = Nvml()
    nvml.replaced["nvmlInit"] = FakeNvml.NVMLError("Driver Not Loaded")
    seen = reader.read()
    assert isinstance(seen, NoGpu)
    assert seen.cause == "Driver Not Loaded"
    nvml.replaced.clear()
    assert reader.read() == (L40,)
    nvml.replaced["nvmlDeviceGetMemoryInfo"] = FakeNvml.NVMLError("GPU is lost")
    assert isinstance(reader.read(), NoGpu)
    nvml.replaced.clear()
    assert reader.read() == (L40,)
    assert nvml.opened == 2


def test_a_forked_child_opens_it_for_itself(nvml: FakeNvml, monkeypatch: pytest.MonkeyPatch) -> None:
    reader = Nvml()
    reader.read()
    monkeypatch.setattr(os, "getpid", lambda: 1)
    reader.read()
    assert nvml.opened == 2


def test_the_package_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)
    seen = Nvml().read()
    assert isinstance(seen, NoGpu)
    assert "rerankd[gpu]" in seen.remedy


def test_this_machine_is_read_without_an_error() -> None:
    """With or without a GPU."""
    seen = Nvml().read()
    assert isinstance(seen, NoGpu) or seen[0].memory_bytes > 0


# --- gauges -----------------------------------------------------------------------------------------------------


def series(gauges: GpuGauges) -> dict[str, float]:
    registry = CollectorRegistry()
    registry.register(gauges)
    lines = [line for line in generate_latest(registry).decode().splitlines() if not line.startswith("#")]
    return {line.split("{")[0]: float(line.rsplit(" ", 1)[1]) for line in lines}


def test_each_figure_is_a_gauge_of_each_device() -> None:
    assert series(GpuGauges(lambda: (L40,))) == {
        "rerank_gpu_utilization_ratio": 0.37,
        "rerank_gpu_memory_used_bytes": 8e9,
        "rerank_gpu_memory_total_bytes": 48e9,
        "rerank_gpu_power_watts": 123.5,
        "rerank_gpu_temperature_celsius": 61.0,
    }


def test_a_figure_that_is_not_told_has_no_series() -> None:
    shared = Gpu(name="GRID", memory_bytes=8e9, free_bytes=8e9)
    assert set(series(GpuGauges(lambda: (shared,)))) == {
        "rerank_gpu_memory_used_bytes",
        "rerank_gpu_memory_total_bytes",
    }


def test_without_a_gpu_there_are_no_series() -> None:
    assert series(GpuGauges(lambda: NoGpu("none", "buy one"))) == {}


def test_the_observer_s_text_has_them_where_there_is_a_gpu(nvml: FakeNvml) -> None:
    text = PrometheusObserver().render().decode()
    assert 'rerank_gpu_power_watts{gpu="0",name="NVIDIA L40"} 123.5' in text
