"""Watches over the scorer's process, and replaces it when it ends, is stopped or hangs.

In words. One thread starts a process, waits until its model is loaded, and then looks at it again and again.
Its end is seen at once, on the control socket and by whoever waits on a channel. One that was stopped, or in
which a run goes on although it was told to stop, is killed, which makes the two cases one. Then the next one
is started: at once, if the last had worked for a while, else after a pause that doubles.

Time is counted as this thread lives through it: a machine that stood still for a minute has not watched a run
hang for a minute.

Lock ownership: `_lock` guards who may use which process. It is never held while anything is sent or told.
"""

import itertools
import logging
import os
import threading
import weakref
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from typing import Any

from rerankd.backends.isolation import frames
from rerankd.backends.isolation.channel import Channel
from rerankd.backends.isolation.frames import Frame, Kind
from rerankd.backends.isolation.policy import IsolationPolicy
from rerankd.backends.isolation.process import ScorerProcess
from rerankd.core.events import LossCause, ModelState
from rerankd.core.ports import Clock, HealthChange, ScorerTraits
from rerankd.errors import BackendError, ConfigError

__all__ = ["Loaded", "Supervisor"]

_log = logging.getLogger(__name__)

_WORDS: dict[LossCause, str] = {
    "died": "the scorer's process ended",
    "stopped": "the scorer's process was stopped",
    "hung": "the scorer's process hung",
}


class Loaded:
    """What a process says of the model that it has loaded."""

    __slots__ = ("digest", "encodes", "max_tokens", "traits")

    def __init__(self, told: Mapping[str, Any]) -> None:
        self.traits = ScorerTraits(**told["traits"])
        self.max_tokens = int(told["max_tokens"])
        self.encodes = bool(told["encodes"])
        self.digest = str(told["digest"])

    def same_scores(self, other: "Loaded") -> bool:
        """Whether its answers mean the same. Another device, or more room in it, is no other model."""
        return self._meaning() == other._meaning()

    def _meaning(self) -> tuple[object, ...]:
        traits = self.traits
        return traits.model, traits.unit, traits.activation, self.max_tokens, self.encodes


class Supervisor:
    """One scorer's process after another. The `Health` port."""

    def __init__(
        self,
        start: Mapping[str, Any],
        *,
        policy: IsolationPolicy,
        clock: Clock,
        process: Callable[..., ScorerProcess] = ScorerProcess,
    ) -> None:
        """`start`: what the child is told to load; see `isolated.load_isolated`."""
        self._start = start
        self._policy = policy
        self._clock = clock
        self._make = process
        self._lock = threading.Lock()
        self._process: ScorerProcess | None = None
        """The one that may be asked."""
        self._current: ScorerProcess | None = None
        """The one that there is, also while it loads or ends."""
        self._changed: Callable[[HealthChange], None] | None = None
        self._state: ModelState = "loading"
        self._error: str | None = None
        self._closed = threading.Event()
        self._runs = itertools.count(1)
        self._patience = _Patience(policy)
        self.first: Future[Loaded] = Future()
        """What the first process has loaded, or why it could not; then nothing is tried again."""
        self.loaded: Loaded | None = None
        self._thread = threading.Thread(target=self._live, name="rerankd-supervisor", daemon=True)
        _after_fork(self._forked)
        self._thread.start()

    # -- for the scorer ---------------------------------------------------------------------------------

    @property
    def state(self) -> ModelState:
        return self._state

    @property
    def pid(self) -> int | None:
        """The process that scores now; None while it is being replaced."""
        process = self._process
        return None if process is None else process.pid

    def watch(self, changed: Callable[[HealthChange], None]) -> None:
        """Have every change of the state told, on the supervisor's thread; what has changed already, now."""
        with self._lock:
            self._changed = changed
            missed = None if self._state == "ready" else HealthChange(state=self._state, error=self._error)
        if missed is not None:
            changed(missed)

    def ask(self, kind: Kind, payload: bytes, on_stop: Callable[[Callable[[], None]], None]) -> bytes:
        """The answer to one question. `on_stop` is given what tells the process that nobody waits for it.

        Raises `BackendError`, at once while the process is being replaced.
        """
        process = self._process
        if process is None:
            raise BackendError("the scorer's process is being replaced")
        channel, run = process.take(), next(self._runs)
        try:
            channel.begin(kind, run)
            on_stop(lambda: _stop(process, channel, run))
            return channel.ask(kind, run, payload)
        finally:
            process.give_back(channel)

    def close(self) -> None:
        """End the process. Whoever waits for it is answered with an error."""
        self._closed.set()
        with self._lock:
            process = self._process
        if process is not None:
            process.kill()
        if self._thread is not threading.current_thread():
            self._thread.join(2.0)

    # -- the thread -------------------------------------------------------------------------------------

    def _live(self) -> None:
        try:
            short_lived = 0
            while not self._closed.wait(self._pause(short_lived)):
                short_lived = 0 if self._one(self._clock.now()) else short_lived + 1
                if self.loaded is None:
                    break  # it never loaded: whoever asked for it tries again
        finally:
            if not self.first.done():
                self.first.set_exception(BackendError("the scorer's process was closed while loading"))

    def _pause(self, short_lived: int) -> float:
        """Seconds before the next, after so many in a row that did not last."""
        if short_lived < 2:
            return 0.0
        # the exponent is bounded: a service may stay like this for weeks
        doubled = self._policy.restart_ms * 2.0 ** min(short_lived - 2, 32)
        return min(doubled, self._policy.restart_max_ms) / 1000

    def _one(self, began: float) -> bool:
        """One process from its start to its end; tells whether it had scored for long enough."""
        try:
            process = self._make(self._start, nice=self._policy.nice)
        except BackendError as error:
            self._failed(error)
            return False
        self._current = process
        try:
            loaded = self._await_loaded(process)
            if isinstance(loaded, Exception):
                self._failed(loaded)
                return False
            ready = self._clock.now()
            self._ready(process, loaded, ready - began)
            cause = self._watch(process)
            with self._lock:
                self._process = None
                self._state = "loading"
            process.kill()
        finally:
            process.end()
            self._current = None
        if not self._closed.is_set():
            self._lost(cause, process.exit_status)
        return self._clock.now() - ready >= self._policy.steady_ms / 1000

    def _await_loaded(self, process: ScorerProcess) -> Loaded | Exception:
        """What it has loaded, or why not."""
        left, before = self._policy.load_ms / 1000, self._clock.now()
        while left > 0 and not self._closed.is_set():
            said = process.hear(self._policy.tick_ms / 1000)
            now = self._clock.now()
            left -= min(now - before, 2 * self._policy.tick_ms / 1000)
            before = now
            if said == "silence":
                if process.stopped():
                    return BackendError(f"{_WORDS['stopped']} while loading")
            elif said == "end":
                return BackendError(f"{_WORDS['died']} while loading")
            elif said.kind == Kind.READY:
                return self._understood(said)
            elif said.kind == Kind.FAILED:
                told = frames.unpack_json(said.payload)
                return (ConfigError if told["config"] else BackendError)(told["error"])
            else:
                _repeat(said)
        return BackendError("the scorer's process took too long to load")

    def _understood(self, said: Frame) -> Loaded | Exception:
        loaded = Loaded(frames.unpack_json(said.payload))
        if self.loaded is not None and not loaded.same_scores(self.loaded):
            return BackendError("another model lies where the last one was loaded from: restart to use it")
        return loaded

    def _watch(self, process: ScorerProcess) -> LossCause:
        """Look at it until there is a reason to replace it."""
        tick = self._policy.tick_ms / 1000
        self._patience.clear()
        before = self._clock.now()
        while not self._closed.is_set():
            said = process.hear(tick)
            now = self._clock.now()
            # no more than it can have been, had nothing kept this thread from looking
            lived, before = min(now - before, 2 * tick), now
            if said == "end":
                return "died"
            if said != "silence":
                _repeat(said)
            if process.stopped():
                return "stopped"
            if self._patience.exhausted(process.busy(), lived):
                return "hung"
        return "died"

    # -- what is told -----------------------------------------------------------------------------------

    def _ready(self, process: ScorerProcess, loaded: Loaded, seconds: float) -> None:
        first = self.loaded is None
        self.loaded = loaded
        with self._lock:
            self._process = process
            self._state, self._error = "ready", None
            changed = self._changed
        if self._closed.is_set():
            process.kill()
        if first:
            self.first.set_result(loaded)
        elif changed is not None:
            changed(HealthChange(state="ready", seconds=seconds))

    def _failed(self, error: Exception) -> None:
        if self.loaded is None:
            if not self.first.done():
                self.first.set_exception(error)
            return
        # one that ended while loading is worth another attempt like any other
        self._tell(HealthChange(state="unavailable", error=str(error)))

    def _lost(self, cause: LossCause, status: int | None) -> None:
        how = f" (signal {-status})" if status is not None and status < 0 and cause == "died" else ""
        self._tell(HealthChange(state="loading", error=f"{_WORDS[cause]}{how}", cause=cause))

    def _tell(self, change: HealthChange) -> None:
        with self._lock:
            self._state, self._error = change.state, change.error
            changed = self._changed
        if changed is not None and not self._closed.is_set():
            changed(change)

    def _forked(self) -> None:
        """In a forked child of ours: the process is the parent's, and so is what becomes of it."""
        process, self._current, self._process = self._current, None, None
        if process is not None:
            process.abandon()


class _Watched:
    """A run under way, as the supervisor has seen it."""

    __slots__ = ("age", "run", "since_stop")

    def __init__(self, run: int | None) -> None:
        self.run = run
        self.age = 0.0
        self.since_stop: float | None = None


class _Patience:
    """For how long each channel's run was watched, and for how long since it was told to stop."""

    def __init__(self, policy: IsolationPolicy) -> None:
        self._policy = policy
        self._watched: dict[int, _Watched] = {}

    def clear(self) -> None:
        self._watched.clear()

    def exhausted(self, busy: list[Channel], lived: float) -> bool:
        """Whether a run is beyond its limit after another `lived` seconds. The first look only begins to count."""
        before, self._watched = self._watched, {}
        for channel in busy:
            run, stopping = channel.run, channel.stopping
            watched = before.get(channel.number)
            if watched is None or watched.run != run:
                watched = _Watched(run)
            else:
                watched.age += lived
            if stopping:
                watched.since_stop = 0.0 if watched.since_stop is None else watched.since_stop + lived
            self._watched[channel.number] = watched
            limit = self._policy.encode_ms if channel.encodes else self._policy.run_ms
            if (
                watched.age * 1000 >= limit
                or (watched.since_stop or 0.0) * 1000 >= self._policy.stop_grace_ms
            ):
                return True
        return False


def _stop(process: ScorerProcess, channel: Channel, run: int) -> None:
    channel.stopped = run
    process.stop(channel, run)


def _repeat(said: Frame) -> None:
    """A line of the child's own loggers, as if it were ours."""
    if said.kind == Kind.LOG:
        line = frames.unpack_json(said.payload)
        logging.getLogger(line["name"]).log(line["level"], "%s", line["message"])


def _after_fork(method: Callable[[], None]) -> None:
    reference = weakref.WeakMethod(method)

    def call() -> None:
        alive = reference()
        if alive is not None:
            alive()

    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=call)
