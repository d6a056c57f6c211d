"""How many padded tokens one batch may hold: halved when memory ran out, slowly grown back."""

import logging
import threading

__all__ = ["TokenBudget"]

_log = logging.getLogger(__name__)

REGROW_BATCHES = 64
"""Good batches in a row after which the budget doubles again: who else took the memory may have given it back."""


class TokenBudget:
    """The budget in force. Thread-safe."""

    def __init__(self, most: int) -> None:
        """`most`: as many as the memory that is free at the start allows, at least 1."""
        self._most = most
        self._tokens = most
        self._good = 0
        self._lock = threading.Lock()

    @property
    def tokens(self) -> int:
        return self._tokens

    def ran_out(self, padded_tokens: int) -> None:
        """A batch of so many did not fit."""
        with self._lock:
            # another batch that was under way may come back after a smaller one
            self._tokens = max(1, min(self._tokens, padded_tokens // 2))
            self._good = 0
        _log.warning("out of memory: batches now hold at most %d tokens", self._tokens)

    def went_well(self) -> None:
        """A batch came to its end."""
        with self._lock:
            self._good += 1
            if self._good >= REGROW_BATCHES and self._tokens < self._most:
                self._good = 0
                self._tokens = min(self._tokens * 2, self._most)
