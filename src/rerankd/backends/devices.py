"""Where a model may run: what was asked for, and what is there."""

import ctypes
import logging
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal
from uuid import UUID

from rerankd.errors import ConfigError

__all__ = [
    "CPU",
    "Device",
    "cuda_uuid",
    "devices",
    "what_cuda_lacks",
    "what_driver_lacks",
    "what_torch_lacks",
]

_log = logging.getLogger(__name__)

_NAME = re.compile(r"cpu|cuda(?::(\d{1,3}))?")


@dataclass(frozen=True, slots=True)
class Device:
    """`cpu`, or one CUDA device by its index."""

    kind: Literal["cpu", "cuda"] = "cpu"
    index: int = 0

    def __str__(self) -> str:
        return "cpu" if self.kind == "cpu" else f"cuda:{self.index}"


CPU = Device()


def devices(wanted: str, lacks: Callable[[Device], str] | None = None) -> tuple[Device, ...]:
    """The devices to try, in this order, for `cpu`, `cuda`, `cuda:N` or nothing said.

    The CPU is always the last: a missing GPU makes reranking slower, not impossible. Asked for by name, it is
    warned about, with what is missing. `lacks` says what a device lacks, nothing when it is usable.
    Raises `ConfigError` for any other name.
    """
    found = _NAME.fullmatch(wanted) if wanted else _NAME.fullmatch("cuda")
    if found is None:
        raise ConfigError(f"DEVICE: must be cpu, cuda, cuda:N or empty, got {wanted!r}")
    if wanted == "cpu":
        return (CPU,)
    device = Device("cuda", int(found[1] or 0))
    missing = (lacks or what_cuda_lacks)(device)
    if not missing:
        return (device, CPU)
    if wanted:
        _log.warning("%s was asked for, but %s: running on the CPU", wanted, missing)
    return (CPU,)


def what_driver_lacks(device: Device) -> str:
    """What stands between any library and a CUDA device, in words; nothing when the driver sees it."""
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return "the NVIDIA driver is missing (libcuda.so.1)"
    count = ctypes.c_int(0)
    if driver.cuInit(0) != 0 or driver.cuDeviceGetCount(ctypes.byref(count)) != 0:
        return "the NVIDIA driver sees no device"
    if device.index >= count.value:
        return f"the NVIDIA driver sees {count.value} device(s), so there is no {device}"
    return ""


def cuda_uuid(device: Device) -> str:
    """The device's name for good, as NVML gives it too; empty where the driver does not tell.

    CUDA counts the devices that `CUDA_VISIBLE_DEVICES` leaves it, in an order of its own; NVML counts all.
    """
    try:
        driver = ctypes.CDLL("libcuda.so.1")
        handle, uuid = ctypes.c_int(0), (ctypes.c_ubyte * 16)()
        if driver.cuInit(0) or driver.cuDeviceGet(ctypes.byref(handle), device.index):
            return ""
        if driver.cuDeviceGetUuid_v2(uuid, handle):
            return ""
    except (OSError, AttributeError):  # no driver, or one before 11.4
        return ""
    return f"GPU-{UUID(bytes=bytes(uuid))}"


def what_cuda_lacks(device: Device) -> str:
    """What stands between ONNX Runtime and a CUDA device, in words; nothing when it is usable."""
    import onnxruntime  # type: ignore[import-untyped]

    if "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
        return "onnxruntime-gpu is not installed (in the place of onnxruntime)"
    return what_driver_lacks(device)


def what_torch_lacks(device: Device) -> str:
    """What stands between PyTorch and a CUDA device, in words; nothing when it is usable."""
    try:
        import torch
    except ImportError:
        return "PyTorch is not installed"

    if not torch.cuda.is_available():
        built = torch.version.cuda
        return "this PyTorch was built without CUDA" if built is None else "PyTorch finds no CUDA device"
    if device.index >= torch.cuda.device_count():
        return f"PyTorch finds {torch.cuda.device_count()} device(s), so there is no {device}"
    return ""
