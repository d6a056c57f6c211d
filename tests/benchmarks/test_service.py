"""A peer that does not start is told of, with what it said, and does not keep our own figures from being taken."""

import json
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from benchmarks import service
from benchmarks.machine import machine
from benchmarks.page import page
from benchmarks.service_levels import Turn, judge, level

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


def _turn(ms: float = 100.0, in_time: int = 1, others: float = 0.0) -> Turn:
    seen = Counter({"in time": in_time, "scored": 24 * in_time, "unanswered": 1 - in_time})
    return Turn(latencies=[ms], late=[1.0], seen=seen, others=others)


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Everything but the servers: what they are measured to be is made up. The report's file."""

    async def capacity(*_: Any) -> float:
        return 1_000.0

    async def asked(*_: Any) -> Turn:
        return _turn()

    monkeypatch.setattr(service, "_capacity", capacity)
    monkeypatch.setattr(service, "_asked", asked)
    monkeypatch.setattr(service, "_overhead", lambda: {"p50_ms": 1.0, "p99_ms": 1.0, "requests": 1})
    report = tmp_path / "service.json"
    monkeypatch.setattr(sys, "argv", ["service", "--output", str(report)])
    return report


@pytest.fixture
def begun(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The servers that were started, in their order; all of them run."""
    names: list[str] = []

    @contextmanager
    def serving(server: str) -> Iterator[str]:
        names.append(server)
        yield "http://localhost"

    monkeypatch.setattr(service, "serving", serving)
    return names


def test_the_report_tells_its_schema_and_the_machine_as_it_was_before_the_first_server(
    measured: Path, begun: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "machine", lambda: machine() | {"servers begun": len(begun)})
    assert service.main() == 0
    told = json.loads(measured.read_text(encoding="utf-8"))
    assert told["schema"] == 1
    assert told["machine"].keys() == machine().keys() | {"servers begun"}
    assert told["machine"]["servers begun"] == 0
    assert told["infinity"]
    assert not told["not_measured"]
    assert page({"service": told}).count("\n| rerankd | ") == len(service.SHARES)


def test_servers_take_turns_at_each_load_and_another_one_begins_each_time(
    measured: Path, begun: list[str]
) -> None:
    service.main()
    first, *rest = begun
    assert first == "rerankd", "the one whose capacity the loads are shares of"
    rounds = [rest[place : place + 3] for place in range(0, len(rest), 3)]
    assert len(rounds) == 2 * len(service.SHARES)
    assert all(sorted(each) == sorted(service.SERVERS) for each in rounds)
    assert [each[0] for each in rounds[:4]] == [*service.SERVERS, "rerankd"]


def test_the_figures_of_a_load_are_those_of_all_its_turns_and_others_load_is_the_largest() -> None:
    found = level("rerankd", 0.5, 2.0, [_turn(100.0, others=0.1), _turn(10_000.0, in_time=0, others=0.3)])
    assert (found.requests, found.in_time, found.timed_out, found.depth) == (2, 0.5, 0.5, 24.0)
    assert (found.p50_ms, found.p95_ms, found.p99_ms, found.others) == (100.0, 10_000.0, 10_000.0, 0.3)


def test_only_our_own_service_is_judged_by_what_comes_in_time() -> None:
    held, missed = _turn(), _turn(300.0, in_time=0)
    ours = level("rerankd", 0.5, 2.0, [held])
    theirs = level("infinity-torch", 0.5, 2.0, [missed])
    assert [rule.held for rule in judge([ours, theirs], 3.0)] == [True, True]
    assert [rule.held for rule in judge([level("rerankd", 0.5, 2.0, [missed]), theirs], 3.1)] == [
        False,
        False,
    ]
    assert [rule.held for rule in judge([theirs], 1.0)] == [True]


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
    assert told["not_measured"] == {
        "infinity-torch": "it ended with status 1 before it was ready: TypeError: flag"
    }


def test_a_peer_that_fails_later_keeps_the_loads_that_it_was_measured_at(
    measured: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = 0

    @contextmanager
    def serving(server: str) -> Iterator[str]:
        nonlocal begun
        begun += server == "infinity-torch"
        if begun == 4 and server == "infinity-torch":
            raise service.UnreadyError(f"no {service._ROOT}/benchmarks")
        yield "http://localhost"

    monkeypatch.setattr(service, "serving", serving)
    service.main()
    told = json.loads(measured.read_text(encoding="utf-8"))
    theirs = [each["share"] for each in told["levels"] if each["server"] == "infinity-torch"]
    assert theirs == [0.5]
    # where the checkout lies is nobody's business
    assert told["not_measured"] == {"infinity-torch": "no benchmarks"}


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
