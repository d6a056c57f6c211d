"""A service in a process of its own: started, listened to, stopped."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

__all__ = ["COMMAND", "Running", "children"]

COMMAND = (str(Path(sys.executable).with_name("rerankd")), "serve", "--port", "0")
"""`rerankd serve` on a port that is free."""
_OURS = ("RERANK", "OTEL", "CROSS_ENCODER", "DEVICE", "DATABASE_URL")
_LISTENING = "listening on "


class Running:
    """A command that says `listening on URL`. What it logs is read all the time, so that its pipe never fills."""

    def __init__(self, command: Sequence[str] = COMMAND, *, seconds: float = 60, **settings: str) -> None:
        """`settings`: environment variables. Raises `RuntimeError` when it ends without listening."""
        self._folder = tempfile.TemporaryDirectory()
        environment = {name: value for name, value in os.environ.items() if not name.startswith(_OURS)}
        environment |= {
            "RERANKD_DATA_DIR": self._folder.name,
            "RERANKD_LOG_FORMAT": "json",
            "HF_HUB_OFFLINE": "1",
            "PYTHONUNBUFFERED": "1",
            **settings,
        }
        self.said: list[str] = []
        """Every line of standard error."""
        self._listens = threading.Event()
        self.url = ""
        self.process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        if not self._listens.wait(seconds) or not self.url:
            self.end(signal.SIGKILL)
            raise RuntimeError("\n".join(["the service did not begin to listen", *self.said[-20:]]))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()

    def end(self, sign: signal.Signals = signal.SIGTERM, seconds: float = 20) -> int:
        """Its exit status, after this signal and, when that does not help in time, being killed."""
        if self.process.poll() is None:
            self.process.send_signal(sign)
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self._reader.join(5)
        self._folder.cleanup()
        return self.process.returncode

    @property
    def folder(self) -> Path:
        """Its data folder."""
        return Path(self._folder.name)

    def requests(self) -> list[dict[str, Any]]:
        """Its access log, a line for each request that it has answered."""
        return [line for line in self.logged() if line["logger"] == "rerankd.access"]

    def logged(self) -> list[dict[str, Any]]:
        """Its log lines."""
        return [json.loads(line) for line in list(self.said) if line.startswith("{")]

    def _read(self) -> None:
        assert self.process.stderr is not None
        with self.process.stderr as stream:
            for line in stream:
                self.said.append(line)
                if _LISTENING in line and not self.url:
                    self.url = line.split(_LISTENING)[1].split()[0]
                    self._listens.set()
        self._listens.set()


def children(pid: int) -> list[int]:
    """The processes that a process has started and that live."""
    found = []
    for each in Path("/proc").iterdir():
        if each.name.isdigit():
            try:
                # after the name, which may hold anything: state and parent
                fields = (
                    (each / "stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
                )
            except OSError:
                continue
            if int(fields[1]) == pid and fields[0] != "Z":
                found.append(int(each.name))
    return found
