"""A peer that does not start is told of, with what it said, and does not keep our own figures from being taken."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from benchmarks import service

_REFUSES = "import sys; print('first'); print('no such option', file=sys.stderr); sys.exit(3)"


def test_a_server_that_ends_before_it_is_ready_is_told_with_the_end_of_its_log(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(service, "_command", lambda server, port: [sys.executable, "-c", _REFUSES])
    with pytest.raises(service.UnreadyError) as unready, service.serving("infinity-torch"):
        pass
    said = str(unready.value)
    assert "ended with status 3 before it was ready" in said
    assert "no such option" in said


def test_the_end_of_a_log_is_its_last_lines(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("\n".join(map(str, range(30))) + "\n\n", encoding="utf-8")
    with log.open("rb") as stream:
        assert service._tail(stream, lines=3) == ["27", "28", "29"]


def _level(server: str, share: float) -> service.Level:
    return service.Level(server, share, 1.0, 1, 1.0, 0.0, 24.0, 1.0, 1.0, 0.0)


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Everything but the servers: what they are measured to be is made up. The report's file."""

    async def capacity(*_: Any) -> float:
        return 1_000.0

    async def level(server: str, url: str, workload: Any, share: float, *_: Any) -> service.Level:
        return _level(server, share)

    monkeypatch.setattr(service, "_capacity", capacity)
    monkeypatch.setattr(service, "_level", level)
    monkeypatch.setattr(service, "_overhead", lambda: {"p50_ms": 1.0, "p99_ms": 1.0, "requests": 1})
    report = tmp_path / "service.json"
    monkeypatch.setattr(sys, "argv", ["service", "--output", str(report)])
    return report


def test_a_peer_that_is_not_ready_is_left_out_and_ours_is_judged(
    measured: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    @contextmanager
    def serving(server: str) -> Iterator[str]:
        if server == "infinity-torch":
            raise service.UnreadyError("it ended with status 1 before it was ready\n  TypeError: flag")
        yield "http://localhost"

    monkeypatch.setattr(service, "serving", serving)
    assert service.main() == 0
    printed = capsys.readouterr().out
    assert "infinity-torch    not measured: it ended with status 1" in printed
    assert "TypeError: flag" in printed
    assert "all figures hold" in printed
    told = json.loads(measured.read_text(encoding="utf-8"))
    assert {level["server"] for level in told["levels"]} == {"rerankd", "infinity-optimum"}
    assert list(told["not_measured"]) == ["infinity-torch"]


def test_without_our_own_service_there_is_nothing_to_judge(
    measured: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    @contextmanager
    def serving(server: str) -> Iterator[str]:
        raise service.UnreadyError("it ended")
        yield ""

    monkeypatch.setattr(service, "serving", serving)
    with pytest.raises(service.UnreadyError):
        service.main()
