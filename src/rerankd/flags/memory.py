"""The switch inside the process."""

from collections.abc import Mapping

from rerankd.core.flag import Flag

__all__ = ["FixedFlag", "MemoryFlag"]


class MemoryFlag:
    """A flag that code or the admin route sets. Any thread may read and set it."""

    name = "memory"
    immediate = True

    def __init__(self, flag: Flag) -> None:
        self._flag = flag

    def read(self, context: Mapping[str, str]) -> Flag | None:
        return self._flag

    def set(self, flag: Flag) -> None:
        """Change the flag. In force at the next read."""
        self._flag = flag  # one reference is replaced whole, so that no lock is needed


class FixedFlag:
    """A flag that nothing can change while the process runs, named after what fixed it."""

    immediate = True

    def __init__(self, flag: Flag, *, name: str) -> None:
        self._flag = flag
        self._name = name

    @property
    def name(self) -> str:
        return self._name

    def read(self, context: Mapping[str, str]) -> Flag | None:
        return self._flag
