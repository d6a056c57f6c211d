"""What the tests of scorers share."""

import threading

import pytest

from rerankd.core.types import Pair, Text
from tests.embedded_model import embedded

__all__ = ["embedded"]


class Signal:
    """A `Stop` that a test fires."""

    def __init__(self) -> None:
        self.stopped = False
        self.callbacks = []
        self.heard = threading.Event()

    def on_stop(self, callback) -> None:
        self.callbacks.append(callback)
        self.heard.set()
        if self.stopped:
            callback()

    def fire(self) -> None:
        self.stopped = True
        for callback in self.callbacks:
            callback()


@pytest.fixture
def never() -> Signal:
    return Signal()


def pair(ids, types=None, text: str = "canary") -> Pair:
    return Pair(query=Text("canary"), text=Text(text), tokens=len(ids), ids=ids, type_ids=types)
