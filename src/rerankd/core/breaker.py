"""The circuit: it stops asking a scorer that fails, and asks again carefully.

In words. *Closed*: every request gets a permit, and the last calls are judged; when there are enough of
them and too many were bad, it opens. *Open*: nobody gets a permit until the wait is over. *Half-open*:
probes go one at a time, each with a lease, so that a lost probe cannot keep it half-open for ever; enough
good ones in a row close it, a bad one opens it again for twice as long. A local scorer is probed with a
synthetic pair, so that no caller pays; a remote one with a caller's own request.

The exceptions to the table: a permit carries the generation in which it was given, and ending a stale one
changes nothing; a probe that ended without a verdict (it was cancelled or shed) only frees its place.

After Resilience4j's CircuitBreaker (states, sliding window) and Polly's controller (permits that end once).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from rerankd.core.events import CircuitState
from rerankd.core.policy import check_at_least, check_range
from rerankd.core.window import Window

__all__ = ["TRANSITIONS", "Breaker", "BreakerPolicy", "Permit", "Verdict"]

TRANSITIONS: tuple[tuple[CircuitState, str, CircuitState, str], ...] = (
    ("closed", "too many bad calls", "open", "the window is cleared, the wait is `open_ms`"),
    ("open", "the wait is over", "half_open", "one probe at a time"),
    ("half_open", "enough good probes in a row", "closed", "the wait is reset, the window is empty"),
    ("half_open", "a bad probe", "open", "the wait doubles, up to its maximum"),
    ("half_open", "a probe's lease ran out", "open", "the wait doubles, up to its maximum"),
)
"""State, what happens, next state, what else changes. The docs' table is made from this one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerPolicy:
    """When the circuit opens and how it heals. Modelled on Resilience4j, tuned to a local model."""

    window_calls: int = 20
    """How many of the last calls are judged."""
    window_ms: float = 10_000.0
    """Calls older than this are forgotten."""
    min_calls: int = 10
    """Fewer calls than this never open the circuit."""
    bad_share: float = 0.5
    """The share of bad calls, from 0 to 1, at which it opens."""
    open_ms: float = 1_000.0
    """How long it stays open the first time; doubles with each failed recovery."""
    open_max_ms: float = 2_000.0
    """The longest it stays open for a local scorer."""
    open_max_remote_ms: float = 30_000.0
    """The longest it stays open for a remote scorer."""
    jitter: float = 0.1
    """The open time varies by up to this share, so that replicas do not probe in step."""
    probes_to_close: int = 3
    """Good probes in a row that close it."""
    probe_lease_ms: float = 1_000.0
    """A probe that has not ended by then counts as bad, so that half-open can never stick."""

    def __post_init__(self) -> None:
        check_range(self, "window_calls", 1)
        check_range(self, "window_ms", 1)
        check_range(self, "min_calls", 1, self.window_calls)
        check_range(self, "bad_share", 0.01, 1)
        check_range(self, "open_ms", 1)
        check_at_least(self, "open_max_ms", "open_ms")
        check_at_least(self, "open_max_remote_ms", "open_ms")
        check_range(self, "jitter", 0, 1)
        check_range(self, "probes_to_close", 1)
        check_range(self, "probe_lease_ms", 1)


class Verdict(Enum):
    """How a permit ended."""

    GOOD = "good"
    BAD = "bad"
    UNJUDGED = "unjudged"
    """It says nothing about the scorer: load, a cancelled caller."""


class Permit:
    """Leave to ask the scorer. Ends exactly once."""

    __slots__ = ("_generation", "_lease", "ended", "probe")

    def __init__(self, generation: int, lease: float | None) -> None:
        self._generation = generation
        self._lease = lease
        self.probe = lease is not None
        self.ended = False


class Breaker:
    """The circuit's state. Time is an argument; the owner holds a lock around every call."""

    __slots__ = (
        "_draw",
        "_generation",
        "_good",
        "_lease",
        "_policy",
        "_until",
        "_wait",
        "_window",
        "judged",
        "remote",
        "state",
    )

    def __init__(self, policy: BreakerPolicy, *, remote: bool = False, draw: Callable[[], float]) -> None:
        """`draw` gives a number from [0, 1) for the jitter."""
        self._policy = policy
        self.remote = remote
        self._draw = draw
        self._window = Window(policy.window_calls, policy.window_ms / 1000)
        self._generation = 0
        self._wait = 0.0
        self._until = -math.inf
        self._good = 0
        self._lease: float | None = None
        self.state: CircuitState = "closed"
        self.judged = (0, 0)
        """Bad calls and all calls in the window, when it was last judged."""

    def permit(self, now: float, deadline: float = math.inf) -> Permit | None:
        """Leave for a caller's request, or None: answer without the scorer."""
        if self.state == "closed":
            return Permit(self._generation, None)
        return self.probe(now, deadline) if self.remote else None

    def probe(self, now: float, deadline: float = -math.inf) -> Permit | None:
        """Leave for a probe, or None: too early, or another one is under way.

        Its lease lasts to the deadline of the request that is the probe, within reason.
        """
        self._expire(now)
        if self.state == "open" and now >= self._until:
            self._enter("half_open")
            self._good = 0
        if self.state != "half_open" or self._lease is not None:
            return None
        own = min(deadline, now + self._policy.open_max_remote_ms / 1000)
        self._lease = max(own, now) + self._policy.probe_lease_ms / 1000
        return Permit(self._generation, self._lease)

    def end(self, permit: Permit, verdict: Verdict, now: float) -> bool:
        """End a permit; tells whether that still mattered: a stale permit or a second end changes nothing."""
        if permit.ended:
            return False
        permit.ended = True
        self._expire(now)
        if permit._generation != self._generation:
            return False
        if permit.probe:
            self._end_probe(verdict, now)
        elif verdict is not Verdict.UNJUDGED:
            self._judge(verdict is Verdict.BAD, now)
        return True

    def next_wake(self) -> float | None:
        """When to call `probe` next, if the state is to change by itself; None: never."""
        if self.state == "open":
            return self._until
        return self._lease if self.state == "half_open" else None

    def _judge(self, bad: bool, now: float) -> None:
        self._window.add(now, bad)
        wrong, calls = self.judged = self._window.count(now)
        if calls >= self._policy.min_calls and wrong >= self._policy.bad_share * calls:
            self._window.clear()
            self._open(now)

    def _end_probe(self, verdict: Verdict, now: float) -> None:
        self._lease = None
        if verdict is Verdict.BAD:
            self._open(now)
        elif verdict is Verdict.GOOD:
            self._good += 1
            if self._good >= self._policy.probes_to_close:
                self._wait = 0.0
                self._enter("closed")

    def _expire(self, now: float) -> None:
        if self._lease is not None and now >= self._lease:
            self._open(now)

    def _open(self, now: float) -> None:
        policy = self._policy
        longest = policy.open_max_remote_ms if self.remote else policy.open_max_ms
        self._wait = min(self._wait * 2 or policy.open_ms, longest)
        varied = self._wait * (1 + policy.jitter * (2 * self._draw() - 1))
        self._until = now + varied / 1000
        self._lease = None
        self._enter("open")

    def _enter(self, state: CircuitState) -> None:
        # permits of the state before are stale from here on
        self._generation += 1
        self.state = state
