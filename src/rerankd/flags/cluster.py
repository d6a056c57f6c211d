"""The switch of many processes at once: kept in one place of a cluster, and read from there by all of them."""

from collections.abc import Mapping
from typing import Any, Protocol

from rerankd.core.flag import Flag
from rerankd.errors import ConfigError
from rerankd.flags.notation import flag_from_object, flag_to_object

__all__ = ["Cell", "ClusterFlag"]


class Cell(Protocol):
    """A place for one value that every process of the cluster sees. Raises `OSError` when it cannot be reached."""

    def read(self) -> Any:
        """What was written last; None: nothing, as after the place was lost and made anew."""
        ...

    def write(self, value: Any) -> None: ...


class ClusterFlag:
    """A flag that any of the processes sets, and that holds for all of them when each has polled."""

    name = "cluster"
    immediate = False

    def __init__(self, cell: Cell) -> None:
        self._cell = cell
        self._known: Flag | None = None

    def read(self, context: Mapping[str, str]) -> Flag | None:
        """The flag; None where it was never set, or cannot be read now.

        A place that has forgotten it, because the machine that held it is gone, is told again by whoever asks
        first: a flag that was switched off stays off.
        """
        try:
            found = self._cell.read()
            if found is None:
                if self._known is not None:
                    self._cell.write(flag_to_object(self._known))
                return self._known
        except OSError:
            return None
        self._known = flag_from_object(found)
        return self._known

    def set(self, flag: Flag) -> None:
        """Change the flag for all. Raises `ConfigError` when the cluster does not answer."""
        try:
            self._cell.write(flag_to_object(flag))
        except OSError as error:
            raise ConfigError(f"the flag cannot be changed: {error}") from error
        self._known = flag
