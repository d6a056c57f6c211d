"""The machine: Python, cores, memory, disk, and how its CPU multiplies 8-bit integers."""

import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from rerankd.doctor.check import Check, Profile

__all__ = ["Machine", "machine_checks", "memory_bytes", "read_machine"]

_GB = 1e9
PYTHON = (3, 11)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Wanted:
    cores: int
    memory: float
    disk: float
    """The size of the file system that holds models and data."""
    disk_free: float


_WANTED = {
    # one worker, the carried model (34 MB) with its arena, and the process around it
    Profile.CPU: _Wanted(cores=1, memory=2 * _GB, disk=0.0, disk_free=1 * _GB),
    # the target host; a machine sold as 32 GB or 100 GB shows somewhat less
    Profile.GPU: _Wanted(cores=8, memory=30 * _GB, disk=95 * _GB, disk_free=10 * _GB),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """What this process may use."""

    python: tuple[int, int, int]
    cores: int
    """Usable by worker threads: physical cores in the affinity mask, within the cgroup's quota."""
    memory: float | None
    """Bytes, within the cgroup's limit; None where it cannot be read."""
    disk: float
    disk_free: float
    int8: str
    """How the CPU multiplies 8-bit integers, in the back end's words."""


def machine_checks(profile: Profile, seen: Machine) -> list[Check]:
    wanted = _WANTED[profile]
    python = ".".join(map(str, seen.python))
    checks = [
        Check.of("Python", seen.python >= PYTHON, f"{python}, wanted 3.11", "install Python 3.11 or newer"),
        Check.of(
            "CPU cores",
            seen.cores >= wanted.cores,
            f"{seen.cores} usable, wanted {wanted.cores}",
            "raise the container's CPU quota, or take a host with more cores",
        ),
    ]
    if seen.memory is None:
        checks.append(Check.none("RAM", "cannot be read on this system"))
    else:
        checks.append(
            Check.of(
                "RAM",
                seen.memory >= wanted.memory,
                f"{seen.memory / _GB:.1f} GB, wanted {_sold(wanted.memory)}",
                "raise the container's memory limit, or take a host with more",
            )
        )
    checks.append(
        Check.of(
            "Disk",
            seen.disk >= wanted.disk and seen.disk_free >= wanted.disk_free,
            f"{seen.disk_free / _GB:.1f} of {seen.disk / _GB:.1f} GB free,"
            f" wanted {wanted.disk_free / _GB:.0f} GB" + (f" of {_sold(wanted.disk)}" if wanted.disk else ""),
            "free some space, or set HF_HOME and RERANKD_DATA_DIR to a larger disk",
        )
    )
    checks.append(Check.of("CPU int8 path", True, seen.int8, ""))
    return checks


def read_machine(folder: Path) -> Machine:
    """Look at this machine; `folder` is where models and data live, or will."""
    from rerankd.backends.cpu import int8_path, usable_cores

    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    disk = shutil.disk_usage(folder)
    return Machine(
        python=sys.version_info[:3],
        cores=usable_cores(),
        memory=memory_bytes(),
        disk=float(disk.total),
        disk_free=float(disk.free),
        int8=int8_path(),
    )


def memory_bytes(root: Path = Path("/")) -> float | None:
    """Bytes of memory that this process may use: the machine's, or the cgroup's limit where that is less."""
    total = _meminfo(root / "proc/meminfo")
    limits = [
        _number(root / "sys/fs/cgroup/memory.max"),
        _number(root / "sys/fs/cgroup/memory/memory.limit_in_bytes"),
    ]
    known = [value for value in (total, *limits) if value is not None]
    return min(known, default=None)


def _meminfo(path: Path) -> float | None:
    try:
        fields = dict(line.split(":", 1) for line in path.read_text().splitlines() if ":" in line)
        return float(fields["MemTotal"].split()[0]) * 1024
    except (OSError, KeyError, ValueError, IndexError):
        return None


def _number(path: Path) -> float | None:
    try:
        return float(path.read_text())
    except (OSError, ValueError):  # not there, or "max"
        return None


def _sold(size: float) -> str:
    """The round figure that hosts are sold by."""
    return {30 * _GB: "32 GB", 95 * _GB: "100 GB"}.get(size, f"{size / _GB:.0f} GB")
