"""The process that scores. It holds the model and no caller, and ends when the one that started it does.

The main thread listens on the control socket and never does anything slow; the model is loaded by a second
thread, and each channel is served by one of its own. The end of the control socket is the end of the process.
"""

import contextlib
import ctypes
import importlib
import logging
import math
import os
import signal
import socket
import sys
import threading
from array import array
from collections.abc import Callable, Mapping
from typing import Any

from rerankd.backends.isolation import frames
from rerankd.backends.isolation.frames import Frame, Kind, receive, send
from rerankd.core.ports import Model
from rerankd.errors import BackendError, ConfigError, DeviceLost, OutOfMemory, RerankdError

__all__ = ["main", "serve"]

_PR_SET_PDEATHSIG = 1
_PR_SET_NAME = 15
_NAME = b"rerankd-scorer"
_FIRST_TO_GO = b"500"


def main() -> None:
    """Serve the control socket whose number is the first argument, for the parent that the second names."""
    number, parent, nice = (int(each) for each in sys.argv[1:4])
    _settle_in(parent, nice)
    serve(socket.socket(fileno=number), leave=os._exit)


def serve(control: socket.socket, *, leave: Callable[[int], object]) -> None:
    """Do as the control socket says, until its end."""
    start = receive(control)
    if start is None or start.kind != Kind.START:
        leave(0)
        return
    child = _Child(control)
    threading.Thread(target=child.load, args=(frames.unpack_json(start.payload),), daemon=True).start()
    while child.obey():
        pass
    # not sys.exit: threads that hang in the model would be waited for
    leave(0)


class _Run:
    """What the channel's thread is doing, as the main thread may stop it. The `Stop` port."""

    __slots__ = ("_callbacks", "_lock", "deadline", "number", "stopped")

    def __init__(self, number: int) -> None:
        self.number = number
        self.deadline = math.inf
        self.stopped = False
        self._lock = threading.Lock()
        self._callbacks: list[Callable[[], None]] = []

    def on_stop(self, callback: Callable[[], None]) -> None:
        with self._lock:
            if not self.stopped:
                self._callbacks.append(callback)
                return
        callback()

    def fire(self) -> None:
        with self._lock:
            self.stopped = True
            callbacks, self._callbacks = self._callbacks, []
        for callback in callbacks:
            callback()


class _Served:
    """A channel's run, and up to which one its parent has said that nobody waits."""

    __slots__ = ("_lock", "_run", "_stopped")

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._run = _Run(0)
        self._stopped = 0

    def begin(self, number: int) -> _Run:
        run = _Run(number)
        with self._lock:
            self._run = run
            late = number <= self._stopped
        if late:  # the word came before the run: it went by another socket
            run.fire()
        return run

    def stop(self, number: int) -> None:
        with self._lock:
            self._stopped = max(self._stopped, number)
            run = self._run
        if run.number == number:
            run.fire()


class _Child:
    """The model, its channels and the control socket."""

    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._sending = threading.Lock()
        self._served: dict[int, _Served] = {}
        self._model: Model | None = None

    def load(self, start: Mapping[str, Any]) -> None:
        """Load the model and say so, or why not."""
        self._forward_logs(start["level"])
        module, _, function = start["loader"].partition(":")
        try:
            model: Model = getattr(importlib.import_module(module), function)(start["spec"])
            traits = model.scorer.traits
            told = {
                "traits": {name: getattr(traits, name) for name in type(traits).__dataclass_fields__},
                "max_tokens": model.max_tokens,
                "encodes": model.tokenizer is not None,
                "digest": model.digest,
            }
        except (Exception, SystemExit) as error:  # noqa: BLE001 - the loader's boundary: no model is an answer
            ours = isinstance(error, RerankdError)
            reason = str(error) if ours else f"loading failed: {error!r}"
            self._tell(Kind.FAILED, {"error": reason, "config": isinstance(error, ConfigError)})
            return
        self._model = model
        self._tell(Kind.READY, told)

    def obey(self) -> bool:
        """Do what the next control frame says; False: there will be no more."""
        try:
            data, fds = _with_fds(self._control)
            if len(data) < frames.HEADER_BYTES:
                return False
            kind, channel, run, _ = frames.header(data)
        except (OSError, BackendError):
            return False
        if kind == Kind.OPEN and fds:
            self._served[channel] = served = _Served()
            sock = socket.socket(fileno=fds[0])
            threading.Thread(target=self._serve, args=(sock, served), daemon=True).start()
        elif kind == Kind.STOP and channel in self._served:
            self._served[channel].stop(run)
        return True

    def _serve(self, sock: socket.socket, served: _Served) -> None:
        # a channel that breaks is closed: its parent sees that, and replaces us
        with sock, contextlib.suppress(OSError):
            while (frame := receive(sock)) is not None:
                kind, payload = self._answer(frame, served.begin(frame.run))
                send(sock, kind, run=frame.run, payload=payload)

    def _answer(self, frame: Frame, run: _Run) -> tuple[Kind, bytes]:
        try:
            if self._model is None:
                raise BackendError("the model is not loaded")
            if frame.kind == Kind.ENCODE:
                return Kind.PAIRS, _encode(self._model, frame.payload)
            pairs = frames.unpack_pairs(frame.payload)
            return Kind.SCORES, frames.pack_scores(self._model.scorer.score(pairs, run))
        except (OutOfMemory, MemoryError) as error:
            return Kind.NO_MEMORY, frames.pack_json({"message": str(error)[:300]})
        except DeviceLost as error:
            return Kind.LOST, frames.pack_json({"message": str(error)[:300]})
        except BaseException as error:  # noqa: BLE001 - a panic in the tokenizer's library is a BaseException
            ours = isinstance(error, BackendError)
            # only our own messages are known to hold no text
            told = {"type": type(error).__name__, "message": str(error)[:300] if ours else ""}
            return Kind.ERROR, frames.pack_json(told)

    def _tell(self, kind: Kind, value: Any) -> None:
        # a parent that is gone hears nothing, and the main thread ends us
        with self._sending, contextlib.suppress(OSError):
            send(self._control, kind, payload=frames.pack_json(value))

    def _forward_logs(self, level: int) -> None:
        """Hand our own loggers' lines to the parent; nobody else's, for they may quote a text."""
        logger = logging.getLogger("rerankd")
        logger.setLevel(level)
        logger.propagate = False
        logger.addHandler(_Forward(self._tell))


class _Forward(logging.Handler):
    def __init__(self, tell: Callable[[Kind, Any], None]) -> None:
        super().__init__()
        self._tell = tell

    def emit(self, record: logging.LogRecord) -> None:
        line = {"name": record.name, "level": record.levelno, "message": record.getMessage()}
        self._tell(Kind.LOG, line)


def _encode(model: Model, payload: bytes) -> bytes:
    query, texts, max_tokens, max_chunks = frames.unpack_texts(payload)
    if model.tokenizer is None:
        raise BackendError("the model takes plain text")
    encoded = model.tokenizer.encode(query, texts, max_tokens=max_tokens, max_chunks=max_chunks)
    return frames.pack_encoded(encoded)


def _with_fds(control: socket.socket) -> tuple[bytes, list[int]]:
    """The next control frame (they have no payload), and the descriptors that came with it."""
    room = socket.CMSG_SPACE(array("i").itemsize)
    data, ancillary, _, _ = control.recvmsg(frames.HEADER_BYTES, room)
    # short only at the end of the stream: the kernel keeps so small a write in one piece
    while data and len(data) < frames.HEADER_BYTES:
        more = control.recv(frames.HEADER_BYTES - len(data))
        if not more:
            break
        data += more
    fds = array("i")
    for level, kind, payload in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            fds.frombytes(payload[: len(payload) - len(payload) % fds.itemsize])
    return data, list(fds)


def _settle_in(parent: int, nice: int) -> None:
    """Take our place behind the parent, and be bound to it."""
    # the parent decides when we end: Ctrl-C, or a service manager that signals the whole group, is meant for it
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if sys.platform == "linux":
        libc = ctypes.CDLL(None, use_errno=True)
        # also where we hang and would not see the end of the control socket
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        libc.prctl(_PR_SET_NAME, _NAME, 0, 0, 0)
        # when memory runs out, a scorer can be replaced and a service cannot
        with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "wb") as file:
            file.write(_FIRST_TO_GO)
    if os.getppid() != parent:  # it ended before we were bound to it
        os._exit(0)
    with contextlib.suppress(OSError):
        os.nice(nice)
