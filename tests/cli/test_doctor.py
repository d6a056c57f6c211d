"""`rerankd doctor` prints its checks, and its exit status is theirs."""

from collections.abc import Callable
from typing import Any

import pytest

from rerankd.doctor.check import Check, Profile
from tests.cli.conftest import Done, Run

GOOD = Check.of("Disk", True, "90 GB", "")
BAD = Check.of("Latency p95", False, "300.0 ms, wanted below 150 ms", "choose the small model")
NONE = Check.none("GPU", "no GPU needed [NVML]")


Examine = Callable[..., Done]


@pytest.fixture
def examine(monkeypatch: pytest.MonkeyPatch, run: Run) -> Examine:
    """Run the command on checks that are made up."""

    def call(checks: list[Check], *arguments: str) -> Done:
        def made_up(settings: Any, profile: Profile, **_: Any) -> list[Check]:
            return [*checks, Check.none("Profile", profile.value)]

        monkeypatch.setattr("rerankd.doctor.examine.examine", made_up)
        return run("doctor", *arguments)

    return call


def test_the_exit_status_is_0_when_nothing_failed(examine: Examine) -> None:
    done = examine([GOOD, NONE])
    assert done.status == 0
    assert "Ready." in done.out


def test_the_exit_status_is_1_when_something_failed_and_the_line_has_its_remedy(examine: Examine) -> None:
    done = examine([GOOD, BAD])
    assert done.status == 1
    assert "choose the small model" in " ".join(done.out.split())
    assert "1 of 3 failed: Latency p95" in done.out


def test_every_line_has_its_figure_and_mark(examine: Examine) -> None:
    done = examine([GOOD, BAD, NONE])
    lines = [" ".join(line.split()) for line in done.out.splitlines()]
    for start in ("Disk ✓ pass 90 GB", "Latency p95 ✗ fail 300.0 ms", "GPU – n/a no GPU"):
        assert sum(line.startswith(start) for line in lines) == 1
    assert "no GPU needed [NVML]" in done.out  # a bracket is no mark-up


def test_the_json_holds_every_line(examine: Examine) -> None:
    done = examine([GOOD, BAD], "--json", "--profile", "gpu")
    told = done.json
    assert done.status == 1
    assert (told["profile"], told["passed"]) == ("gpu", False)
    assert told["checks"][1] == {
        "name": "Latency p95",
        "status": "fail",
        "figure": "300.0 ms, wanted below 150 ms",
        "remedy": "choose the small model",
    }
    assert told["checks"][2]["figure"] == "gpu"


def test_another_profile_is_wrong_use(examine: Examine) -> None:
    assert examine([GOOD], "--profile", "tpu").status == 2
