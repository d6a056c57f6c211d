"""Virtual time: a clock that only the next event moves."""

import heapq
import itertools
from collections.abc import Callable, Iterable, Iterator
from typing import Any

__all__ = ["Ordered", "World"]


class World:
    """A heap of events. What happens takes no time unless an event says that it ends later."""

    def __init__(self) -> None:
        self._now = 0.0
        self._order = itertools.count()
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self.most = 100_000_000
        """How many events may happen: what breeds events would never come to an end."""

    def now(self) -> float:
        return self._now

    def at(self, moment: float, event: Callable[[], None]) -> None:
        """Let it happen then, after everything that was already due at that moment."""
        heapq.heappush(self._events, (max(moment, self._now), next(self._order), event))

    def soon(self, event: Callable[[], None]) -> None:
        """Let it happen now, once the present event has ended: what another thread would do."""
        self.at(self._now, event)

    @property
    def arranged(self) -> int:
        """How many events are still to come."""
        return len(self._events)

    def run(self, until: float = float("inf")) -> None:
        """Go on until nothing is left to happen, or to that moment."""
        while self._events and self._events[0][0] <= until:
            self._now, _, event = heapq.heappop(self._events)
            self.most -= 1
            assert self.most, "events without end"
            event()
        if until != float("inf"):
            self._now = max(self._now, until)


class Ordered(dict[Any, None]):
    """A set that remembers the order in which its members came: the same seed has to give the same trace."""

    def __init__(self, members: Iterable[Any] = ()) -> None:
        super().__init__((member, None) for member in members)

    def add(self, member: Any) -> None:
        self[member] = None

    def discard(self, member: Any) -> None:
        self.pop(member, None)

    def __iter__(self) -> Iterator[Any]:
        return super().__iter__()
