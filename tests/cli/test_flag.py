import json
from pathlib import Path

import pytest

from .conftest import Run


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "flag.json"
    monkeypatch.setenv("RERANKD_FLAG_FILE", str(path))
    return path


@pytest.mark.parametrize(
    ("arguments", "flag"),
    [
        (["on"], {"mode": "on", "percent": 100}),
        (["on", "--percent", "12.5"], {"mode": "on", "percent": 12.5}),
        (["off"], {"mode": "off", "percent": 100}),
        (["shadow", "--percent", "1"], {"mode": "shadow", "percent": 1}),
    ],
)
def test_the_flag_file_is_written_and_read(
    run: Run, file: Path, arguments: list[str], flag: dict[str, object]
) -> None:
    done = run("flag", *arguments)
    assert done.status == 0
    assert json.loads(file.read_text()) == flag
    assert run("flag", "status", "--json").json == {**flag, "source": f"file {file}"}


def test_the_status_is_a_sentence(run: Run, file: Path) -> None:
    run("flag", "shadow", "--percent", 5)
    assert run("flag", "status").out == f"shadow for 5 % of the requests (file {file})\n"
    run("flag", "off")
    assert run("flag", "status").out == f"off (file {file})\n"


def test_without_a_file_the_status_is_the_settings_and_nothing_can_be_turned(run: Run) -> None:
    assert run("flag", "status").out == "on for 100 % of the requests (settings; each process has its own)\n"
    done = run("flag", "off")
    assert done.status == 2
    assert "RERANKD_FLAG_FILE" in done.err


def test_a_file_that_cannot_be_read_or_written_cannot_be_done(run: Run, file: Path) -> None:
    assert run("flag", "status").status == 1  # not there yet
    file.mkdir()
    done = run("flag", "on")
    assert done.status == 1
    assert f"flag file {file}: cannot be written" in done.err
    assert done.err.count("\n") == 1


def test_the_hard_off_is_shown_and_pointed_out(run: Run, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RERANK_ENABLED", "false")
    assert "RERANK_ENABLED=false" in run("flag", "on").err
    assert json.loads(file.read_text())["mode"] == "on"
    assert run("flag", "status").out == "off (RERANK_ENABLED)\n"


def test_a_flag_that_a_provider_keeps_is_not_turned_here(
    run: Run, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RERANKD_FLAG_OPENFEATURE_KEY", "rerank")
    done = run("flag", "off")
    assert done.status == 1
    assert "OpenFeature" in done.err
    assert not file.exists()


@pytest.mark.parametrize("percent", ["-1", "101", "many"])
def test_a_wrong_percentage_is_wrong_use(run: Run, file: Path, percent: str) -> None:
    assert run("flag", "on", "--percent", percent).status == 2
    assert not file.exists()
