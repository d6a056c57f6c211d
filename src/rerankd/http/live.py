"""The last minutes as the page shows them: outcomes, latencies, depth, queue, circuit."""

import threading
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from rerankd.core.events import CircuitChanged, CircuitState, Event, Settled
from rerankd.core.ports import Clock
from rerankd.core.status import Status
from rerankd.core.types import Reason
from rerankd.summary import percentile

__all__ = ["BUCKET_SECONDS", "EDGES_MS", "WINDOW_SECONDS", "Live"]

WINDOW_SECONDS = 600
BUCKET_SECONDS = 10
EDGES_MS = (5, 10, 25, 50, 75, 100, 125, 150, 175, 200, 225, 250, 275, 300, 400, 500, 1_000)
"""Upper ends of the histogram's bars; the last bar is what is longer."""
_MOST_LATENCIES = 20_000
_MOST_CHANGES = 200


@dataclass(slots=True)
class _Bucket:
    """Ten seconds."""

    number: int
    outcomes: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    depth: float = 0.0
    asked: int = 0
    """How many requests `depth` is the sum of."""
    queue: int = 0
    """The most pairs that were seen waiting."""


class Live:
    """An observer that keeps ten minutes, in as little memory as they deserve. Safe from any thread."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._buckets: deque[_Bucket] = deque(maxlen=WINDOW_SECONDS // BUCKET_SECONDS)
        self._latencies: deque[tuple[float, float]] = deque(maxlen=_MOST_LATENCIES)
        self._circuit: deque[tuple[float, CircuitState]] = deque(maxlen=_MOST_CHANGES)
        self._status: Callable[[], Status] | None = None

    def bind(self, status: Callable[[], Status] | None) -> None:
        """Read the queue from here."""
        self._status = status

    def on(self, event: Event) -> None:
        if isinstance(event, Settled):
            queue = 0 if self._status is None else self._status().queue_pairs
            with self._lock:
                self._settled(event, queue)
        elif isinstance(event, CircuitChanged):
            with self._lock:
                self._circuit.append((self._clock.now(), event.state))

    def _settled(self, event: Settled, queue: int) -> None:
        now = self._clock.now()
        bucket = self._bucket(now)
        bucket.outcomes[event.outcome.value] += 1
        if event.reason is not None:
            bucket.reasons[event.reason.value] += 1
        bucket.queue = max(bucket.queue, queue)
        if event.candidates and event.reason is not Reason.DISABLED:
            bucket.depth += event.depth / event.candidates
            bucket.asked += 1
            self._latencies.append((now, event.elapsed_ms))

    def _bucket(self, now: float) -> _Bucket:
        number = int(now // BUCKET_SECONDS)
        if not self._buckets or self._buckets[-1].number != number:
            self._buckets.append(_Bucket(number))
        return self._buckets[-1]

    def as_dict(self) -> dict[str, Any]:
        """Oldest bucket first, one for each ten seconds since the first that is kept; times are ages in ms."""
        now = self._clock.now()
        with self._lock:
            buckets = list(self._buckets)
            latencies = sorted(ms for at, ms in self._latencies if now - at <= WINDOW_SECONDS)
            changes = [(at, state) for at, state in self._circuit if now - at <= WINDOW_SECONDS]
        return {
            "window_seconds": WINDOW_SECONDS,
            "bucket_seconds": BUCKET_SECONDS,
            "buckets": _shown(buckets, int(now // BUCKET_SECONDS)),
            "latency_ms": {
                "count": len(latencies),
                "p50": percentile(latencies, 50),
                "p95": percentile(latencies, 95),
                "p99": percentile(latencies, 99),
                "max": percentile(latencies, 100),
                "edges": list(EDGES_MS),
                "counts": _histogram(latencies),
            },
            "circuit": [{"age_ms": round((now - at) * 1000), "state": state} for at, state in changes],
        }


def _shown(buckets: list[_Bucket], last: int) -> list[dict[str, Any]]:
    kept = {each.number: each for each in buckets}
    oldest = last - WINDOW_SECONDS // BUCKET_SECONDS + 1
    first = max(oldest, min((number for number in kept if number >= oldest), default=last))
    shown = []
    for number in range(first, last + 1):
        bucket = kept.get(number) or _Bucket(number)
        shown.append(
            {
                "age_seconds": (last - number) * BUCKET_SECONDS,
                "outcomes": dict(bucket.outcomes),
                "reasons": dict(bucket.reasons),
                "depth_ratio": bucket.depth / bucket.asked if bucket.asked else None,
                "queue_pairs": bucket.queue,
            }
        )
    return shown


def _histogram(ordered: list[float]) -> list[int]:
    counts = [0] * (len(EDGES_MS) + 1)
    bar = 0
    for ms in ordered:
        while bar < len(EDGES_MS) and ms > EDGES_MS[bar]:
            bar += 1
        counts[bar] += 1
    return counts
