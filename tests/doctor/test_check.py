"""A report passes when no line fails; lines that do not apply do not count."""

from rerankd.doctor.check import Check, Profile, Report, Status

GOOD = Check.of("disk", True, "90 GB", "buy one")
BAD = Check.of("RAM", False, "1 GB", "buy some")
NONE = Check.none("GPU", "none needed")


def test_a_remedy_stands_beside_failures_only() -> None:
    assert (GOOD.status, GOOD.remedy) == (Status.PASS, "")
    assert (BAD.status, BAD.remedy) == (Status.FAIL, "buy some")
    assert (NONE.status, NONE.remedy) == (Status.NOT_APPLICABLE, "")


def test_the_exit_status_is_1_when_something_failed() -> None:
    assert Report(Profile.CPU, (GOOD, NONE)).exit_status == 0
    assert Report(Profile.CPU, (GOOD, NONE, BAD)).exit_status == 1
    assert Report(Profile.CPU, (GOOD, NONE, BAD)).failed == (BAD,)


def test_the_json_names_every_line() -> None:
    assert Report(Profile.GPU, (GOOD, BAD)).as_json() == {
        "profile": "gpu",
        "passed": False,
        "checks": [
            {"name": "disk", "status": "pass", "figure": "90 GB", "remedy": ""},
            {"name": "RAM", "status": "fail", "figure": "1 GB", "remedy": "buy some"},
        ],
    }
