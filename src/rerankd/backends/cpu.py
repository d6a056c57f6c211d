"""What the CPU offers: cores that this process may really use, and the fastest int8 instructions."""

import os
import platform
from collections.abc import Iterable, Iterator
from pathlib import Path

__all__ = ["int8_path", "multiplies_bfloat16", "overflows_int8", "usable_cores"]

_FLAGS = {
    "amx_int8": "amx",
    "avx512_vnni": "avx512_vnni",
    "avx_vnni": "avx_vnni",
    "avx512bw": "avx512",
    "avx2": "avx2",
    "i8mm": "i8mm",
    "asimddp": "dotprod",
    "asimd": "neon",
}
"""The CPU's flags as Linux writes them, fastest first, and what the path is called."""


def usable_cores(root: Path = Path("/"), affinity: Iterable[int] | None = None) -> int:
    """How many single-threaded workers can run at full speed at once, at least 1.

    The physical cores among the CPUs that this process may run on (two threads of a core share its arithmetic
    units), and no more whole ones than the cgroup's quota pays for: a group that uses up its quota is stopped
    for the rest of a period of 100 ms, which no deadline survives. `root` is where proc and sys are mounted.
    """
    if affinity is None:
        affinity = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else range(os.cpu_count() or 1)
    cores = {_core(root, cpu) for cpu in affinity}
    quotas = list(_quotas(root))
    return max(1, int(min([len(cores), *quotas])))


def int8_path(root: Path = Path("/"), machine: str | None = None) -> str:
    """The CPU's fastest int8 instructions, or `none` where the system does not tell.

    x86: `amx`, `avx512_vnni`, `avx_vnni`; without dot products `avx512`, `avx2`. Arm: `i8mm`, `dotprod`,
    `neon`.
    """
    flags = _flags(root)
    for flag, name in _FLAGS.items():
        if flag in flags:
            return name
    machine = platform.machine() if machine is None else machine
    return "neon" if machine.lower() in ("arm64", "aarch64") else "none"


def multiplies_bfloat16(root: Path = Path("/")) -> bool:
    """Whether the CPU has instructions for products of bfloat16; without them it is slower than fp32."""
    return not {"amx_bf16", "avx512_bf16"}.isdisjoint(_flags(root))


def overflows_int8(path: str, machine: str | None = None) -> bool:
    """Whether products of unsigned activations and signed weights can overflow on this path.

    x86 without VNNI adds two of them into 16 bits, which saturate.
    https://onnxruntime.ai/docs/performance/model-optimizations/quantization.html
    """
    machine = platform.machine() if machine is None else machine
    return machine.lower() in ("x86_64", "amd64") and path not in ("amx", "avx512_vnni", "avx_vnni")


def _core(root: Path, cpu: int) -> tuple[str, str]:
    topology = root / f"sys/devices/system/cpu/cpu{cpu}/topology"
    core, package = _read(topology / "core_id"), _read(topology / "physical_package_id")
    return (package or "", core) if core else ("cpu", str(cpu))


def _quotas(root: Path) -> Iterator[float]:
    """The quota of this process's cgroup and of each above it, in CPUs."""
    for line in (_read(root / "proc/self/cgroup") or "").splitlines():
        _, controllers, group = line.split(":", 2)
        if controllers and "cpu" not in controllers.split(","):
            continue
        mounts = (
            ["sys/fs/cgroup"] if not controllers else [f"sys/fs/cgroup/{controllers}", "sys/fs/cgroup/cpu"]
        )
        for mount in mounts:
            top = root / mount
            here = top / group.strip("/")
            for folder in (here, *here.parents):
                yield from _quota(folder)
                if folder == top:
                    break


def _quota(folder: Path) -> Iterator[float]:
    words = (_read(folder / "cpu.max") or "").split()
    if not words:
        words = [_read(folder / f"cpu.cfs_{part}_us") or "" for part in ("quota", "period")]
    if len(words) == 2 and all(word.isdigit() for word in words) and int(words[1]) > 0:
        yield int(words[0]) / int(words[1])


def _flags(root: Path) -> set[str]:
    for line in (_read(root / "proc/cpuinfo") or "").splitlines():
        name, _, values = line.partition(":")
        if name.strip() in ("flags", "Features"):
            return set(values.split())
    return set()


def _read(path: Path) -> str | None:
    try:
        return path.read_text().strip()
    except OSError:
        return None
