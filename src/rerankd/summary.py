"""The few figures that a host's own status page wants, as plain data."""

import math
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

from rerankd.core.events import Event, Settled
from rerankd.core.status import Status
from rerankd.core.types import Outcome, Reason

__all__ = ["Summary", "percentile"]


class Summary:
    """An observer that keeps the latencies of the last requests and counts the skipped ones.

    Latencies are those of requests that had candidates and were not switched off: an answer that cost nothing
    because nothing was asked of it would hide the others. The lock is never held across a call.
    """

    def __init__(self, *, batch_size: int, window: int = 1_000) -> None:
        """`batch_size`: most pairs of one run. `window`: how many latencies are kept."""
        self._batch_size = batch_size
        self._latencies: deque[float] = deque(maxlen=window)
        self._skipped = 0
        self._status: Callable[[], Status] | None = None
        self._lock = threading.Lock()

    def bind(self, status: Callable[[], Status] | None) -> None:
        """Take `device` and `enabled` from here; without it both are None."""
        self._status = status

    def on(self, event: Event) -> None:
        if not isinstance(event, Settled):
            return
        with self._lock:
            self._skipped += event.outcome is Outcome.SKIPPED
            if event.candidates and event.reason is not Reason.DISABLED:
                self._latencies.append(event.elapsed_ms)

    @property
    def skipped_total(self) -> int:
        """Requests that were answered in retrieval order, for whatever reason."""
        with self._lock:
            return self._skipped

    @property
    def latencies_ms(self) -> tuple[float, ...]:
        """The latencies in the window, oldest first."""
        with self._lock:
            return tuple(self._latencies)

    def as_dict(self) -> dict[str, Any]:
        """The figures by the names that dashboards know already; latencies are 0 before the first request."""
        ordered = sorted(self.latencies_ms)
        status = self._status() if self._status is not None else None
        return {
            "rerank_skipped_total": self.skipped_total,
            "rerank_latency_ms": {
                "p50": percentile(ordered, 50),
                "p95": percentile(ordered, 95),
                "max": percentile(ordered, 100),
            },
            "rerank_batch_size": self._batch_size,
            "device": status.device if status is not None else None,
            "enabled": status.enabled if status is not None else None,
            **_cache(status),
        }


def _cache(status: Status | None) -> dict[str, Any]:
    """Only where it is on: nobody's dashboard knows it from before."""
    if status is None or status.cache is None:
        return {}
    return {"rerank_cache": asdict(status.cache)}


def percentile(ordered: Sequence[float], percent: float) -> float:
    """The percentile of values in ascending order, interpolated linearly between neighbours; 0 of none.

    Definition 7 of Hyndman and Fan (1996), which numpy and most spreadsheets use.
    """
    if not ordered:
        return 0.0
    place = (len(ordered) - 1) * percent / 100
    below = math.floor(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (place - below)
