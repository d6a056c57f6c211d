"""A hub on loopback: as much of its HTTP as its client library needs to download a file."""

import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

COMMIT = "a" * 40


@dataclass
class FakeHub:
    """What the hub holds and how it misbehaves. Change it between requests."""

    files: dict[str, bytes]
    """By `OWNER/NAME/path`."""
    commit: str = COMMIT
    large: tuple[str, ...] = (".onnx",)
    """Endings of files whose checksum is a SHA-256; the others have git's."""
    renamed: dict[str, str] = field(default_factory=dict)
    lie: bool = False
    """Whether checksums are those of other bytes."""
    break_after: int = 0
    """After how many bytes of a body the connection is cut; 0: never."""
    breaks: int = 0
    """How many more times it is."""
    status: int = 0
    """Answer everything with this error."""
    requests: list[tuple[str, str]] = field(default_factory=list)
    url: str = ""

    def checksum(self, name: str) -> str:
        content = self.files[name] + (b"?" if self.lie else b"")
        if name.endswith(self.large):
            return hashlib.sha256(content).hexdigest()
        return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()

    def gets(self) -> list[str]:
        return [path for method, path in self.requests if method == "GET"]


@contextmanager
def serve(hub: FakeHub) -> Iterator[FakeHub]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_) -> None:
            pass

        def do_HEAD(self) -> None:
            self.answer(body=False)

        def do_GET(self) -> None:
            self.answer(body=True)

        def answer(self, body: bool) -> None:
            hub.requests.append((self.command, self.path))
            path = self.path.lstrip("/").split("?")[0]
            if hub.status:
                return self.refuse(hub.status, "")
            repository, _, rest = path.partition("/resolve/")
            if repository in hub.renamed:
                self.send_response(307)
                self.send_header("Location", f"/{hub.renamed[repository]}/resolve/{rest}")
                self.send_header("Content-Length", "0")
                return self.end_headers()
            revision, _, name = rest.partition("/")
            if revision not in ("main", hub.commit):
                return self.refuse(404, "RevisionNotFound")
            if not any(each.startswith(f"{repository}/") for each in hub.files):
                return self.refuse(404, "RepoNotFound")
            name = f"{repository}/{name}"
            if name not in hub.files:
                return self.refuse(404, "EntryNotFound")
            self.send(name, body)

        def refuse(self, status: int, code: str) -> None:
            self.send_response(status)
            self.send_header("X-Error-Code", code)
            self.send_header("X-Repo-Commit", hub.commit)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def send(self, name: str, body: bool) -> None:
            content = hub.files[name]
            start = 0
            if (asked := self.headers.get("Range")) and body:
                start = int(asked.removeprefix("bytes=").split("-")[0])
            self.send_response(206 if start else 200)
            if start:
                self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
            self.send_header("Content-Length", str(len(content) - start))
            self.send_header("ETag", f'"{hub.checksum(name)}"')
            self.send_header("X-Repo-Commit", hub.commit)
            if name.endswith(hub.large):
                self.send_header("X-Linked-Etag", f'"{hub.checksum(name)}"')
                self.send_header("X-Linked-Size", str(len(content)))
            self.end_headers()
            if not body:
                return
            if hub.break_after and hub.breaks:
                hub.breaks -= 1
                self.wfile.write(content[start : start + hub.break_after])
                self.close_connection = True
                self.connection.close()
                return
            self.wfile.write(content[start:])

        def handle(self) -> None:
            with suppress(ConnectionError, ValueError):  # the connection that is cut above
                super().handle()

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    hub.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
