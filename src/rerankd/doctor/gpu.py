"""The GPU, through NVML and through the back end.

The target is one NVIDIA L40 or A100 with at least 48 GB that nobody else computes on.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from rerankd.doctor.check import Check, Profile

__all__ = ["Gpu", "NoGpu", "cuda_check", "gpu_checks", "package_check", "read_gpu"]

_GB = 1e9
MEMORY_BYTES = 47 * _GB
"""A card sold as 48 GB reports a little more or less than that, by what its firmware keeps."""
FREE_BYTES = 4 * _GB
"""Weights in half precision, the largest batch and the CUDA context fit into this several times."""
_TESTED = ("L40", "A100")


@dataclass(frozen=True, slots=True, kw_only=True)
class Gpu:
    """What NVML says about one device."""

    name: str
    memory_bytes: float
    free_bytes: float
    other_processes: tuple[int, ...] = ()
    """Process ids that compute on it, this one's left out."""
    driver: str = ""


@dataclass(frozen=True, slots=True)
class NoGpu:
    """Why NVML shows none."""

    cause: str
    remedy: str


def read_gpu(index: int = 0, own_pid: int = -1) -> Gpu | NoGpu:
    """Ask NVML about the device at `index`."""
    try:
        import pynvml  # type: ignore[import-untyped]
    except ImportError:
        return NoGpu("nvidia-ml-py is not installed", "pip install 'rerankd[gpu]'")
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as error:
        return NoGpu(str(error), "install the NVIDIA driver and give the container the device")
    try:
        count = pynvml.nvmlDeviceGetCount()
        if index >= count:
            return NoGpu(f"{count} devices, none at index {index}", "set DEVICE to one that exists")
        handle = pynvml.nvmlDeviceGetHandleByIndex(index)
        memory = pynvml.nvmlDeviceGetMemoryInfo(handle)
        processes = pynvml.nvmlDeviceGetComputeRunningProcesses(handle)
        return Gpu(
            name=_text(pynvml.nvmlDeviceGetName(handle)),
            memory_bytes=float(memory.total),
            free_bytes=float(memory.free),
            other_processes=tuple(sorted(p.pid for p in processes if p.pid != own_pid)),
            driver=_text(pynvml.nvmlSystemGetDriverVersion()),
        )
    except pynvml.NVMLError as error:
        return NoGpu(str(error), "look at nvidia-smi: the driver answers, the device does not")
    finally:
        pynvml.nvmlShutdown()


def gpu_checks(profile: Profile, seen: Gpu | NoGpu) -> list[Check]:
    """Name, memory, free memory and who else is on it."""
    names = ("GPU", "GPU memory", "GPU memory free", "GPU to itself")
    if isinstance(seen, NoGpu):
        if profile is Profile.CPU:
            return [Check.none(name, f"no GPU needed ({seen.cause})") for name in names[:1]]
        return [Check.of(names[0], False, f"none: {seen.cause}", seen.remedy)]
    driver = f", driver {seen.driver}" if seen.driver else ""
    tested = "" if any(name in seen.name for name in _TESTED) else f" (targets: {', '.join(_TESTED)})"
    others = ", ".join(map(str, seen.other_processes))
    found = Check.of(names[0], True, f"{seen.name}{driver}{tested}", "")
    if profile is Profile.CPU:
        return [found]
    return [
        found,
        Check.of(
            names[1],
            seen.memory_bytes >= MEMORY_BYTES,
            f"{seen.memory_bytes / _GB:.1f} GB, wanted 48 GB",
            "use a card with 48 GB or more (L40, A100 80 GB)",
        ),
        Check.of(
            names[2],
            seen.free_bytes >= FREE_BYTES,
            f"{seen.free_bytes / _GB:.1f} GB, wanted {FREE_BYTES / _GB:.0f} GB",
            "stop what holds the memory, or lower RERANK_BATCH_SIZE",
        ),
        Check.of(
            names[3],
            not seen.other_processes,
            f"{len(seen.other_processes)} other processes" + (f" ({others})" if others else ""),
            "stop or move the other processes: they make latency unpredictable",
        ),
    ]


def cuda_check(profile: Profile, lacks: str) -> Check:
    """Whether the back end can use CUDA; `lacks` says what stands between them, nothing if nothing does."""
    name = "CUDA in ONNX Runtime"
    if not lacks:
        return Check.of(name, True, "usable", "")
    if profile is Profile.CPU:
        return Check.none(name, f"not needed ({lacks})")
    remedy = "pip uninstall onnxruntime && pip install onnxruntime-gpu, and the NVIDIA driver on the host"
    return Check.of(name, False, lacks, remedy)


def package_check(installed: Iterable[str]) -> Check:
    """onnxruntime and onnxruntime-gpu overwrite each other's files: one of them only."""
    found = sorted({"onnxruntime", "onnxruntime-gpu"} & set(installed))
    return Check.of(
        "ONNX Runtime package",
        len(found) == 1,
        " and ".join(found) or "none",
        "pip uninstall onnxruntime onnxruntime-gpu, then install the one that you need"
        if found
        else "pip install onnxruntime",
    )


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value
