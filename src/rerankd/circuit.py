"""The gate and the circuit behind one lock, and the probes that heal it.

Lock ownership: `_lock` guards the breaker. It is never held while the engine is called, a probe runs, or an
event is emitted.
"""

import random
import threading
from collections.abc import Callable
from typing import NamedTuple

from rerankd.core import gate
from rerankd.core.breaker import Breaker, BreakerPolicy, Permit, Verdict
from rerankd.core.events import CircuitChanged, CircuitState, Event, ModelState
from rerankd.core.flag import Flag
from rerankd.core.ports import Clock

__all__ = ["Circuit"]

_PROBE_AGAIN = 0.1
"""Seconds after which a probe that gave no verdict is repeated."""

Probe = Callable[[float, Callable[[Verdict], None]], None]
"""Scores a synthetic pair within so many seconds, and tells once how that went."""
CallAt = Callable[[float, Callable[[], None]], None]


class _News(NamedTuple):
    state: CircuitState
    previous: CircuitState
    bad: int
    calls: int
    wakes: float | None
    """When to ask for a probe, where that is new."""


class Circuit:
    """Gives permits and ends them; a local scorer's circuit heals by itself, without a caller's request."""

    def __init__(
        self,
        policy: BreakerPolicy,
        *,
        clock: Clock,
        emit: Callable[[Event], None],
        name: Callable[[], str],
        probe: Probe,
        call_at: CallAt,
        draw: Callable[[], float] = random.random,
    ) -> None:
        """`draw` gives a number from [0, 1) for the jitter of the open time."""
        self._policy = policy
        self._clock = clock
        self._emit = emit
        self._name = name
        self._probe = probe
        self._call_at = call_at
        self._draw = draw
        self._turn = 0
        """Which of the arranged calls of `_ask` still holds: the last one."""
        self.reset(remote=False)

    def reset(self, *, remote: bool) -> None:
        """Closed and without a memory: for a new scorer, or in a forked child."""
        self._lock = threading.Lock()
        self._breaker = Breaker(self._policy, remote=remote, draw=self._draw)
        self._told: CircuitState = "closed"
        self._wakes: float | None = None
        self._turn += 1

    @property
    def state(self) -> CircuitState:
        return self._breaker.state

    def decide(
        self, *, flag: Flag, draw: float, model: ModelState, rate_limited: bool, deadline: float
    ) -> gate.Skip | gate.Go:
        """Whether a request may ask the scorer. `deadline`: as long as the lease of a probe that it becomes."""
        with self._lock:
            decision = gate.decide(
                flag=flag,
                draw=draw,
                model=model,
                breaker=self._breaker,
                rate_limited=rate_limited,
                now=self._clock.now(),
                deadline=deadline,
            )
            news = self._news()
        self._tell(news)
        return decision

    def end(self, permit: Permit, verdict: Verdict) -> None:
        """End a permit; a second time changes nothing."""
        with self._lock:
            self._breaker.end(permit, verdict, self._clock.now())
            news = self._news()
        self._tell(news)

    def _news(self) -> _News | None:
        """Under the lock: what is to be told and done about a change, once the lock is free again."""
        breaker = self._breaker
        # a remote scorer is asked by a caller's request; a local one at its moment, a lost probe's included
        wakes = None if breaker.remote else breaker.next_wake()
        if breaker.state == self._told and wakes == self._wakes:
            return None
        news = _News(breaker.state, self._told, *breaker.judged, None if wakes == self._wakes else wakes)
        self._told, self._wakes = breaker.state, wakes
        return news

    def _tell(self, news: _News | None) -> None:
        if news is None:
            return
        if news.wakes is not None:
            self._ask_at(news.wakes)
        if news.state != news.previous:
            self._emit(
                CircuitChanged(
                    scorer=self._name(),
                    state=news.state,
                    previous=news.previous,
                    bad=news.bad,
                    calls=news.calls,
                )
            )

    def _ask_at(self, at: float) -> None:
        """Ask then, and no longer when it was meant to be: else each probe without a verdict would leave two."""
        with self._lock:
            self._turn += 1
            turn = self._turn
        self._call_at(at, lambda: self._ask(turn))

    def _ask(self, turn: int) -> None:
        """Probe, if it is time to; at the end of a probe's lease this opens the circuit again."""
        with self._lock:
            if turn != self._turn:
                return
            permit = self._breaker.probe(self._clock.now())
            news = self._news()
        self._tell(news)
        if permit is not None:
            self._probe(self._policy.probe_lease_ms / 1000, lambda verdict: self._heard(permit, verdict))

    def _heard(self, permit: Permit, verdict: Verdict) -> None:
        now = self._clock.now()
        with self._lock:
            mattered = self._breaker.end(permit, verdict, now)
            again = mattered and self._breaker.state == "half_open"
            news = self._news()
        self._tell(news)
        if again:
            self._ask_at(now if verdict is Verdict.GOOD else now + _PROBE_AGAIN)
