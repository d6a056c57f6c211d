"""The GPU is asked for where the profile needs one, and said to be missing only there."""

import sys
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from rerankd.doctor.check import Profile, Status
from rerankd.doctor.gpu import Gpu, NoGpu, cuda_check, gpu_checks, package_check, read_gpu

L40 = Gpu(name="NVIDIA L40", memory_bytes=48.3e9, free_bytes=47e9, driver="550.54")
NONE = NoGpu("NVML Shared Library Not Found", "install the driver")


def statuses(profile: Profile, seen: Gpu | NoGpu) -> dict[str, Status]:
    return {check.name: check.status for check in gpu_checks(profile, seen)}


def test_the_target_card_passes() -> None:
    seen = statuses(Profile.GPU, L40)
    assert list(seen) == ["GPU", "GPU memory", "GPU memory free", "GPU to itself"]
    assert set(seen.values()) == {Status.PASS}


@pytest.mark.parametrize(
    ("gpu", "line"),
    [
        (Gpu(name="NVIDIA A100-PCIE-40GB", memory_bytes=42.4e9, free_bytes=42e9), "GPU memory"),
        (Gpu(name="NVIDIA L40", memory_bytes=48.3e9, free_bytes=1e9), "GPU memory free"),
        (
            Gpu(name="NVIDIA L40", memory_bytes=48.3e9, free_bytes=40e9, other_processes=(7, 9)),
            "GPU to itself",
        ),
    ],
)
def test_a_card_that_is_too_small_or_shared_fails_that_line_only(gpu: Gpu, line: str) -> None:
    assert [name for name, status in statuses(Profile.GPU, gpu).items() if status is Status.FAIL] == [line]


def test_other_processes_are_named() -> None:
    gpu = Gpu(name="NVIDIA L40", memory_bytes=48.3e9, free_bytes=40e9, other_processes=(7, 9))
    assert gpu_checks(Profile.GPU, gpu)[3].figure == "2 other processes (7, 9)"


def test_a_card_that_was_not_tested_passes_and_is_said_to_be_another() -> None:
    gpu = Gpu(name="NVIDIA H100", memory_bytes=85e9, free_bytes=80e9)
    first = gpu_checks(Profile.GPU, gpu)[0]
    assert (first.status, first.figure) == (Status.PASS, "NVIDIA H100 (targets: L40, A100)")


def test_no_card_is_a_failure_for_the_gpu_profile_and_nothing_for_the_other() -> None:
    (failed,) = gpu_checks(Profile.GPU, NONE)
    assert (failed.status, failed.remedy) == (Status.FAIL, "install the driver")
    assert statuses(Profile.CPU, NONE) == {"GPU": Status.NOT_APPLICABLE}


def test_the_cpu_profile_does_not_judge_a_card_that_is_there() -> None:
    assert statuses(Profile.CPU, L40) == {"GPU": Status.PASS}


def test_cuda_has_to_be_usable_by_the_back_end_where_it_is_needed() -> None:
    assert cuda_check(Profile.GPU, "").status is Status.PASS
    assert cuda_check(Profile.GPU, "the driver is missing").status is Status.FAIL
    assert cuda_check(Profile.CPU, "the driver is missing").status is Status.NOT_APPLICABLE


@pytest.mark.parametrize(
    ("installed", "status"),
    [
        (["onnxruntime", "numpy"], Status.PASS),
        (["onnxruntime-gpu"], Status.PASS),
        (["onnxruntime", "onnxruntime-gpu"], Status.FAIL),
        ([], Status.FAIL),
    ],
)
def test_exactly_one_onnx_runtime_is_installed(installed: list[str], status: Status) -> None:
    assert package_check(installed).status is status


class FakeNvml(ModuleType):
    """NVML with one device, as far as it is asked."""

    class NVMLError(Exception):
        pass

    def __init__(self, **replaced: Any) -> None:
        super().__init__("pynvml")
        self.shut = False
        for name, function in replaced.items():
            setattr(self, name, function)

    def __getattr__(self, name: str) -> Any:
        answers: dict[str, Any] = {
            "nvmlInit": None,
            "nvmlDeviceGetCount": 1,
            "nvmlDeviceGetHandleByIndex": "handle",
            "nvmlDeviceGetMemoryInfo": SimpleNamespace(total=48e9, free=40e9),
            "nvmlDeviceGetComputeRunningProcesses": [SimpleNamespace(pid=9), SimpleNamespace(pid=7)],
            "nvmlDeviceGetName": b"NVIDIA L40",
            "nvmlSystemGetDriverVersion": "550.54",
        }
        if name == "nvmlShutdown":
            self.shut = True
            return lambda: None
        if name not in answers:
            raise AttributeError(name)
        return lambda *_: answers[name]


def fail(*_: Any) -> Any:
    raise FakeNvml.NVMLError("no")


class TestReading:
    """What NVML says, and what it cannot say."""

    def test_the_device_s_figures_without_this_process(self, monkeypatch: pytest.MonkeyPatch) -> None:
        nvml = FakeNvml()
        monkeypatch.setitem(sys.modules, "pynvml", nvml)
        assert read_gpu(own_pid=7) == Gpu(
            name="NVIDIA L40", memory_bytes=48e9, free_bytes=40e9, other_processes=(9,), driver="550.54"
        )
        assert nvml.shut

    def test_a_device_that_is_not_there(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "pynvml", FakeNvml())
        seen = read_gpu(index=3)
        assert isinstance(seen, NoGpu)
        assert seen.cause == "1 devices, none at index 3"

    @pytest.mark.parametrize("call", ["nvmlInit", "nvmlDeviceGetMemoryInfo"])
    def test_an_error_of_the_driver(self, monkeypatch: pytest.MonkeyPatch, call: str) -> None:
        monkeypatch.setitem(sys.modules, "pynvml", FakeNvml(**{call: fail}))
        assert isinstance(read_gpu(), NoGpu)

    def test_the_package_is_missing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "pynvml", None)
        seen = read_gpu()
        assert isinstance(seen, NoGpu)
        assert "rerankd[gpu]" in seen.remedy
