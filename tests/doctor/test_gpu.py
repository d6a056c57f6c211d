"""The GPU is asked for where the profile needs one, and said to be missing only there."""

import pytest

from rerankd.doctor.check import Profile, Status
from rerankd.doctor.gpu import choose_gpu, cuda_check, gpu_checks, package_check
from rerankd.nvml import Gpu, NoGpu

L40 = Gpu(name="NVIDIA L40", memory_bytes=48.3e9, free_bytes=47e9, driver="550.54")
NONE = NoGpu("NVML Shared Library Not Found", "install the driver")


def statuses(profile: Profile, seen: Gpu | NoGpu) -> dict[str, Status]:
    return {check.name: check.status for check in gpu_checks(profile, seen, own_pids=[11])}


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
            Gpu(name="NVIDIA L40", memory_bytes=48.3e9, free_bytes=40e9, processes=(7, 9, 11)),
            "GPU to itself",
        ),
    ],
)
def test_a_card_that_is_too_small_or_shared_fails_that_line_only(gpu: Gpu, line: str) -> None:
    assert [name for name, status in statuses(Profile.GPU, gpu).items() if status is Status.FAIL] == [line]


def test_other_processes_are_named() -> None:
    gpu = Gpu(name="NVIDIA L40", memory_bytes=48.3e9, free_bytes=40e9, processes=(7, 9, 11))
    assert gpu_checks(Profile.GPU, gpu, own_pids=[11])[3].figure == "2 other processes (7, 9)"


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


@pytest.mark.parametrize(
    ("lacks", "gpu", "cpu"),
    [
        ({"PyTorch": "", "ONNX Runtime": ""}, Status.PASS, Status.PASS),
        ({"PyTorch": "is not installed", "ONNX Runtime": ""}, Status.PASS, Status.PASS),
        ({"PyTorch": "", "ONNX Runtime": "is the CPU's"}, Status.PASS, Status.PASS),
        ({"PyTorch": "no", "ONNX Runtime": "no"}, Status.FAIL, Status.NOT_APPLICABLE),
        ({"driver": "is missing"}, Status.FAIL, Status.NOT_APPLICABLE),
    ],
)
def test_one_of_the_libraries_has_to_use_cuda_where_it_is_needed(
    lacks: dict[str, str], gpu: Status, cpu: Status
) -> None:
    assert cuda_check(Profile.GPU, lacks).status is gpu
    assert cuda_check(Profile.CPU, lacks).status is cpu


def test_the_device_is_the_one_that_cuda_means_else_the_one_at_the_index() -> None:
    first, second = (Gpu(index=n, uuid=f"GPU-{n}", name="L40", memory_bytes=1, free_bytes=1) for n in (0, 1))
    assert choose_gpu((first, second), "GPU-1", 0) == second
    assert choose_gpu((first, second), "", 1) == second
    assert choose_gpu(NONE, "", 0) == NONE
    missing = choose_gpu((first,), "GPU-9", 3)
    assert isinstance(missing, NoGpu)
    assert missing.cause == "1 devices, none at index 3"


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
