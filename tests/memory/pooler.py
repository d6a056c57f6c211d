"""A transaction pooler, small enough to be read: each transaction of a client may meet another connection.

It speaks PostgreSQL's wire protocol (version 3) on a socket of its own and does what PgBouncer does with
`pool_mode = transaction` and its defaults: a server connection is the client's from its first message until
the server says that it is idle again, and goes to the next one as it is. Nothing is reset in between, so that
whatever a transaction leaves behind is met by somebody else.
"""

import asyncio
import os
import struct
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from urllib.parse import quote

from rerankd.core.secret import Secret

__all__ = ["Pooler", "run_pooler"]

_PROTOCOL = 196_608
_CANCEL = 80_877_102
_REFUSED = (80_877_103, 80_877_104)  # TLS and GSSAPI
_LENGTH = struct.Struct("!I")


class _Server:
    """A connection to the database."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self.parameters = b""
        self.key = b""

    @classmethod
    async def connect(cls, socket: Path, startup: bytes) -> "_Server":
        server = cls(*await asyncio.open_unix_connection(str(socket)))
        server.writer.write(_LENGTH.pack(len(startup) + 4) + startup)
        while True:
            kind, body = await _message(server.reader)
            if kind == b"S":
                server.parameters += _pack(kind, body)
            elif kind == b"K":
                server.key = body
            elif kind == b"E":
                raise ConnectionError("the database refused the pooler")
            elif kind == b"Z":
                return server


class Pooler:
    """`size` server connections for any number of clients of one role."""

    def __init__(self, socket: Path, size: int) -> None:
        self._socket = socket
        self._size = size
        self._made = 0
        self._idle: asyncio.LifoQueue[_Server] = asyncio.LifoQueue()
        self._parameters = b""
        self._startup = b""
        self._attached: dict[bytes, _Server | None] = {}
        self._clients: set[asyncio.Task[None]] = set()
        self.handed_over = 0
        """How often a server connection went from one client to another."""
        self._last: dict[_Server, bytes] = {}

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        key = os.urandom(8)
        task = asyncio.current_task()
        assert task is not None
        self._clients.add(task)
        with suppress(asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            if await self._greet(reader, writer, key):
                await self._pump(reader, writer, key)
        self._clients.discard(task)
        self._attached.pop(key, None)
        writer.close()

    async def close(self) -> None:
        clients = list(self._clients)
        for task in clients:
            task.cancel()
        await asyncio.gather(*clients, return_exceptions=True)
        for server in list(self._last):
            server.writer.close()

    async def _greet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, key: bytes) -> bool:
        while True:
            (length,) = _LENGTH.unpack(await reader.readexactly(4))
            body = await reader.readexactly(length - 4)
            (code,) = _LENGTH.unpack(body[:4])
            if code == _CANCEL:
                await self._cancel(body[4:])
                return False
            if code in _REFUSED:
                writer.write(b"N")
                continue
            break
        self._startup = _LENGTH.pack(_PROTOCOL) + body[4:]
        if not self._parameters:
            self._release(await self._acquire(key))
        writer.write(_pack(b"R", _LENGTH.pack(0)) + self._parameters + _pack(b"K", key) + _pack(b"Z", b"I"))
        return True

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, key: bytes) -> None:
        """One server connection after the other, each for a transaction."""
        while True:
            first = await _message(reader)
            if first[0] == b"X":
                return
            server = await self._acquire(key)
            self._attached[key] = server
            if await self._transaction(reader, writer, server, first):
                self._attached[key] = None
                self._release(server)
            else:  # gone in the middle: nobody can tell what state it is in
                self._attached[key] = None
                self._drop(server)
                return

    async def _transaction(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        server: _Server,
        first: tuple[bytes, bytes],
    ) -> bool:
        expected = 0  # answers that end with "ready"
        from_client: asyncio.Task[tuple[bytes, bytes]] | None = None
        from_server = asyncio.ensure_future(_message(server.reader))
        message: tuple[bytes, bytes] | None = first
        try:
            while True:
                if message is not None:
                    kind, body = message
                    if kind == b"X":
                        return False
                    expected += kind in (b"Q", b"S", b"F")
                    server.writer.write(_pack(kind, body))
                    message = None
                if from_client is None:
                    from_client = asyncio.ensure_future(_message(reader))
                await asyncio.wait({from_client, from_server}, return_when=asyncio.FIRST_COMPLETED)
                if from_server.done():
                    kind, body = from_server.result()
                    if kind == b"Z":
                        expected -= 1
                        if body == b"I" and expected == 0 and not from_client.done():
                            from_client.cancel()
                            with suppress(asyncio.CancelledError):
                                await from_client
                            writer.write(_pack(kind, body))
                            return True
                    writer.write(_pack(kind, body))
                    from_server = asyncio.ensure_future(_message(server.reader))
                if from_client.done():
                    message, from_client = from_client.result(), None
        except (asyncio.IncompleteReadError, ConnectionError):
            return False
        finally:
            for task in (from_client, from_server):
                if task is not None and not task.done():
                    task.cancel()
                elif task is not None and not task.cancelled():
                    task.exception()

    async def _acquire(self, key: bytes) -> _Server:
        if self._idle.empty() and self._made < self._size:
            self._made += 1
            try:
                server = await _Server.connect(self._socket, self._startup)
            except BaseException:
                self._made -= 1
                raise
            self._parameters = server.parameters
        else:
            server = await self._idle.get()
        self.handed_over += self._last.get(server, key) != key
        self._last[server] = key
        return server

    def _release(self, server: _Server) -> None:
        self._idle.put_nowait(server)

    def _drop(self, server: _Server) -> None:
        server.writer.close()
        self._last.pop(server, None)
        self._made -= 1

    async def _cancel(self, key: bytes) -> None:
        server = self._attached.get(key)
        if server is not None:
            _, writer = await asyncio.open_unix_connection(str(self._socket))
            writer.write(_LENGTH.pack(16) + _LENGTH.pack(_CANCEL) + server.key)
            await writer.drain()
            writer.close()


@asynccontextmanager
async def run_pooler(url: Secret, *, size: int = 2) -> AsyncIterator[tuple[Secret, Pooler]]:
    """The same URL through a pooler of `size` connections, and the pooler."""
    folder = url.partition("host=")[2].replace("%2F", "/")
    with tempfile.TemporaryDirectory(prefix="pooler-") as own:
        pooler = Pooler(Path(folder) / ".s.PGSQL.5432", size)
        listening = await asyncio.start_unix_server(pooler.serve, str(Path(own) / ".s.PGSQL.5432"))
        try:
            yield Secret(url.partition("host=")[0] + "host=" + quote(own, safe="")), pooler
        finally:
            listening.close()
            await pooler.close()


async def _message(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    head = await reader.readexactly(5)
    (length,) = _LENGTH.unpack(head[1:])
    return head[:1], await reader.readexactly(length - 4)


def _pack(kind: bytes, body: bytes) -> bytes:
    return kind + _LENGTH.pack(len(body) + 4) + body
