"""Asks something slow again and again, away from the request path."""

import threading
from collections.abc import Callable
from concurrent.futures import Future

__all__ = ["Poller"]


class Poller:
    """Calls `ask` at once, then after each pause, on a thread of its own. `ask` must not raise."""

    def __init__(self, ask: Callable[[], None], seconds: float) -> None:
        self._ask = ask
        self._seconds = seconds
        self._closed = threading.Event()
        self.asked: Future[None] = Future()
        """Done when the first answer is there."""
        self._thread = threading.Thread(target=self._loop, name="rerankd-poller", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop asking. Does not wait for an answer that is on its way."""
        self._closed.set()

    def _loop(self) -> None:
        self._ask()
        self.asked.set_result(None)
        while not self._closed.wait(self._seconds):
            self._ask()
