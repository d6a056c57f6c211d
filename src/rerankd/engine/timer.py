"""Calls things later, on one thread of its own."""

import heapq
import itertools
import logging
import math
import threading
from collections.abc import Callable

from rerankd.core.ports import Clock

__all__ = ["Timer"]

_log = logging.getLogger(__name__)

_AFTER_A_FAULT = 1.0
"""Seconds until the next look when one has failed."""


class Timer:
    """`call_at` for a few rare events, and a regular look at the workers while they are busy.

    Callbacks must not block. The thread starts with the first call and sleeps without a time-out while
    nothing is due, so that an idle process is not woken.
    """

    def __init__(self, clock: Clock, look: Callable[[float], float]) -> None:
        """`look(now)` returns when it wants to be called again; infinity: not before `look_by` asks."""
        self._clock = clock
        self._look = look
        self._look_at = math.inf
        self._condition = threading.Condition(threading.Lock())
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()
        self._thread: threading.Thread | None = None
        self._closed = False

    def call_at(self, at: float, callback: Callable[[], None]) -> None:
        """Call it once, as soon as the clock has reached `at`."""
        with self._condition:
            heapq.heappush(self._due, (at, next(self._order), callback))
            self._wake()

    def look_by(self, at: float) -> None:
        """Have `look` called by then at the latest."""
        # read without the lock: a stale value costs one needless wake, never a missed look
        if at < self._look_at:
            with self._condition:
                self._look_at = min(self._look_at, at)
                self._wake()

    def close(self) -> None:
        with self._condition:
            self._closed = True
            self._condition.notify()
        if self._thread is not None and self._thread is not threading.current_thread():
            # a callback that blocks against the rules may not keep the process from ending
            self._thread.join(1.0)

    def _wake(self) -> None:
        if self._thread is None and not self._closed:
            self._thread = threading.Thread(target=self._loop, name="rerankd-timer", daemon=True)
            self._thread.start()
        self._condition.notify()

    def _loop(self) -> None:
        while self._sleep():
            now = self._clock.now()
            for callback in self._take_due(now):
                self._call(callback)
            with self._condition:
                looks = self._look_at <= now
                if looks:
                    self._look_at = math.inf
            if looks:
                self.look_by(self._look_now(now))

    def _call(self, callback: Callable[[], None]) -> None:
        try:
            callback()
        except Exception as error:  # noqa: BLE001 - the timer's boundary: without it no circuit would ever heal
            _log.error("a timed call failed: %s", type(error).__name__)

    def _look_now(self, now: float) -> float:
        try:
            return self._look(now)
        except Exception as error:  # noqa: BLE001 - the same: without it no hang would ever be found
            _log.error("looking after the workers failed: %s", type(error).__name__)
            return now + _AFTER_A_FAULT

    def _sleep(self) -> bool:
        """Until something is due; False: closed."""
        with self._condition:
            while not self._closed:
                due = min([self._look_at, *(at for at, _, _ in self._due[:1])])
                seconds = due - self._clock.now()
                if seconds <= 0:
                    return True
                # a limit far below the platform's longest wait
                self._condition.wait(None if due == math.inf else min(seconds, 3600.0))
            return False

    def _take_due(self, now: float) -> list[Callable[[], None]]:
        with self._condition:
            callbacks = []
            while self._due and self._due[0][0] <= now:
                callbacks.append(heapq.heappop(self._due)[2])
            return callbacks
