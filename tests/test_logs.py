"""Every event is one structured line, an outage does not flood the log, and no line holds a caller's text."""

import dataclasses
import io
import json
import logging
import subprocess
import sys
from typing import get_args

import pytest

from rerankd.core import events
from rerankd.core.events import (
    BatchLimitChanged,
    CircuitChanged,
    FlagChanged,
    MemoryFailed,
    ModelChanged,
    RecordsRejected,
    RunEnded,
    ScorerLost,
    WorkerReplaced,
)
from rerankd.core.flag import Flag, Mode
from rerankd.core.types import Outcome, Reason, Text
from rerankd.errors import BackendError, ConfigError
from rerankd.logs import JsonFormatter, LogObserver, LogPolicy, TextFormatter, configure
from rerankd.testing import FakeClock
from tests.test_summary import settled

CANARY = "canary-7f3a the patient's name is Ada"


@pytest.fixture
def clock():
    return FakeClock(100)


@pytest.fixture
def observer(clock):
    return LogObserver(clock)


@pytest.fixture
def lines(caplog):
    """The records since the last call, from the least severe on."""
    caplog.set_level(logging.DEBUG, logger="rerankd")

    def take(level=logging.DEBUG):
        records = [record for record in caplog.records if record.levelno >= level]
        caplog.clear()
        return records

    return take


@pytest.fixture
def stream():
    """What a configured logger writes; the loggers are as before afterwards."""
    logger = logging.getLogger("rerankd")
    before, level = list(logger.handlers), logger.level
    yield io.StringIO()
    logger.handlers[:] = before
    logger.setLevel(level)


def skipped(reason):
    return settled(outcome=Outcome.SKIPPED, reason=reason)


def failed_run(error="RuntimeError"):
    return RunEnded(
        result="failed",
        pairs=4,
        tokens=300,
        padded_tokens=400,
        seconds=0.1,
        predicted_seconds=0.1,
        model="fake",
        error=error,
    )


MODEL_LOST = ModelChanged(state="unavailable", model="large", error="model.onnx: digest differs")
FLAG = FlagChanged(flag=Flag(Mode.SHADOW, 12.5), previous=Flag(), source="file")


@pytest.mark.parametrize(
    ("event", "name", "level", "message"),
    [
        (settled(12.34), "requests", "DEBUG", "reranked, depth 0 of 24, 12.3 ms"),
        (
            settled(outcome=Outcome.PARTIAL, reason=Reason.DEADLINE),
            "requests",
            "DEBUG",
            "partial/deadline, depth 0 of 24, 1.0 ms",
        ),
        (failed_run(), "runs", "WARNING", "run of 4 pairs: failed in 100.0 ms (RuntimeError)"),
        (
            dataclasses.replace(failed_run(None), result="dropped", seconds=0),
            "runs",
            "DEBUG",
            "run of 4 pairs: dropped in 0.0 ms",
        ),
        (
            CircuitChanged(scorer="fake", state="open", previous="closed", bad=6, calls=10),
            "circuit",
            "WARNING",
            "circuit of fake: closed -> open (6 of 10 calls were bad)",
        ),
        (MODEL_LOST, "model", "WARNING", "model large is unavailable: model.onnx: digest differs"),
        (ModelChanged(state="loading", model="large"), "model", "INFO", "model large is loading"),
        (
            ModelChanged(state="ready", model="large", device="cpu", load_seconds=1.26),
            "model",
            "INFO",
            "model large is ready on cpu after 1.3 s",
        ),
        (
            ModelChanged(state="ready", model="large", device="cuda:0"),
            "model",
            "INFO",
            "model large is ready on cuda:0",
        ),
        (
            WorkerReplaced(cause="hung", abandoned=2),
            "workers",
            "ERROR",
            "worker hung and was replaced; 2 hung threads are alive",
        ),
        (
            ScorerLost(cause="hung", model="large"),
            "workers",
            "ERROR",
            "the process that scores with large hung and is replaced",
        ),
        (
            ModelChanged(state="loading", model="large", error="the scorer's process ended (signal 9)"),
            "model",
            "INFO",
            "model large is loading: the scorer's process ended (signal 9)",
        ),
        (
            RecordsRejected(subject="0a1b", records=2),
            "memory",
            "ERROR",
            "2 sealed records of subject 0a1b do not open in their place and were left out: damage, or an attack",
        ),
        (
            MemoryFailed(call="query", error="StoreError"),
            "memory",
            "WARNING",
            "memory query failed: StoreError",
        ),
        (
            BatchLimitChanged(max_pairs=4, max_tokens=512),
            "runs",
            "INFO",
            "runs now hold at most 4 pairs and 512 tokens",
        ),
        (FLAG, "flag", "INFO", "flag: on for 100 % -> shadow for 12.5 % (file)"),
    ],
)
def test_every_event_is_one_line_with_its_numbers_as_fields(observer, lines, event, name, level, message):
    observer.on(event)
    (record,) = lines()
    assert (record.name, record.levelname, record.getMessage()) == (f"rerankd.{name}", level, message)
    assert record.event == type(event).__name__
    for key, value in dataclasses.asdict(event).items():
        assert getattr(record, key) == value


def test_no_field_of_an_event_hides_one_of_the_log_record_s_own():
    own = {
        *vars(logging.makeLogRecord({})),
        "message",
        "asctime",
        "event",
        "left_out",
        "time",
        "level",
        "logger",
    }
    for event in get_args(events.Event):
        assert own.isdisjoint(field.name for field in dataclasses.fields(event))


@pytest.mark.parametrize("reason", Reason)
def test_a_skip_is_worth_an_info_line_unless_somebody_wanted_it(observer, lines, reason):
    observer.on(skipped(reason))
    (record,) = lines()
    wanted = reason in (Reason.DISABLED, Reason.SHADOW, Reason.RATE_LIMITED)
    assert record.levelno == (logging.DEBUG if wanted else logging.INFO)


@pytest.mark.parametrize(
    ("event", "level"), [(skipped(Reason.CIRCUIT_OPEN), logging.INFO), (failed_run(), logging.WARNING)]
)
def test_an_outage_writes_one_line_a_second_and_counts_the_others(observer, clock, lines, event, level):
    for _ in range(100):
        observer.on(event)
    (record,) = lines(level)
    assert record.left_out == 0
    clock.advance(0.99)
    observer.on(event)
    assert lines(level) == []
    clock.advance(0.02)
    observer.on(event)
    (record,) = lines(level)
    assert record.left_out == 100
    assert record.getMessage().endswith("; 100 more like it left out")
    clock.advance(5)
    observer.on(event)
    assert lines(level)[0].left_out == 0


def test_what_an_outage_leaves_out_is_still_there_for_who_debugs(observer, lines):
    for _ in range(3):
        observer.on(skipped(Reason.OVERLOADED))
    assert [record.levelname for record in lines()] == ["INFO", "DEBUG", "DEBUG"]


def test_skips_and_failed_runs_do_not_use_up_each_other_s_line(observer, lines):
    observer.on(skipped(Reason.MODEL_ERROR))
    observer.on(failed_run())
    assert len(lines(logging.INFO)) == 2


def test_a_line_that_nobody_wants_is_not_made(observer, caplog, monkeypatch):
    caplog.set_level(logging.INFO, logger="rerankd")
    monkeypatch.setattr("rerankd.logs.asdict", None)
    observer.on(settled())
    assert caplog.records == []


@pytest.mark.parametrize("wrong", [{"level": "loud"}, {"level": "INFO"}, {"format": "xml"}])
def test_a_wrong_setting_is_refused(wrong):
    with pytest.raises(ConfigError, match=r"LogPolicy\.(level|format): must be one of "):
        LogPolicy(**wrong)


def test_as_a_library_nothing_is_configured_and_nothing_is_written():
    code = (
        "import logging, rerankd.logs as logs\n"
        "from rerankd.core.events import WorkerReplaced\n"
        "from rerankd.testing import FakeClock\n"
        "logs.LogObserver(FakeClock()).on(WorkerReplaced(cause='hung', abandoned=1))\n"
        "assert logging.getLogger().handlers == []\n"
        "assert logging.getLogger('rerankd').level == logging.NOTSET\n"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
    assert done.stdout + done.stderr == b""


def test_configured_for_people_a_line_has_time_level_name_and_message(observer, stream):
    configure(LogPolicy(), stream=stream)
    observer.on(settled())
    observer.on(MODEL_LOST)
    (line,) = stream.getvalue().splitlines()
    assert line[10] == "T"
    assert line[23:] == "Z WARNING rerankd.model: model large is unavailable: model.onnx: digest differs"


def test_configured_for_collectors_a_line_is_an_object_with_all_fields(observer, stream):
    configure(LogPolicy(format="json", level="debug"), stream=stream)
    observer.on(settled(outcome=Outcome.SKIPPED, reason=Reason.DEADLINE))
    observer.on(FLAG)
    first, second = map(json.loads, stream.getvalue().splitlines())
    assert first["level"] == "info"
    assert first["logger"] == "rerankd.requests"
    assert first["event"] == "Settled"
    assert (first["outcome"], first["reason"], first["left_out"]) == ("skipped", "deadline", 0)
    assert first["timings"] == {"queue": 0.0, "tokenize": 0.0, "inference": 0.0, "refine": 0.0, "order": 0.0}
    assert second["flag"] == {"mode": "shadow", "percent": 12.5}
    assert "args" not in first


def test_json_lines_stay_json_whatever_the_numbers_are(stream):
    configure(LogPolicy(format="json"), stream=stream)
    extra = {"cost": float("inf"), "inner": {"n": float("nan")}, "kind": object, "odd": "\ud800"}
    logging.getLogger("rerankd.x").info("a\nb", extra=extra)
    (line,) = stream.getvalue().splitlines()
    fields = json.loads(line, parse_constant=lambda word: pytest.fail(word))
    assert fields["cost"] == "inf"
    assert fields["inner"] == {"n": "nan"}
    assert fields["message"] == "a\nb"


def test_configuring_again_replaces_and_leaves_the_root_logger_and_foreign_handlers_alone(stream):
    root = list(logging.getLogger().handlers)
    ours = len(logging.getLogger("rerankd").handlers)
    configure(LogPolicy(), stream=io.StringIO())
    configure(LogPolicy(level="error"), stream=stream)
    assert len(logging.getLogger("rerankd").handlers) == ours + 1
    assert logging.getLogger().handlers == root
    logging.getLogger("rerankd.x").warning("no")
    logging.getLogger("rerankd.x").error("yes")
    assert stream.getvalue().endswith("ERROR rerankd.x: yes\n")
    assert stream.getvalue().count("\n") == 1


def test_other_loggers_can_be_written_in_the_same_way(stream):
    other = logging.getLogger("a_server")
    configure(LogPolicy(format="json"), stream=stream, loggers=("rerankd", "a_server"))
    try:
        other.info("listening")
        assert json.loads(stream.getvalue())["logger"] == "a_server"
    finally:
        other.handlers.clear()
        other.setLevel(logging.NOTSET)


def test_without_a_stream_lines_go_to_the_standard_error_of_the_moment(stream, capsys):
    configure(LogPolicy())
    logging.getLogger("rerankd.x").warning("seen")
    assert capsys.readouterr().err.endswith("WARNING rerankd.x: seen\n")


@pytest.mark.parametrize("formatter", [TextFormatter(), JsonFormatter()])
def test_an_exception_is_logged_by_type_and_place_and_its_message_only_if_it_is_ours(stream, formatter):
    configure(LogPolicy(), stream=stream)
    logger = logging.getLogger("rerankd")
    logger.handlers[-1].setFormatter(formatter)
    for error in (ValueError(CANARY), KeyError(Text(CANARY)), BackendError("model.onnx: is truncated")):
        try:
            raise error
        except Exception:
            logger.exception("it failed")
    written = stream.getvalue()
    assert "canary" not in written
    assert "ValueError" in written
    assert "BackendError: model.onnx: is truncated" in written
    assert "test_an_exception_is_logged_by_type" in written
    logger.error("without an exception", exc_info=True)
    assert "without an exception" in stream.getvalue()


def test_a_text_that_strays_into_a_field_shows_only_its_length(stream):
    configure(LogPolicy(format="json"), stream=stream)
    logging.getLogger("rerankd.x").info("odd %r", Text(CANARY), extra={"many": (1,)})
    assert "canary" not in stream.getvalue()
    assert "<text of 37 characters>" in stream.getvalue()


def test_events_have_no_field_for_text():
    """Strings in events are ids, names and enums; this list grows only on purpose."""
    strings = set()
    for event in get_args(events.Event):
        for field in dataclasses.fields(event):
            if field.type in (str, str | None):
                strings.add(f"{event.__name__}.{field.name}")
    assert strings == {
        "Settled.model",
        "RunEnded.model",
        "RunEnded.error",
        "CircuitChanged.scorer",
        "ModelChanged.model",
        "ModelChanged.device",
        "ModelChanged.error",
        "ScorerLost.model",
        "FlagChanged.source",
        "MemoryFailed.call",
        "MemoryFailed.error",
        "RecordsRejected.subject",
    }
