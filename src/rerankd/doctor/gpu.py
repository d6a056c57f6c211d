"""The GPU, through NVML and through the back end.

The target is one NVIDIA L40 or A100 with at least 48 GB that nobody else computes on.
"""

from collections.abc import Iterable, Mapping

from rerankd.doctor.check import Check, Profile
from rerankd.nvml import Gpu, NoGpu

__all__ = ["choose_gpu", "cuda_check", "gpu_checks", "package_check"]

_GB = 1e9
MEMORY_BYTES = 47 * _GB
"""A card sold as 48 GB reports a little more or less than that, by what its firmware keeps."""
FREE_BYTES = 4 * _GB
"""Weights in half precision, the largest batch and the CUDA context fit into this several times."""
_TESTED = ("L40", "A100")


def choose_gpu(seen: tuple[Gpu, ...] | NoGpu, uuid: str, index: int) -> Gpu | NoGpu:
    """The device that CUDA calls by this uuid; where CUDA cannot tell, the one at this index."""
    if isinstance(seen, NoGpu):
        return seen
    for gpu in seen:
        if uuid and gpu.uuid == uuid:
            return gpu
    if index < len(seen):
        return seen[index]
    return NoGpu(f"{len(seen)} devices, none at index {index}", "set DEVICE to one that exists")


def gpu_checks(profile: Profile, seen: Gpu | NoGpu, own_pids: Iterable[int] = ()) -> list[Check]:
    """Name, memory, free memory and who else is on it."""
    names = ("GPU", "GPU memory", "GPU memory free", "GPU to itself")
    if isinstance(seen, NoGpu):
        if profile is Profile.CPU:
            return [Check.none(name, f"no GPU needed ({seen.cause})") for name in names[:1]]
        return [Check.of(names[0], False, f"none: {seen.cause}", seen.remedy)]
    driver = f", driver {seen.driver}" if seen.driver else ""
    tested = "" if any(name in seen.name for name in _TESTED) else f" (targets: {', '.join(_TESTED)})"
    strangers = [pid for pid in seen.processes if pid not in set(own_pids)]
    others = ", ".join(map(str, strangers))
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
            not strangers,
            f"{len(strangers)} other processes" + (f" ({others})" if others else ""),
            "stop or move the other processes: they make latency unpredictable",
        ),
    ]


def cuda_check(profile: Profile, lacks: Mapping[str, str]) -> Check:
    """Whether a back end can use CUDA, PyTorch or ONNX Runtime: one is enough.

    `lacks`: what stands between each of them and the device, nothing if nothing does.
    """
    name = "CUDA"
    able = [library for library, missing in lacks.items() if not missing]
    if able:
        return Check.of(name, True, f"usable by {' and '.join(able)}", "")
    told = "; ".join(f"{library}: {missing}" for library, missing in lacks.items())
    if profile is Profile.CPU:
        return Check.none(name, f"not needed ({told})")
    remedy = (
        "install the NVIDIA driver on the host, and pip install 'rerankd[torch]', or onnxruntime-gpu in the place"
        " of onnxruntime"
    )
    return Check.of(name, False, told, remedy)


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
