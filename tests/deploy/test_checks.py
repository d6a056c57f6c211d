"""The check of deploy/ by each file's own tool leaves no file out, and installs what it may."""

from pathlib import Path
from types import ModuleType

import pytest
from tests.programs import program


@pytest.fixture
def checks() -> ModuleType:
    return program("tools/test_deploy.py")


def test_every_file_is_checked_or_named_as_unchecked(checks: ModuleType) -> None:
    named = {
        *checks.SKYPILOT,
        *checks.SERVE,
        *checks.PROMETHEUS,
        *checks.ONLY_SYNTAX,
        *checks.NO_CONFIGURATION,
    }
    assert [name for name in named if not (checks.DEPLOY / name).is_file()] == []
    by_pattern = [*checks.named("compose*.yaml"), *checks.named("Dockerfile*")]
    assert len(by_pattern) >= 4
    assert checks.unnamed([*named, *by_pattern]) == []


@pytest.mark.parametrize(
    ("user", "programs", "before"),
    [
        (0, {"apt-get": 0}, []),
        (0, {}, None),
        (1000, {"apt-get": 0, "sudo": 0}, ["sudo", "-n"]),
        (1000, {"apt-get": 0, "sudo": 1}, None),
        (1000, {"apt-get": 0}, None),
    ],
    ids=["root", "no apt-get", "sudo", "sudo with a password", "no sudo"],
)
def test_promtool_is_installed_as_root_or_by_a_sudo_without_a_password(
    user: int,
    programs: dict[str, int],
    before: list[str] | None,
    checks: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    for name, status in programs.items():
        (tmp_path / name).write_text(f"#!/bin/sh\nexit {status}\n", encoding="utf-8")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("os.geteuid", lambda: user)
    assert checks.as_root() == before
    if before is None:
        with pytest.raises(RuntimeError, match=r"apt-get install .* prometheus"):
            checks.prometheus(tmp_path)
