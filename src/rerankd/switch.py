"""The flag as it is known now: asked for at once where that is free, else polled off the request path."""

import threading
from collections.abc import Callable, Mapping

from rerankd.core.events import Event, FlagChanged
from rerankd.core.flag import Flag
from rerankd.core.ports import FlagSource, FlagStore
from rerankd.engine.poller import Poller
from rerankd.errors import ConfigError

__all__ = ["Switch"]


class Switch:
    """Keeps the last known flag; a source that cannot say leaves it in force."""

    def __init__(
        self, source: FlagSource | Flag, *, poll_seconds: float, emit: Callable[[Event], None]
    ) -> None:
        """A bare flag is kept in here, and can be changed with `set`."""
        self._source: FlagSource = _Held(source) if isinstance(source, Flag) else source
        self._poll_seconds = poll_seconds
        self._emit = emit
        self._flag = Flag()
        self._closed = False
        self.reset()
        self._read()

    def reset(self) -> None:
        """In a forked child the polling thread is gone; the next use starts it again."""
        self._lock = threading.Lock()
        self._poller: Poller | None = None

    @property
    def source(self) -> str:
        return self._source.name

    def now(self) -> Flag:
        """The flag in force."""
        if self._source.immediate:
            self._read()
        elif self._poller is None:
            with self._lock:
                if self._poller is None and not self._closed:
                    self._poller = Poller(self._read, self._poll_seconds)
        return self._flag

    def set(self, flag: Flag) -> None:
        """Change the in-process flag. Raises `ConfigError` when a file or a provider owns it."""
        if not isinstance(self._source, FlagStore):
            raise ConfigError(f"the flag is owned by {self._source.name}: change it there")
        self._source.set(flag)
        self._read()

    def close(self) -> None:
        with self._lock:
            self._closed = True
            if self._poller is not None:
                self._poller.close()

    def _read(self) -> None:
        flag = self._source.read({})
        if flag is not None and flag != self._flag:
            previous, self._flag = self._flag, flag
            self._emit(FlagChanged(flag=flag, previous=previous, source=self._source.name))


class _Held:
    """The flag where no source was given."""

    name = "memory"
    immediate = True

    def __init__(self, flag: Flag) -> None:
        self._flag = flag

    def read(self, context: Mapping[str, str]) -> Flag | None:
        return self._flag

    def set(self, flag: Flag) -> None:
        self._flag = flag
