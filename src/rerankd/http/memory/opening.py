"""The service's memory: opened beside everything else, and again until that succeeds.

Reranking does not wait for a database that is down, and does not end with it.
"""

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Self

from rerankd.errors import BackendError, SealError, StoreError
from rerankd.http.memory.bodies import MemoryState
from rerankd.http.refusal import Refusal
from rerankd.memory.policy import MemoryPolicy

if TYPE_CHECKING:
    from rerankd.memory.memory import Memory

__all__ = ["ServedMemory", "served"]

_log = logging.getLogger(__name__)


class ServedMemory:
    """An asynchronous context manager that is entered at once; the memory follows when it is there."""

    def __init__(
        self, make: "Callable[[], Memory]", *, retry_ms: float = 1_000.0, retry_max_ms: float = 30_000.0
    ) -> None:
        """`make`: a memory that is not open yet. It is called here once, so that a wrong setting stops the
        start; and again for every further attempt."""
        self._make = make
        self._next: Memory | None = make()
        self.policy: MemoryPolicy = self._next.policy
        self._retry_s, self._most_s = retry_ms / 1000, retry_max_ms / 1000
        self._memory: Memory | None = None
        self._why: StoreError | SealError | BackendError | None = None
        self._ending = asyncio.Event()
        self._opening: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._opening = asyncio.create_task(self._open())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._ending.set()
        if self._opening is not None:
            # not cancelled: a database that is just being started must be stopped again
            await self._opening
        memory, self._memory = self._memory, None
        if memory is not None:
            await memory.__aexit__(None, None, None)

    @property
    def state(self) -> MemoryState:
        if self._memory is not None:
            return "ready"
        return "opening" if self._why is None else "failed"

    def of_tenant(self, tenant: str) -> "Memory":
        """The memory of one tenant. Raises why it is not open: `StoreError`, `SealError` or `BackendError`."""
        if self._memory is not None:
            return self._memory.of_tenant(tenant)
        if self._why is not None:
            raise self._why.with_traceback(None)
        raise StoreError("the memory is not open yet")

    async def _open(self) -> None:
        wait = self._retry_s
        while not self._ending.is_set():
            memory, self._next = self._next or self._make(), None
            try:
                self._memory = await memory.__aenter__()
            except (StoreError, SealError, BackendError) as error:
                if str(error) != str(self._why):
                    _log.warning("the memory cannot be opened, and is tried again: %s", error)
                self._why = error
            else:
                _log.info("the memory is open")
                return
            with suppress(TimeoutError):
                await asyncio.wait_for(self._ending.wait(), wait)
            wait = min(2 * wait, self._most_s)


def served(memory: ServedMemory | None) -> ServedMemory:
    """The memory. Raises `Refusal` (404) where none is served."""
    if memory is None:
        raise Refusal(
            "not_found",
            "no memory is served here: start it with `rerankd serve --memory`, or set RERANKD_HTTP_MEMORY",
            code="memory_off",
        )
    return memory
