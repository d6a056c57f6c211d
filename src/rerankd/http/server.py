"""Runs the application: listens, stops in good order, and refuses to be open to the world without a key."""

import asyncio
import os
import signal
import socket
from types import FrameType
from typing import Any

import uvicorn
from fastapi import FastAPI

from rerankd.core.ports import Clock
from rerankd.errors import ConfigError, RerankdError
from rerankd.http.access import Access, KeyAccess
from rerankd.http.edge import is_loopback, wrap
from rerankd.http.keyfile import KeyFile
from rerankd.http.policy import HttpPolicy
from rerankd.http.protocol import protocol_class

__all__ = ["Server", "access_for"]

BACKLOG = 2_048


def access_for(policy: HttpPolicy, keys: KeyFile, clock: Clock) -> Access:
    """The door that suits the address. Raises `ConfigError` where a key is needed and there is none."""
    loopback = is_loopback(policy.listen_host)
    if not keys.keys() and not loopback:
        raise ConfigError(
            f"{policy.listen_host} is open to other machines, and there is no API key:"
            " make one with `rerankd keys create NAME`, or listen on 127.0.0.1"
        )
    return KeyAccess(keys, policy, clock, anybody=loopback)


class Server(uvicorn.Server):
    """A uvicorn that says that it is not ready before it stops to listen."""

    def __init__(self, app: FastAPI, policy: HttpPolicy, clock: Clock) -> None:
        self._app = app
        self.asgi = wrap(app, policy, clock)
        """The application behind the edge, for whoever listens in this one's stead."""
        super().__init__(
            uvicorn.Config(
                self.asgi,
                host=policy.listen_host,
                port=policy.listen_port,
                http=protocol_class(policy),
                ws="none",
                lifespan="off",
                loop="asyncio",
                log_config=None,
                access_log=False,
                server_header=False,
                backlog=BACKLOG,
                proxy_headers=False,
                timeout_graceful_shutdown=max(1, round(policy.shutdown_grace_ms / 1000)),
            )
        )

    @property
    def port(self) -> int:
        """The port that it listens on, once it does."""
        sockets: Any = self.servers[0].sockets
        return int(sockets[0].getsockname()[1])

    async def bind(self) -> list[socket.socket]:
        """Take the address without listening on it, for `serve`. Raises `RerankdError` where it cannot be had."""
        host, port = self.config.host, self.config.port
        try:
            taken = await asyncio.get_running_loop().create_server(
                asyncio.Protocol, host, port, start_serving=False
            )
        except OSError as error:
            number = error.errno or 0
            # the loop words it with the address once more; a name that leads nowhere has a negative number
            why = os.strerror(number) if number > 0 else error.strerror
            raise RerankdError(f"cannot listen on {host}, port {port}: {why}") from None
        bound = [each.dup() for each in taken.sockets]
        taken.close()
        return bound

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """A signal: not ready any more, and then it stops as `stop` does. A second SIGINT does not wait.

        It is not raised again afterwards, as uvicorn would: that ends the process before what runs beside the
        server has been closed, and the last spans have been sent.
        """
        self.force_exit = self.force_exit or (self.should_exit and sig == signal.SIGINT)
        self.stop()

    def stop(self) -> None:
        """Say that it is not ready any more, and stop when what is in flight has been answered."""
        self._app.state.draining = True
        self.should_exit = True

    async def listening(self, serving: "asyncio.Task[None]") -> None:
        """Returns when it listens, or when `serving` has ended without."""
        while not self.started and not serving.done():
            await asyncio.sleep(0.01)
