"""One way to ask the scorer's process, and to wait for its answer."""

import socket

from rerankd.backends.isolation import frames
from rerankd.backends.isolation.frames import Kind, receive, send
from rerankd.errors import BackendError, DeviceLost, OutOfMemory

__all__ = ["Channel"]


class Channel:
    """A socket that one worker uses at a time. Its worker writes these fields, the supervisor reads them."""

    __slots__ = ("encodes", "number", "run", "sock", "stopped")

    def __init__(self, number: int, sock: socket.socket) -> None:
        self.number = number
        self.sock = sock
        self.run: int | None = None
        """What an answer is awaited for."""
        self.stopped: int | None = None
        """Which run was last told to stop. Its number, for that word may come when the next has begun."""
        self.encodes = False

    @property
    def stopping(self) -> bool:
        """Whether the run that goes on was told to stop."""
        return self.run is not None and self.run == self.stopped

    def begin(self, kind: Kind, run: int) -> None:
        """From here on this run may be stopped; `ask` must follow."""
        self.encodes = kind is Kind.ENCODE
        self.run = run

    def ask(self, kind: Kind, run: int, payload: bytes) -> bytes:
        """Ask, and wait for the answer's payload.

        Raises `BackendError` (`OutOfMemory`, `DeviceLost`) as the scorer did, and when the process ends or
        answers nonsense.
        """
        try:
            send(self.sock, kind, run=run, payload=payload)
            frame = receive(self.sock)
        except OSError as error:
            raise BackendError("the scorer's process has ended") from error
        finally:
            self.run = None
        if frame is None:
            raise BackendError("the scorer's process has ended")
        if frame.run != run:
            raise BackendError("the scorer's process answered another run")
        if frame.kind == Kind.NO_MEMORY:
            raise OutOfMemory(_told(frame.payload, "message"))
        if frame.kind == Kind.LOST:
            raise DeviceLost(_told(frame.payload, "message"))
        if frame.kind == Kind.ERROR:
            raise BackendError(_told(frame.payload, "message") or _told(frame.payload, "type"))
        if frame.kind != _ANSWERS[kind]:
            raise BackendError("the scorer's process answered another question")
        return frame.payload


_ANSWERS: dict[Kind, Kind] = {Kind.SCORE: Kind.SCORES, Kind.ENCODE: Kind.PAIRS}


def _told(payload: bytes, key: str) -> str:
    return str(frames.unpack_json(payload).get(key, ""))
