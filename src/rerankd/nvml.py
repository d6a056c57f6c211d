"""What NVIDIA's management library says of the GPUs: no CUDA context is needed, nor the process that computes.

NVML counts all devices that the driver shows to this container, whatever `CUDA_VISIBLE_DEVICES` hides from CUDA.
"""

import contextlib
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

__all__ = ["Gpu", "NoGpu", "Nvml"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Gpu:
    """One device. None: it does not tell."""

    index: int = 0
    """NVML's own; `uuid` names the device for good."""
    uuid: str = ""
    name: str
    memory_bytes: float
    free_bytes: float
    utilisation: float | None = None
    """Share of the last moments in which it computed something, from 0 to 1."""
    power_watts: float | None = None
    temperature_celsius: float | None = None
    processes: tuple[int, ...] = ()
    """Process ids that compute on it, as the container sees them."""
    driver: str = ""


@dataclass(frozen=True, slots=True)
class NoGpu:
    """Why NVML shows none."""

    cause: str
    remedy: str


class Nvml:
    """The library, opened at the first reading and kept open. Thread-safe; a forked child opens its own."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._opened_by = 0
        """The process that has it open; 0: none."""

    def read(self) -> tuple[Gpu, ...] | NoGpu:
        """All devices as they are now: some tenths of a millisecond each."""
        try:
            import pynvml  # type: ignore[import-untyped]
        except ImportError:
            return NoGpu("nvidia-ml-py is not installed", "pip install 'rerankd[gpu]'")
        with self._lock:
            try:
                if self._opened_by != os.getpid():
                    pynvml.nvmlInit()
                    self._opened_by = os.getpid()
            except pynvml.NVMLError as error:
                return NoGpu(str(error), "install the NVIDIA driver and give the container the device")
            try:
                driver = _text(pynvml.nvmlSystemGetDriverVersion())
                count = pynvml.nvmlDeviceGetCount()
                found = tuple(_device(pynvml, index, driver) for index in range(count))
            except pynvml.NVMLError as error:
                self._close(pynvml)  # a device that was reset wants the library opened again
                return NoGpu(str(error), "look at nvidia-smi: the driver answers, the device does not")
        return found or NoGpu("NVML shows no device", "give the container the device")

    def close(self) -> None:
        """Let go of the library; the next reading opens it again."""
        with self._lock:
            if self._opened_by == os.getpid():
                import pynvml

                self._close(pynvml)

    def _close(self, pynvml: Any) -> None:
        self._opened_by = 0
        with contextlib.suppress(pynvml.NVMLError):  # it is gone already
            pynvml.nvmlShutdown()


def _device(pynvml: Any, index: int, driver: str) -> Gpu:
    handle = pynvml.nvmlDeviceGetHandleByIndex(index)
    memory = pynvml.nvmlDeviceGetMemoryInfo(handle)

    def told(ask: Callable[..., Any], *arguments: Any) -> Any:
        """None for what this kind of device does not tell, as many a shared one does not."""
        try:
            return ask(handle, *arguments)
        except pynvml.NVMLError_NotSupported:
            return None

    rates = told(pynvml.nvmlDeviceGetUtilizationRates)
    milliwatts = told(pynvml.nvmlDeviceGetPowerUsage)
    celsius = told(pynvml.nvmlDeviceGetTemperature, pynvml.NVML_TEMPERATURE_GPU)
    processes = told(pynvml.nvmlDeviceGetComputeRunningProcesses) or ()
    return Gpu(
        index=index,
        uuid=_text(pynvml.nvmlDeviceGetUUID(handle)),
        name=_text(pynvml.nvmlDeviceGetName(handle)),
        memory_bytes=float(memory.total),
        free_bytes=float(memory.free),
        utilisation=None if rates is None else rates.gpu / 100,
        power_watts=None if milliwatts is None else milliwatts / 1000,
        temperature_celsius=None if celsius is None else float(celsius),
        processes=tuple(sorted(process.pid for process in processes)),
        driver=driver,
    )


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value
