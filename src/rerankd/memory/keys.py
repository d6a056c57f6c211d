"""The key-encryption key: what wraps each user's data key. A `Keys` port, and keys that are held here.

A key-management service fits the port: it never hands a key out, and wraps and unwraps by the key's id.
"""

from collections.abc import Sequence
from typing import Protocol

from rerankd.memory.epochs import Epochs
from rerankd.memory.sealing import open_record, seal_record

__all__ = ["Keys", "LocalKeys"]


class Keys(Protocol):
    """Key-encryption keys, each named by an id that picks exactly one. Nothing is ever tried with another."""

    async def ids(self) -> Sequence[str]:
        """Every key that can unwrap, oldest first."""
        ...

    async def current_id(self) -> str:
        """The newest key; makes the first where there is none. Raises `SealError` where none can be made."""
        ...

    async def wrap(self, key_id: str, plain: bytes, *fields: bytes) -> bytes:
        """Seal a data key for the place that `fields` name. Raises `MissingKey`."""
        ...

    async def unwrap(self, key_id: str, wrapped: bytes, *fields: bytes) -> bytes:
        """Open it again. Raises `MissingKey`, and `SealError` when this key does not open it in this place."""
        ...

    async def advance(self, key_id: str) -> str:
        """The id of a key that is newer than `key_id`; makes it where there is none. Raises as `current_id`."""
        ...

    async def destroy(self, key_id: str) -> bool:
        """Make sure that the key is gone for good; False where that is not ours to do."""
        ...


class LocalKeys:
    """Keys in files or in a setting."""

    def __init__(self, epochs: Epochs) -> None:
        self._epochs = epochs

    async def ids(self) -> Sequence[str]:
        return list(self._epochs.all())

    async def current_id(self) -> str:
        return self._epochs.first().id

    async def wrap(self, key_id: str, plain: bytes, *fields: bytes) -> bytes:
        return seal_record(self._epochs.get(key_id).secret, key_id.encode(), plain, *fields)

    async def unwrap(self, key_id: str, wrapped: bytes, *fields: bytes) -> bytes:
        return open_record(self._epochs.get(key_id).secret, key_id.encode(), wrapped, *fields)

    async def advance(self, key_id: str) -> str:
        return self._epochs.after(key_id).id

    async def destroy(self, key_id: str) -> bool:
        return self._epochs.destroy(key_id)
