"""A store in which something happens just before a call."""

from typing import Any

from rerankd.memory.testing import InMemoryStore

__all__ = ["Meddled"]


class Meddled(InMemoryStore):
    """`before` holds what to await, once, before the call of that name."""

    def __init__(self) -> None:
        super().__init__()
        self.before: dict[str, Any] = {}

    async def _called(self, name: str, deadline: Any) -> None:
        meddle = self.before.pop(name, None)
        if meddle is not None:
            await meddle()
        await super()._called(name, deadline)
