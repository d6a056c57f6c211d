"""The last calls, as the circuit judges them."""

from collections import deque

__all__ = ["Window"]


class Window:
    """Good and bad among the last `calls` calls that are not older than `span` seconds."""

    __slots__ = ("_bad", "_entries", "_span")

    def __init__(self, calls: int, span: float) -> None:
        self._entries: deque[tuple[float, bool]] = deque(maxlen=calls)
        self._span = span
        self._bad = 0

    def add(self, now: float, bad: bool) -> None:
        if len(self._entries) == self._entries.maxlen:
            self._bad -= self._entries[0][1]
        self._entries.append((now, bad))
        self._bad += bad

    def count(self, now: float) -> tuple[int, int]:
        """How many were bad, of how many calls."""
        while self._entries and self._entries[0][0] < now - self._span:
            self._bad -= self._entries.popleft()[1]
        return self._bad, len(self._entries)

    def clear(self) -> None:
        self._entries.clear()
        self._bad = 0
