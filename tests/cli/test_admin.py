"""`rerankd flag ... --url`, against a small HTTP server."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from .conftest import Run


class Server(HTTPServer):
    """Keeps a flag, as the admin route does, and what it was asked."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.flag: Any = {"mode": "on", "percent": 100}
        self.asked: list[tuple[str, str, str | None, Any]] = []
        self.answer: tuple[int, Any] | None = None
        self.location = ""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self._answer(None)

    def do_PUT(self) -> None:
        self._answer(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

    def _answer(self, body: Any) -> None:
        server = self.server
        server.asked.append((self.command, self.path, self.headers["Authorization"], body))
        if server.answer is None and body is not None:
            server.flag = body
        status, said = server.answer or (200, {**server.flag, "source": "memory"})
        self.send_response(status)
        if server.location:
            self.send_header("Location", server.location)
        self.end_headers()
        self.wfile.write(said if isinstance(said, bytes) else json.dumps(said).encode())

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with Server() as made:
        thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield made
        made.shutdown()
        thread.join()


@pytest.fixture
def key(monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("RERANKD_API_KEY", "canary-key")
    return "canary-key"


def test_the_flag_is_turned_with_the_key_and_shown_as_the_server_has_it(
    run: Run, server: Server, key: str
) -> None:
    done = run("flag", "shadow", "--percent", 20, "--url", server.url + "/", "--json")
    assert done.json == {"mode": "shadow", "percent": 20, "source": server.url + "/"}
    assert server.asked == [("PUT", "/admin/flag", f"Bearer {key}", {"mode": "shadow", "percent": 20})]


def test_the_status_is_read_from_the_server(run: Run, server: Server) -> None:
    server.flag = {"mode": "off", "percent": 100}
    assert run("flag", "status", "--url", server.url).out == f"off ({server.url})\n"
    assert server.asked == [("GET", "/admin/flag", None, None)]


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ((401, {}), "does not accept RERANKD_API_KEY (HTTP 401)"),
        ((403, b""), "does not accept RERANKD_API_KEY (HTTP 403)"),
        ((409, {"error": {"message": "a file owns the flag"}}), "HTTP 409: a file owns the flag"),
        ((409, {"detail": "a file owns the flag"}), "HTTP 409: a file owns the flag"),
        ((404, b"<html>"), "HTTP 404"),
        ((500, [1]), "HTTP 500"),
        ((200, b"<html>"), "is it the right server?"),
        ((200, [1]), "is it the right server?"),
        ((200, {"mode": "sideways"}), "its answer is not a flag"),
        ((200, {}), "its answer is not a flag"),
    ],
)
def test_what_the_server_refuses_is_one_line_and_status_1(
    run: Run, server: Server, key: str, answer: tuple[int, Any], said: str
) -> None:
    server.answer = answer
    done = run("flag", "on", "--url", server.url)
    assert (done.status, done.out) == (1, "")
    assert done.err.startswith(f"rerankd: {server.url}: ")
    assert said in done.err
    assert done.err.count("\n") == 1
    assert key not in done.err


def test_a_missing_key_is_named(run: Run, server: Server) -> None:
    server.answer = (401, {})
    assert "set RERANKD_API_KEY" in run("flag", "status", "--url", server.url).err


def test_the_key_is_not_carried_along_by_a_redirect(run: Run, server: Server, key: str) -> None:
    with Server() as elsewhere:
        server.answer, server.location = (307, b""), f"{elsewhere.url}/admin/flag"
        done = run("flag", "status", "--url", server.url)
        assert done.status == 1
        assert "redirects elsewhere" in done.err
        assert elsewhere.asked == []


def test_a_server_that_is_not_there_is_said(run: Run) -> None:
    with Server() as gone:
        url = gone.url
    done = run("flag", "status", "--url", url)
    assert done.status == 1
    assert f"{url}: cannot be reached" in done.err


@pytest.mark.parametrize("url", ["localhost:8080", "file:///etc/passwd", ""])
def test_other_addresses_are_wrong_use(run: Run, url: str) -> None:
    done = run("flag", "status", "--url", url)
    assert done.status == 2
    assert "must begin with http" in done.err
