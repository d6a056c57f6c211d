"""Loads the model on a thread of its own, and goes on trying until it can be loaded."""

import threading
from collections.abc import Callable
from concurrent.futures import Future

from rerankd.core.ports import Clock, Model
from rerankd.engine.calibration import Calibration, calibrate
from rerankd.errors import RerankdError

__all__ = ["Loader"]


class Loader:
    """One attempt after another, with growing pauses, until one succeeds or it is closed."""

    def __init__(
        self,
        load: Callable[[], Model],
        *,
        clock: Clock,
        retry: float,
        retry_max: float,
        loaded: Callable[[Model, Calibration, float], None],
        failed: Callable[[str], None],
        closed: bool = False,
    ) -> None:
        """`retry`: seconds to the second attempt, doubling up to `retry_max`.

        `loaded` gets the model, its timing and the seconds it took; `failed` the reason. Both are called on
        the loader's thread.
        """
        self._load = load
        self._clock = clock
        self._retry = retry
        self._retry_max = retry_max
        self._on_loaded = loaded
        self._on_failed = failed
        self._closed = threading.Event()
        if closed:
            self._closed.set()
        self.tried: Future[None] = Future()
        """Done when the first attempt has ended, either way."""
        self.ended: Future[None] = Future()
        """Done when the model is loaded, or nobody tries any more."""
        self.error: BaseException | None = None
        """Why the last attempt failed."""
        self._thread = threading.Thread(target=self._loop, name="rerankd-loader", daemon=True)
        self._begin()

    def _begin(self) -> None:
        self._thread.start()

    def close(self) -> None:
        self._closed.set()
        if self._thread is not threading.current_thread():
            self._thread.join(1.0)

    def _loop(self) -> None:
        pause = self._retry
        try:
            while not self._closed.is_set() and not self._attempt():
                if self._closed.wait(pause):
                    break
                pause = min(pause * 2, self._retry_max)
        finally:
            # whatever ended this thread: nobody may wait for it for ever
            self._tell()
            self._end()

    def _attempt(self) -> bool:
        began = self._clock.now()
        try:
            self._take(self._load(), began)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - the loader's boundary: no model is an answer
            self.error = error
            reason = str(error) if isinstance(error, RerankdError) else f"loading failed: {error!r}"
            self._on_failed(reason)
            self._tell()
            return False
        self.error = None
        self._tell()
        self._end()
        return True

    def _take(self, model: Model, began: float) -> None:
        try:
            measured = calibrate(model, self._clock)
        except BaseException:
            # it may hold a process or a device's memory, and the next attempt makes another one
            model.close()
            raise
        if self._closed.is_set():
            model.close()
        else:
            self._on_loaded(model, measured, self._clock.now() - began)

    def _tell(self) -> None:
        if not self.tried.done():
            self.tried.set_result(None)

    def _end(self) -> None:
        if not self.ended.done():
            self.ended.set_result(None)
