"""What every request passes before and after the application: ids, hosts, headers, the log, the last boundary.

Plain ASGI, one small class each, so that nothing stands between a client that goes away and the work it asked for.
"""

import json
import logging
import re
import secrets
from collections.abc import Awaitable, Callable, MutableMapping
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

from rerankd.core.ports import Clock
from rerankd.http.budget import DEGRADATION_HEADERS
from rerankd.http.policy import HttpPolicy
from rerankd.http.refusal import Refusal, union_body

__all__ = ["is_loopback", "wrap"]

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

_log = logging.getLogger("rerankd.access")
_errors = logging.getLogger(__name__)
_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_LOOPBACK = ("localhost", "127.0.0.1", "::1")
_HEADERS = [
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (
        b"content-security-policy",
        b"default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; object-src 'none'",
    ),
]
_TOLD = {b"x-rerank-outcome": "outcome", b"x-rerank-reason": "reason", b"x-rerank-depth": "depth"}


def is_loopback(host: str) -> bool:
    """Whether listening there lets in only programs of the same machine."""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False  # a name: it may lead anywhere


def wrap(app: App, policy: HttpPolicy, clock: Clock) -> App:
    """The application behind the edge."""
    hosts = policy.allowed_hosts or (_LOOPBACK if is_loopback(policy.listen_host) else ())
    inner: App = Boundary(app)
    if policy.cors_origins:
        from starlette.middleware.cors import CORSMiddleware

        inner = CORSMiddleware(
            inner,
            allow_origins=list(policy.cors_origins),
            allow_methods=["GET", "POST", "PUT"],
            allow_headers=["authorization", "content-type", "x-request-id", "x-request-timeout-ms"],
            expose_headers=[*DEGRADATION_HEADERS, "x-request-id"],
        )
    if hosts:
        inner = Hosts(inner, hosts)
    return Told(inner, clock)


class Told:
    """Gives each request an id, each answer the safety headers, and the log a line without text."""

    def __init__(self, app: App, clock: Clock) -> None:
        self._app = app
        self._clock = clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = self._clock.now()
        id = _given_id(scope) or secrets.token_hex(8)
        scope.setdefault("state", {})["request_id"] = id
        line: dict[str, Any] = {"request_id": id, "method": scope["method"], "status": None}

        async def told(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                line["status"] = message["status"]
                headers = list(message.get("headers", ()))
                line.update({_TOLD[name]: value.decode("ascii") for name, value in headers if name in _TOLD})
                message["headers"] = [*headers, *_HEADERS, (b"x-request-id", id.encode("ascii"))]
            await send(message)

        try:
            await self._app(scope, receive, told)
        finally:
            # the route's own path: what a client wrote may be anything
            line["route"] = getattr(scope.get("route"), "path", None)
            line["ms"] = round((self._clock.now() - began) * 1000, 1)
            _log.info("%(method)s %(route)s %(status)s in %(ms)s ms", line, extra=line)


def _given_id(scope: Scope) -> str | None:
    for name, value in scope["headers"]:
        if name == b"x-request-id":
            text = value.decode("latin-1")
            return text if _ID.fullmatch(text) else None
    return None


class Hosts:
    """Answers requests for these host names only: a page that rebinds its own name to us is turned away."""

    def __init__(self, app: App, hosts: tuple[str, ...]) -> None:
        self._app = app
        self._hosts = frozenset(host.lower() for host in hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and _host(scope) not in self._hosts:
            refusal = Refusal("forbidden", "host: this server does not answer to that name")
            await _answer(send, refusal, scope)
            return
        await self._app(scope, receive, send)


def _host(scope: Scope) -> str:
    given = next((value for name, value in scope["headers"] if name == b"host"), b"").decode("latin-1")
    try:
        return (urlsplit(f"//{given}").hostname or "").lower()
    except ValueError:
        return ""


class Boundary:
    """Whatever the application raises is answered with a 500 and told by type and place: messages may quote."""

    def __init__(self, app: App) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        begun = False

        async def noted(message: MutableMapping[str, Any]) -> None:
            nonlocal begun
            begun = begun or message["type"] == "http.response.start"
            await send(message)

        try:
            await self._app(scope, receive, noted)
        except Exception as error:  # noqa: BLE001 - the last boundary: a bug of ours must not show a text
            _errors.error("a request failed: %s %s", type(error).__name__, _place(error))
            if scope["type"] == "http" and not begun:
                await _answer(send, Refusal("unavailable", "internal error", status=500), scope)


async def _answer(send: Send, refusal: Refusal, scope: Scope) -> None:
    body = json.dumps(union_body(refusal, scope.get("state", {}).get("request_id", ""))).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": refusal.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _place(error: BaseException) -> str:
    """Where it was raised."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return "" if trace is None else f"in {trace.tb_frame.f_code.co_filename}, line {trace.tb_lineno}"
