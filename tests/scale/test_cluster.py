"""A cluster that is not there is told in one line and at once, before Ray begins to try."""

import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest

from rerankd.backends.replicas_policy import ReplicasPolicy
from rerankd.errors import BackendError
from rerankd.scale.cluster import cause_of, connect

pytestmark = pytest.mark.threads


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The addresses that Ray is asked to join."""
    addresses: list[Any] = []

    def init(address: str | None, **_: Any) -> None:
        addresses.append(address)

    ray = SimpleNamespace(is_initialized=lambda: False, init=init)
    monkeypatch.setitem(sys.modules, "ray", ray)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    return addresses


@contextmanager
def listening(answer: bytes) -> Iterator[str]:
    """Somebody who answers whoever calls once with so much, and hangs up."""

    def serve() -> None:
        caller, _ = listener.accept()
        with caller:
            caller.recv(1_000)
            caller.sendall(answer)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        yield f"127.0.0.1:{listener.getsockname()[1]}"
        thread.join(10)


def test_without_an_address_ray_finds_or_starts_one(asked: list[Any]) -> None:
    connect(ReplicasPolicy())
    connect(ReplicasPolicy(address="auto"))
    assert asked == [None, "auto"]


@pytest.mark.parametrize("scheme", ["", "ray://"])
def test_where_nobody_listens_it_is_told_at_once(
    asked: list[Any], scheme: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(BackendError, match=r"the Ray cluster at \S+:1 cannot be reached: .*refused"):
        connect(ReplicasPolicy(address=f"{scheme}127.0.0.1:1"))
    monkeypatch.setenv("RAY_ADDRESS", f"{scheme}127.0.0.1:1")
    with pytest.raises(BackendError, match=r"the Ray cluster at \S+:1 cannot be reached: .*refused"):
        connect(ReplicasPolicy())
    assert asked == []


@pytest.mark.parametrize("answer", [b"HTTP/1.1 400 Bad Request\r\n", b"-ERR unknown command\r\n"])
def test_where_somebody_else_listens_it_is_told_at_once(asked: list[Any], answer: bytes) -> None:
    with (
        listening(answer) as address,
        pytest.raises(BackendError, match=f"{address} cannot be reached: what listens there is no Ray"),
    ):
        connect(ReplicasPolicy(address=address))
    assert asked == []


@pytest.mark.parametrize("answer", [bytes([0, 0, 6, 4, 0]), b"\x15\x03\x01\x00\x02", b""])
def test_who_answers_in_frames_or_wants_tls_is_left_to_ray(asked: list[Any], answer: bytes) -> None:
    with listening(answer) as address:
        connect(ReplicasPolicy(address=address))
    assert asked == [address]


def test_the_setting_comes_before_ray_s_variable(asked: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")
    connect(ReplicasPolicy(address="auto"))
    assert asked == ["auto"]


def test_what_ray_raises_is_told_by_its_first_line(asked: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    def init(address: str | None, **_: Any) -> None:
        raise RuntimeError("Version mismatch\nand much more")

    monkeypatch.setattr(sys.modules["ray"], "init", init)
    with pytest.raises(BackendError, match=r"on this machine cannot be reached: Version mismatch$"):
        connect(ReplicasPolicy())


def test_without_ray_it_is_told_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(BackendError, match=r"pip install 'rerankd\[ray\]'"):
        connect(ReplicasPolicy())


def test_the_cause_is_what_was_raised_on_the_other_machine() -> None:
    class TaskError(Exception):
        cause: BaseException | None = None

    inner = BackendError("model.onnx: is not there")
    outer, between = TaskError("outer"), TaskError("between")
    between.cause = inner
    outer.__cause__ = between
    assert cause_of(outer) is inner
    assert cause_of(inner) is inner
