"""HTTP/1.1 with limits for what a client still has to send: uvicorn's has none for headers, and no deadlines."""

import asyncio
import json
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from rerankd.http.policy import HttpPolicy
from rerankd.http.refusal import Refusal, union_body

__all__ = ["protocol_class"]

_PHRASES = {408: "Request Timeout", 431: "Request Header Fields Too Large"}


class PunctualProtocol(HttpToolsProtocol):
    """One timer a connection: for the headers, then for the body; none while we work or the client is idle."""

    policy = HttpPolicy()
    _timer: asyncio.TimerHandle | None = None
    _receiving = False
    """A request has begun to arrive, and is not all there."""
    _in_headers = False
    _header_bytes = 0
    """What has been read of headers that are not complete."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        # whoever connects means to ask: until then nothing else would end the connection
        self._wait("headers", self.policy.header_timeout_ms)

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if not self._receiving and self._timer is None:
            # between two requests: the first byte of the next starts its clock
            self._wait("headers", self.policy.header_timeout_ms)
        super().data_received(data)
        # counted afterwards, for a piece may end one request and begin the next
        self._header_bytes = self._header_bytes + len(data) if self._in_headers else 0
        if self._header_bytes > self.policy.max_header_bytes:
            limit, seen = self.policy.max_header_bytes, self._header_bytes
            self._end(
                Refusal(
                    "headers_too_large", f"headers: at most {limit} bytes are allowed, got {seen} or more"
                )
            )

    def on_message_begin(self) -> None:
        self._receiving = self._in_headers = True
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._in_headers = False
        self._wait("body", self.policy.body_timeout_ms)
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._receiving = False
        self._stop()
        super().on_message_complete()

    def _wait(self, what: str, ms: float) -> None:
        self._stop()
        self._timer = self.loop.call_later(ms / 1000, self._too_late, what)

    def _stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _too_late(self, what: str) -> None:
        self._timer = None
        self._end(Refusal("timeout", f"the {what} did not arrive in time"))

    def _end(self, refusal: Refusal) -> None:
        """Say why, unless an answer has begun, and close the connection."""
        self._stop()
        if self.transport is None or self.transport.is_closing():
            return
        answering = (
            self.cycle is not None and self.cycle.response_started and not self.cycle.response_complete
        )
        if not answering:
            self.transport.write(_last_words(refusal))
        self.transport.close()


def _last_words(refusal: Refusal) -> bytes:
    body = json.dumps(union_body(refusal)).encode()
    head = (
        f"HTTP/1.1 {refusal.status} {_PHRASES[refusal.status]}\r\ncontent-type: application/json\r\n"
        f"content-length: {len(body)}\r\nconnection: close\r\n\r\n"
    )
    return head.encode("ascii") + body


def protocol_class(policy: HttpPolicy) -> Any:
    """The protocol with a policy's limits."""
    return type("PolicedProtocol", (PunctualProtocol,), {"policy": policy})
