"""The flag as it is known now: asked for at once where that is free, else polled off the request path."""

import logging
import threading
from collections.abc import Callable

from rerankd.core.events import Event, FlagChanged
from rerankd.core.flag import Flag
from rerankd.core.ports import FlagSource, FlagStore
from rerankd.engine.poller import Poller
from rerankd.errors import ConfigError

__all__ = ["Switch"]

_log = logging.getLogger(__name__)


class Switch:
    """Keeps the last known flag; a source that cannot say leaves it in force."""

    def __init__(
        self, source: FlagSource, *, initial: Flag, poll_seconds: float, emit: Callable[[Event], None]
    ) -> None:
        """`initial` holds until the source has spoken."""
        self._source = source
        self._poll_seconds = poll_seconds
        self._emit = emit
        self._flag = initial
        self._closed = False
        self.reset()
        if source.immediate:
            self._read()

    def reset(self) -> None:
        """In a forked child the polling thread is gone; the next use starts it again."""
        self._lock = threading.Lock()
        self._poller: Poller | None = None

    @property
    def source(self) -> str:
        return self._source.name

    def start(self) -> Poller | None:
        """Begin to poll a source that has to be; None: this one is asked each time."""
        if self._source.immediate:
            return None
        with self._lock:
            if self._poller is None and not self._closed:
                self._poller = Poller(self._read, self._poll_seconds)
            return self._poller

    def now(self) -> Flag:
        """The flag in force."""
        if self._source.immediate:
            self._read()
        elif self._poller is None:
            self.start()
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
        # a provider of feature flags has threads of its own; a file has nothing to close
        close = getattr(self._source, "close", None)
        if close is not None:
            close()

    def _read(self) -> None:
        try:
            flag = self._source.read({})
        except Exception as error:  # noqa: BLE001 - a source's boundary: the last known flag stays in force
            _log.warning("the flag's source %s failed: %s", self._source.name, type(error).__name__)
            return
        if flag is not None and flag != self._flag:
            previous, self._flag = self._flag, flag
            self._emit(FlagChanged(flag=flag, previous=previous, source=self._source.name))
