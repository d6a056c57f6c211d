"""Workers are as many as can really run at once, and the int8 path is what the CPU says."""

from pathlib import Path

import pytest

from rerankd.backends.cpu import int8_path, multiplies_bfloat16, overflows_int8, usable_cores


class System:
    """A proc and a sys as Linux mounts them."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def write(self, path: str, text: str) -> "System":
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
        return self

    def cpu(self, number: int, core: int, package: int = 0) -> "System":
        topology = f"sys/devices/system/cpu/cpu{number}/topology"
        self.write(f"{topology}/core_id", f"{core}\n")
        return self.write(f"{topology}/physical_package_id", f"{package}\n")


@pytest.fixture
def system(tmp_path) -> System:
    """Two sockets of two cores of two threads each."""
    system = System(tmp_path)
    for number in range(8):
        system.cpu(number, core=number % 2, package=number // 2 % 2)
    return system


def cores(system: System, affinity=range(8)) -> int:
    return usable_cores(system.root, affinity)


def test_two_threads_of_a_core_count_once_and_sockets_apart(system):
    assert cores(system) == 4
    assert cores(system, {0, 4}) == 1
    assert cores(system, {0, 1, 2, 3}) == 4


def test_where_the_topology_is_unknown_every_cpu_counts(tmp_path):
    assert usable_cores(tmp_path, {0, 1, 2}) == 3


def test_this_process_has_a_core():
    assert usable_cores() >= 1


@pytest.mark.parametrize(
    ("limit", "expected"),
    [("200000 100000", 2), ("max 100000", 4), ("150000 100000", 1), ("50000 100000", 1), ("nonsense", 4)],
)
def test_a_cgroup_pays_for_whole_cores_only_and_there_is_always_one(system, limit, expected):
    system.write("proc/self/cgroup", "0::/\n").write("sys/fs/cgroup/cpu.max", limit)
    assert cores(system) == expected


def test_the_tightest_quota_up_the_tree_counts(system):
    system.write("proc/self/cgroup", "0::/pods/pod/container\n")
    system.write("sys/fs/cgroup/pods/pod/container/cpu.max", "max 100000")
    system.write("sys/fs/cgroup/pods/cpu.max", "300000 100000")
    assert cores(system) == 3


def test_a_group_that_is_not_mounted_here_is_looked_for_at_the_top(system):
    system.write("proc/self/cgroup", "0::/elsewhere\n").write("sys/fs/cgroup/cpu.max", "200000 100000")
    assert cores(system) == 2


@pytest.mark.parametrize("mount", ["cpu,cpuacct", "cpu"])
def test_the_first_version_of_cgroups_is_read_too(system, mount):
    system.write("proc/self/cgroup", "3:memory:/a\n5:cpu,cpuacct:/a\n")
    system.write(f"sys/fs/cgroup/{mount}/a/cpu.cfs_quota_us", "200000\n")
    system.write(f"sys/fs/cgroup/{mount}/a/cpu.cfs_period_us", "100000\n")
    system.write(f"sys/fs/cgroup/{mount}/cpu.cfs_quota_us", "-1\n")
    system.write(f"sys/fs/cgroup/{mount}/cpu.cfs_period_us", "100000\n")
    assert cores(system) == 2


@pytest.mark.parametrize(
    ("flags", "path"),
    [
        ("flags\t\t: fpu sse2 avx2 avx512f avx512bw avx512_vnni amx_int8 amx_tile", "amx"),
        ("flags\t\t: fpu sse2 avx2 avx512bw avx512_vnni", "avx512_vnni"),
        ("flags\t\t: fpu avx2 avx_vnni", "avx_vnni"),
        ("flags\t\t: fpu avx2 avx512f avx512bw", "avx512"),
        ("flags\t\t: fpu avx2", "avx2"),
        ("flags\t\t: fpu sse2", "none"),
        ("Features\t: fp asimd asimddp i8mm", "i8mm"),
        ("Features\t: fp asimd asimddp", "dotprod"),
        ("Features\t: fp asimd", "neon"),
    ],
)
def test_the_int8_path_is_the_fastest_that_the_cpu_lists(tmp_path, flags, path):
    System(tmp_path).write("proc/cpuinfo", f"processor\t: 0\nmodel name\t: x\n{flags}\nbogomips\t: 1\n")
    assert int8_path(tmp_path, machine="x86_64") == path


def test_without_cpuinfo_only_the_architecture_is_known(tmp_path):
    assert int8_path(tmp_path, machine="arm64") == "neon"
    assert int8_path(tmp_path, machine="AMD64") == "none"


@pytest.mark.parametrize(
    ("flags", "native"),
    [("avx512bw avx512_bf16", True), ("amx_bf16 amx_int8", True), ("avx2 avx512bw avx512_vnni", False)],
)
def test_bfloat16_pays_where_the_cpu_multiplies_it(tmp_path, flags, native):
    System(tmp_path).write("proc/cpuinfo", f"processor\t: 0\nflags\t\t: fpu {flags}\n")
    assert multiplies_bfloat16(tmp_path) == native


def test_only_x86_without_dot_products_overflows():
    assert overflows_int8("avx2", machine="x86_64")
    assert overflows_int8("none", machine="AMD64")
    assert not overflows_int8("avx512_vnni", machine="x86_64")
    assert not overflows_int8("neon", machine="arm64")
