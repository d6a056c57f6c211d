"""A server on loopback that answers as a test says: well, slowly, not at all, or with lies."""

import contextlib
import json
import socket
import struct
import threading
from collections.abc import Callable
from typing import Any, NamedTuple


class Request(NamedTuple):
    path: str
    headers: dict[str, str]
    body: Any


Behave = Callable[[Request, socket.socket], object]


def respond(
    conn: socket.socket, body: Any, *, status: int = 200, headers: dict[str, str] | None = None
) -> None:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    lines = [f"HTTP/1.1 {status} X", f"content-length: {len(data)}", "content-type: application/json"]
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    conn.sendall("\r\n".join([*lines, "", ""]).encode() + data)


class HangUp(OSError):
    """Raised by a behaviour, closes the connection."""


def reset(conn: socket.socket) -> None:
    """End the connection with a reset instead of an end of stream."""
    conn.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    raise HangUp


class Server:
    """Serves one connection a thread; remembers what it was asked, and how many connections came."""

    def __init__(self, behave: Behave) -> None:
        self.behave = behave
        self.requests: list[Request] = []
        self.connections = 0
        self.leave = threading.Event()
        """Set at the end, for behaviours that wait."""
        self._open: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                conn, _ = self._listener.accept()
                self.connections += 1
                self._open.append(conn)
                self._threads.append(threading.Thread(target=self._serve, args=(conn,), daemon=True))
                self._threads[-1].start()

    def _serve(self, conn: socket.socket) -> None:
        with contextlib.suppress(OSError, ValueError), conn, conn.makefile("rb") as file:
            while line := file.readline():
                path = line.split()[1].decode()
                headers = {}
                while (header := file.readline().decode().strip()) != "":
                    name, _, value = header.partition(":")
                    headers[name.lower()] = value.strip()
                body = json.loads(file.read(int(headers["content-length"])))
                self.requests.append(Request(path, headers, body))
                self.behave(self.requests[-1], conn)

    def close(self) -> None:
        self.leave.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for conn in self._open:
            with contextlib.suppress(OSError):
                conn.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(5)
        for conn in self._open:
            conn.close()
