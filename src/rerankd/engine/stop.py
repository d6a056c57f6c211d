"""Tells a run that nobody waits for it any more."""

import logging
import math
import threading
from collections.abc import Callable

__all__ = ["StopSignal"]

_log = logging.getLogger(__name__)


class StopSignal:
    """One for each run. Fires at most once; a callback that comes late is called at once."""

    __slots__ = ("_callbacks", "_lock", "deadline", "stopped")

    def __init__(self, deadline: float = math.inf) -> None:
        """`deadline`: when nobody waits any more at the latest, in the clock's seconds."""
        self.deadline = deadline
        self._lock = threading.Lock()
        self._callbacks: list[Callable[[], None]] = []
        self.stopped = False

    def on_stop(self, callback: Callable[[], None]) -> None:
        with self._lock:
            if not self.stopped:
                self._callbacks.append(callback)
                return
        callback()

    def fire(self) -> None:
        with self._lock:
            self.stopped = True
            callbacks, self._callbacks = self._callbacks, []
        for callback in callbacks:
            try:
                callback()
            except Exception as error:  # noqa: BLE001 - the scorer's boundary: a caller with an answer gets it
                _log.warning("a run could not be told to stop: %s", type(error).__name__)
