"""Structured logs through the standard `logging`: one line an event, its numbers as fields, never a text.

As a library rerankd configures nothing: its loggers, all below `rerankd`, speak when the host has set up
logging. The command line and the service call `configure`.
"""

import json
import logging
import math
import sys
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Literal, TextIO

from rerankd.core.events import (
    BatchLimitChanged,
    CircuitChanged,
    Event,
    FlagChanged,
    MemoryFailed,
    MemoryQueried,
    ModelChanged,
    RecordsRejected,
    RunEnded,
    ScorerLost,
    Settled,
    WorkerReplaced,
)
from rerankd.core.policy import check_one_of
from rerankd.core.ports import Clock
from rerankd.core.types import Outcome, Reason
from rerankd.errors import RerankdError

__all__ = ["JsonFormatter", "LogObserver", "LogPolicy", "TextFormatter", "configure"]

logging.getLogger("rerankd").addHandler(logging.NullHandler())

_BY_CHOICE = frozenset({Reason.DISABLED, Reason.SHADOW, Reason.RATE_LIMITED})
"""Reasons for which somebody decided; the others mean that something is wrong, or too slow."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LogPolicy:
    """What the command line and the service log; a host that uses the library decides for itself."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    """The least severe lines that are written; `debug` writes one for every request."""
    format: Literal["text", "json"] = "text"
    """`json`: one object a line, for log collectors."""

    def __post_init__(self) -> None:
        check_one_of(self, "level", ("debug", "info", "warning", "error"))
        check_one_of(self, "format", ("text", "json"))


class LogObserver:
    """Writes events to `rerankd.requests`, `.runs`, `.circuit`, `.model`, `.workers`, `.flag` and `.memory`.

    Lines that an outage would repeat for every request are written once a second at most; the next one says
    how many were left out. Fields are the event's own, `event` names its kind.
    """

    def __init__(self, clock: Clock) -> None:
        self._skips = _Throttle(clock)
        self._failures = _Throttle(clock)
        self._memory = _Throttle(clock)

    def on(self, event: Event) -> None:
        match event:
            case Settled():
                self._settled(event)
            case RunEnded():
                self._run_ended(event)
            case CircuitChanged():
                _log(
                    "circuit",
                    logging.WARNING,
                    event,
                    f"circuit of {event.scorer}: {event.previous} -> {event.state}"
                    f" ({event.bad} of {event.calls} calls were bad)",
                )
            case ModelChanged():
                _model_changed(event)
            case WorkerReplaced():
                _log(
                    "workers",
                    logging.ERROR,
                    event,
                    f"worker {event.cause} and was replaced; {event.abandoned} hung threads are alive",
                )
            case ScorerLost():
                _log(
                    "workers",
                    logging.ERROR,
                    event,
                    f"the process that scores with {event.model} {event.cause} and is replaced",
                )
            case BatchLimitChanged():
                _log(
                    "runs",
                    logging.INFO,
                    event,
                    f"runs now hold at most {event.max_pairs} pairs and {event.max_tokens} tokens",
                )
            case FlagChanged():
                _log(
                    "flag",
                    logging.INFO,
                    event,
                    f"flag: {event.previous.mode} for {event.previous.percent:g} %"
                    f" -> {event.flag.mode} for {event.flag.percent:g} % ({event.source})",
                )

            case MemoryQueried():
                _log(
                    "memory",
                    logging.DEBUG,
                    event,
                    f"recalled from {event.candidates} memories in {event.elapsed_ms:.1f} ms: {event.outcome}",
                )
            case MemoryFailed():
                left_out = self._memory.admit()
                if left_out is not None:
                    line = f"memory {event.call} failed: {event.error}" + _more(left_out)
                    _log("memory", logging.WARNING, event, line, left_out=left_out)
            case RecordsRejected():
                _log(
                    "memory",
                    logging.ERROR,
                    event,
                    f"{event.records} sealed records of subject {event.subject} do not open in their place"
                    " and were left out: damage, or an attack",
                )

    def _settled(self, event: Settled) -> None:
        failed = event.outcome is Outcome.SKIPPED and event.reason not in _BY_CHOICE
        if failed:
            left_out = self._skips.admit()
            if left_out is not None:
                _log("requests", logging.INFO, event, _answer(event) + _more(left_out), left_out=left_out)
                return
        _log("requests", logging.DEBUG, event, _answer(event))

    def _run_ended(self, event: RunEnded) -> None:
        line = f"run of {event.pairs} pairs: {event.result} in {event.seconds * 1000:.1f} ms"
        if event.result == "failed":
            left_out = self._failures.admit()
            if left_out is not None:
                line += f" ({event.error})" + _more(left_out)
                _log("runs", logging.WARNING, event, line, left_out=left_out)
                return
        _log("runs", logging.DEBUG, event, line)


class _Throttle:
    """Lets one line a second through and counts the others. Threads may race: a line more does no harm."""

    def __init__(self, clock: Clock, *, every_s: float = 1.0) -> None:
        self._clock = clock
        self._every = every_s
        self._next: float | None = None
        self._left_out = 0

    def admit(self) -> int | None:
        """How many lines were left out since the last, if this one may be written; None if it may not."""
        now = self._clock.now()
        if self._next is not None and now < self._next:
            self._left_out += 1
            return None
        self._next = now + self._every
        left_out, self._left_out = self._left_out, 0
        return left_out


def _model_changed(event: ModelChanged) -> None:
    where = f" on {event.device}" if event.device else ""
    if event.state == "unavailable":
        _log("model", logging.WARNING, event, f"model {event.model} is unavailable: {event.error}")
    elif event.state == "ready" and event.load_seconds is not None:
        _log(
            "model",
            logging.INFO,
            event,
            f"model {event.model} is ready{where} after {event.load_seconds:.1f} s",
        )
    else:
        why = f": {event.error}" if event.error else ""
        _log("model", logging.INFO, event, f"model {event.model} is {event.state}{where}{why}")


def _answer(event: Settled) -> str:
    why = f"/{event.reason}" if event.reason is not None else ""
    refined = f", {event.refined_depth} refined" if event.refined_depth else ""
    depth = f"depth {event.depth} of {event.candidates}{refined}"
    return f"{event.outcome}{why}, {depth}, {event.elapsed_ms:.1f} ms"


def _more(left_out: int) -> str:
    return f"; {left_out} more like it left out" if left_out else ""


def _log(name: str, level: int, event: Event, message: str, **more: int) -> None:
    logger = logging.getLogger(f"rerankd.{name}")
    if logger.isEnabledFor(level):
        logger.log(level, "%s", message, extra={"event": type(event).__name__, **asdict(event), **more})


_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class TextFormatter(logging.Formatter):
    """One line a record; of an exception the type and the places, and the message only of our own."""

    def format(self, record: logging.LogRecord) -> str:
        line = f"{_when(record)} {record.levelname} {record.name}: {record.getMessage()}"
        error, places = _exception(record)
        return "\n  ".join([line if error is None else f"{line} [{error}]", *places])


class JsonFormatter(logging.Formatter):
    """One JSON object a line: `time`, `level`, `logger`, `message`, and the record's extra fields.

    Of an exception it writes the type and the places; the message only of our own, which never hold text.
    """

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": _when(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        line |= {
            key: value for key, value in vars(record).items() if key not in _STANDARD and key not in line
        }
        error, places = _exception(record)
        if error is not None:
            line |= {"exception": error, "places": places}
        return json.dumps(_finite(line), default=repr)


def configure(
    policy: LogPolicy, *, stream: TextIO | None = None, loggers: Iterable[str] = ("rerankd",)
) -> None:
    """Write the loggers' lines to `stream` (standard error). Calling it again replaces what it did before."""
    for name in loggers:
        logger = logging.getLogger(name)
        for handler in [each for each in logger.handlers if isinstance(each, _Handler)]:
            logger.removeHandler(handler)
        handler = _Handler(stream)
        handler.setFormatter(JsonFormatter() if policy.format == "json" else TextFormatter())
        logger.addHandler(handler)
        logger.setLevel(policy.level.upper())


class _Handler(logging.StreamHandler[TextIO]):
    """Ours, so that `configure` finds it again. Standard error is looked up for each line."""

    def __init__(self, stream: TextIO | None) -> None:
        self._stream = stream
        super().__init__()

    @property
    def stream(self) -> TextIO:
        return sys.stderr if self._stream is None else self._stream

    @stream.setter
    def stream(self, _: TextIO) -> None:
        """The base class sets what it was given; `_stream` holds it already."""


def _finite(value: Any) -> Any:
    """JSON knows no NaN and no infinity, and a collector drops a line that has one."""
    if isinstance(value, dict):
        return {key: _finite(inner) for key, inner in value.items()}
    return repr(value) if isinstance(value, float) and not math.isfinite(value) else value


def _when(record: logging.LogRecord) -> str:
    return (
        datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    )


def _exception(record: logging.LogRecord) -> tuple[str | None, list[str]]:
    if not record.exc_info or record.exc_info[1] is None:
        return None, []
    error = record.exc_info[1]
    name = type(error).__name__
    shown = f"{name}: {error}" if isinstance(error, RerankdError) else name
    return shown, list(_places(error.__traceback__))


def _places(traceback: TracebackType | None) -> Iterator[str]:
    while traceback is not None:
        code = traceback.tb_frame.f_code
        module = traceback.tb_frame.f_globals.get("__name__", "?")
        yield f"{module}:{traceback.tb_lineno} {code.co_name}"
        traceback = traceback.tb_next
