"""The host is held to what its profile needs."""

from pathlib import Path
from typing import Any

import pytest

from rerankd.doctor.check import Profile, Status
from rerankd.doctor.machine import Machine, machine_checks, memory_bytes, read_machine

GB = 1e9
HOST = {
    "python": (3, 11, 7),
    "cores": 8,
    "memory": 33.4 * GB,
    "disk": 107.0 * GB,
    "disk_free": 50.0 * GB,
    "int8": "avx512_vnni",
}


def statuses(profile: Profile, **changes: Any) -> dict[str, Status]:
    return {check.name: check.status for check in machine_checks(profile, Machine(**{**HOST, **changes}))}


@pytest.mark.parametrize("profile", Profile)
def test_the_target_host_passes(profile: Profile) -> None:
    assert set(statuses(profile).values()) == {Status.PASS}


def test_a_machine_passes_that_shows_a_little_less_than_it_is_sold_as() -> None:
    seen = statuses(Profile.GPU, memory=31.2 * GB, disk=98.0 * GB)
    assert set(seen.values()) == {Status.PASS}


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"python": (3, 10, 14)}, "Python"),
        ({"cores": 7}, "CPU cores"),
        ({"memory": 16 * GB}, "RAM"),
        ({"disk": 80 * GB}, "Disk"),
        ({"disk_free": 5 * GB}, "Disk"),
    ],
)
def test_a_gpu_host_that_lacks_something_fails_that_line_only(changes: dict[str, Any], line: str) -> None:
    seen = statuses(Profile.GPU, **changes)
    assert [name for name, status in seen.items() if status is Status.FAIL] == [line]


def test_a_cpu_host_may_be_small() -> None:
    seen = statuses(Profile.CPU, cores=1, memory=2.1 * GB, disk=10 * GB, disk_free=2 * GB)
    assert set(seen.values()) == {Status.PASS}
    assert statuses(Profile.CPU, memory=0.9 * GB)["RAM"] is Status.FAIL
    assert statuses(Profile.CPU, disk_free=0.5 * GB)["Disk"] is Status.FAIL


def test_memory_that_cannot_be_read_is_not_judged() -> None:
    assert statuses(Profile.GPU, memory=None)["RAM"] is Status.NOT_APPLICABLE


def test_figures_name_what_was_seen_and_what_is_wanted() -> None:
    figures = {check.name: check.figure for check in machine_checks(Profile.GPU, Machine(**HOST))}
    assert figures == {
        "Python": "3.11.7, wanted 3.11",
        "CPU cores": "8 usable, wanted 8",
        "RAM": "33.4 GB, wanted 32 GB",
        "Disk": "50.0 of 107.0 GB free, wanted 10 GB of 100 GB",
        "CPU int8 path": "avx512_vnni",
    }


TOTAL = 16_384_000.0 * 1024


@pytest.mark.parametrize(("limit", "expected"), [("2147483648\n", 2.0**31), ("max\n", TOTAL), (None, TOTAL)])
def test_memory_is_the_machine_s_or_the_cgroup_s_limit_where_that_is_less(
    tmp_path: Path, limit: str | None, expected: float
) -> None:
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/meminfo").write_text("MemTotal:       16384000 kB\nMemFree: 1 kB\n")
    (tmp_path / "sys/fs/cgroup").mkdir(parents=True)
    if limit is not None:
        (tmp_path / "sys/fs/cgroup/memory.max").write_text(limit)
    assert memory_bytes(tmp_path) == expected


def test_memory_is_not_known_where_the_system_does_not_tell(tmp_path: Path) -> None:
    assert memory_bytes(tmp_path) is None


def test_this_machine_can_be_read_for_a_folder_that_is_not_there_yet(tmp_path: Path) -> None:
    seen = read_machine(tmp_path / "not" / "there")
    assert seen.cores >= 1
    assert seen.disk >= seen.disk_free > 0
    assert seen.int8
