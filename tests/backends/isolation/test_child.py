"""The child does as its sockets say, and nothing that a scorer does takes it along."""

import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from rerankd.backends.isolation import frames
from rerankd.backends.isolation.channel import Channel
from rerankd.backends.isolation.child import serve
from rerankd.backends.isolation.frames import Kind, pack, receive, send
from rerankd.core.types import Pair, Text
from rerankd.errors import BackendError, DeviceLost, OutOfMemory
from tests.backends.isolation.models import HERE

pytestmark = pytest.mark.threads


class Served:
    """A child in a thread of the test."""

    def __init__(self, loader: str, **spec: Any) -> None:
        self.control, theirs = socket.socketpair()
        self.left = threading.Event()
        self.socks: list[socket.socket] = [self.control, theirs]
        self.thread = threading.Thread(
            target=serve, args=(theirs,), kwargs={"leave": lambda _: self.left.set()}
        )
        self.thread.start()
        send(
            self.control,
            Kind.START,
            payload=frames.pack_json({"loader": HERE + loader, "spec": spec, "level": 30}),
        )
        self.said: list[tuple[Kind, Any]] = []
        while not self.said or self.said[-1][0] == Kind.LOG:
            frame = receive(self.control)
            assert frame is not None
            self.said.append((Kind(frame.kind), frames.unpack_json(frame.payload)))

    def open(self, number: int) -> Channel:
        ours, theirs = socket.socketpair()
        self.socks.append(ours)
        with theirs:
            socket.send_fds(self.control, [pack(Kind.OPEN, channel=number)], [theirs.fileno()])
        return Channel(number, ours)

    def ask(self, channel: Channel, text: str, run: int = 1) -> list[float]:
        pair = Pair(Text("blue sky"), Text(text), 4)
        channel.begin(Kind.SCORE, run)
        return frames.unpack_scores(channel.ask(Kind.SCORE, run, frames.pack_pairs([pair])))

    def close(self) -> None:
        for sock in self.socks:
            sock.close()
        assert self.left.wait(5)
        self.thread.join(5)


@pytest.fixture
def child(quiet: None) -> Iterator[Served]:
    served = Served("plain")
    yield served
    served.close()


@pytest.fixture
def quiet() -> Iterator[None]:
    """A child changes its process's loggers, which here is the test's."""
    import logging

    logger = logging.getLogger("rerankd")
    before = logger.level, logger.propagate, list(logger.handlers)
    yield
    logger.setLevel(before[0])
    logger.propagate, logger.handlers = before[1], before[2]


def test_it_says_what_it_has_loaded_and_repeats_only_lines_of_ours(child: Served) -> None:
    (log, line), (ready, told) = child.said
    assert (log, line["name"], line["message"]) == (Kind.LOG, "rerankd.fake", "loaded as fake")
    assert ready == Kind.READY
    assert (told["traits"]["model"], told["max_tokens"], told["encodes"]) == ("fake", 512, False)


def test_each_channel_is_served_by_itself(child: Served) -> None:
    waiting, free = child.open(0), child.open(1)

    def wait() -> None:
        with pytest.raises(BackendError, match="RuntimeError"):
            child.ask(waiting, "wait", 1)

    stuck = threading.Thread(target=wait)
    stuck.start()
    assert child.ask(free, "the sky is blue", 2) == [2.0]
    send(child.control, Kind.STOP, channel=0, run=1)
    stuck.join(5)
    assert not stuck.is_alive()
    assert child.ask(waiting, "the sky is blue", 3) == [2.0]


def test_a_word_to_stop_that_comes_before_its_run_is_not_lost(child: Served) -> None:
    channel = child.open(0)
    send(child.control, Kind.STOP, channel=0, run=5)
    # whichever of the two sockets is read first, the run ends
    with pytest.raises(BackendError, match="RuntimeError"):
        child.ask(channel, "wait", 5)


def test_a_word_for_an_earlier_run_does_not_stop_the_next(child: Served) -> None:
    channel = child.open(0)
    send(child.control, Kind.STOP, channel=0, run=4)
    assert child.ask(channel, "the sky is blue", 5) == [2.0]


@pytest.mark.parametrize(
    ("text", "kind", "message"),
    [
        ("raise canary", BackendError, "ValueError"),
        ("panic canary", BackendError, "SystemExit"),
        ("ours", BackendError, "a run of 1 pair(s) failed: node 7"),
        ("memory", OutOfMemory, "a run of 1 pair(s) failed"),
        ("lost", DeviceLost, "CUDA error: unspecified launch failure"),
    ],
)
def test_what_the_scorer_raises_is_told_by_its_type_and_our_own_words_only(
    child: Served, text: str, kind: type[Exception], message: str
) -> None:
    channel = child.open(0)
    with pytest.raises(kind) as raised:
        child.ask(channel, text)
    assert type(raised.value) is kind
    assert str(raised.value) == message
    assert child.ask(channel, "the sky is blue", 2) == [2.0]


@pytest.mark.parametrize(
    ("how", "error", "config"),
    [
        ("config", "DEVICE: wrong", True),
        ("backend", "model.onnx: is missing", False),
        ("other", "loading failed: ValueError('odd')", False),
    ],
)
def test_a_model_that_cannot_be_loaded_is_told_and_nothing_is_served(
    quiet: None, how: str, error: str, config: bool
) -> None:
    served = Served("broken", how=how)
    assert served.said == [(Kind.FAILED, {"error": error, "config": config})]
    with pytest.raises(BackendError, match="not loaded"):
        served.ask(served.open(0), "a")
    served.close()


def test_without_a_word_what_to_load_it_leaves() -> None:
    ours, theirs = socket.socketpair()
    left = []
    with theirs:
        with ours:
            send(ours, Kind.STOP)
        serve(theirs, leave=left.append)
    assert left == [0]


def test_nonsense_on_the_control_socket_is_its_end(quiet: None) -> None:
    served = Served("plain")
    served.control.sendall(b"\xff" * frames.HEADER_BYTES)
    served.close()
