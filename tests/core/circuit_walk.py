"""The circuit under any sequence of calls, held against the rules in words after each of them.

`walk` takes as many random steps as it is asked for; `make prove` asks for a million. The hypothesis machine in
`test_breaker.py` drives the same checks and shrinks what it finds.
"""

import random
from collections import Counter
from dataclasses import dataclass

from rerankd.core.breaker import Breaker, BreakerPolicy, Permit, Verdict

__all__ = ["CheckedCircuit", "walk"]

_SECONDS = 1000.0
_ROUNDING = 1e-6


@dataclass(slots=True, eq=False)
class Given:
    """A permit that somebody holds, and what is known of it from outside."""

    permit: Permit
    opened: int
    """How often the circuit had changed its state when it was given."""
    lease: float | None
    ends: int = 0


class CheckedCircuit:
    """A breaker that is checked from outside, by a book of its own, at every step."""

    def __init__(self, policy: BreakerPolicy, *, remote: bool, seed: int = 0) -> None:
        self.policy = policy
        self.now = 0.0
        self.given: list[Given] = []
        self.changes: Counter[str] = Counter()
        self._breaker = Breaker(policy, remote=remote, draw=random.Random(seed).random)
        self._judged: list[tuple[float, bool]] = []
        self._changed = 0
        self._failures = 0
        """Openings since it was last closed: each doubles the wait."""
        self._good = 0
        self._probe: Given | None = None
        self._may_probe_at = 0.0

    @property
    def state(self) -> str:
        return self._breaker.state

    # -- steps ----------------------------------------------------------------------------------------------

    def advance(self, seconds: float) -> None:
        self.now += seconds
        self._check()

    def advance_to_wake(self) -> None:
        wakes = self._breaker.next_wake()
        if wakes is not None:
            self.now = max(self.now, wakes)
        self._check()

    def permit(self, budget: float = 1.0) -> Given | None:
        """A caller asks."""
        before, lost = self._before()
        permit = self._breaker.permit(self.now, self.now + budget)
        if before == "closed":
            assert permit is not None, "closed: everybody gets a permit"
            assert not permit.probe, "closed: nobody is a probe"
        elif not self._breaker.remote:
            assert permit is None, "a caller is never the probe of a local scorer"
            assert self.state == before, "a caller who is turned away changes nothing"
            return None
        return self._took(permit, before, lost)

    def probe(self) -> Given | None:
        """The timer asks, for a local scorer."""
        before, lost = self._before()
        return self._took(self._breaker.probe(self.now), before, lost)

    def end(self, given: Given, verdict: Verdict) -> None:
        """A permit ends; it may be stale, or have ended before."""
        before, lost = self._before()
        # a second end is not even a look at the clock
        lost = lost and not given.ends
        fresh = given.opened == self._changed and not given.ends and not lost
        counted = self._breaker.end(given.permit, verdict, self.now)
        assert counted is fresh, "an end counts once, and only while its permit is not stale"
        given.ends += 1
        assert given.permit.ended
        if fresh and before == "closed" and verdict is not Verdict.UNJUDGED:
            self._judged.append((self.now, verdict is Verdict.BAD))
        if self._probe is given:
            self._probe = None
        self._moved(before, self._expected(before, lost, given if fresh else None, verdict))

    def heal(self) -> None:
        """Whatever the state: with good probes it closes, after one wait and one lease at the most."""
        began, probes = self.now, 0
        while self.state != "closed":
            given = self.permit() if self._breaker.remote else self.probe()
            if given is None:
                wakes = self._breaker.next_wake()
                assert wakes is not None, "stuck: it neither lets a probe through nor says when it will"
                assert wakes > self.now, "stuck: it names a moment that has passed"
                self.now = wakes
                continue
            probes += 1
            assert probes <= self.policy.probes_to_close, "stuck: good probes do not close it"
            self.end(given, Verdict.GOOD)
        longest = self._longest() * (1 + self.policy.jitter)
        assert self.now - began <= (longest + self._longest_lease()) / _SECONDS + _ROUNDING
        assert self.permit() is not None

    # -- the book -------------------------------------------------------------------------------------------

    def _before(self) -> tuple[str, bool]:
        """The state before a step, and whether this step finds that the probe's lease ran out."""
        probe = self._probe
        lost = probe is not None and probe.lease is not None and self.now >= probe.lease
        return self.state, lost

    def _took(self, permit: Permit | None, before: str, lost: bool) -> Given | None:
        if before == "closed":
            assert not lost
        self._moved(before, self._expected(before, lost, None, None))
        if permit is None:
            if self.state == "half_open":
                assert self._probe is not None, "half-open with no probe under way: one must be let through"
            return None
        lease = None
        if permit.probe:
            assert self.state == "half_open", "a probe is let through in half-open only"
            assert self._probe is None, "at most one probe is under way"
            lease = self._breaker.next_wake()
            assert lease is not None, "a probe has a lease"
            assert self.now < lease <= self.now + self._longest_lease() / _SECONDS + _ROUNDING
        given = Given(permit, self._changed, lease)
        if permit.probe:
            self._probe = given
        self.given.append(given)
        return given

    def _expected(self, before: str, lost: bool, ended: Given | None, verdict: Verdict | None) -> str:
        """The state that the table gives; asking and ending differ only in who calls."""
        if before == "closed":
            return "open" if ended is not None and self._too_many_bad() else "closed"
        if before == "open":
            # an ending never lets a probe through
            return "half_open" if verdict is None and self.now >= self._may_probe_at else "open"
        if lost or (ended is not None and verdict is Verdict.BAD):
            return "open"
        if ended is not None and verdict is Verdict.GOOD:
            self._good += 1
            return "closed" if self._good == self.policy.probes_to_close else "half_open"
        return "half_open"

    def _too_many_bad(self) -> bool:
        policy = self.policy
        oldest = self.now - policy.window_ms / _SECONDS
        recent = [bad for at, bad in self._judged[-policy.window_calls :] if at >= oldest]
        return len(recent) >= policy.min_calls and sum(recent) >= policy.bad_share * len(recent)

    def _moved(self, before: str, expected: str) -> None:
        assert self.state == expected, f"from {before} it went to {self.state} instead of {expected}"
        if before != expected:
            self.changes[f"{before} -> {expected}"] += 1
            self._changed += 1
            self._good, self._probe = 0, None
            self._judged.clear()
            if expected == "open":
                self._opened()
            elif expected == "closed":
                self._failures = 0
        del self._judged[: -self.policy.window_calls]
        self._check()

    def _opened(self) -> None:
        wakes = self._breaker.next_wake()
        assert wakes is not None, "open: it says when it may be probed"
        wait = min(self.policy.open_ms * 2.0 ** min(self._failures, 60), self._longest()) / _SECONDS
        low, high = wait * (1 - self.policy.jitter), wait * (1 + self.policy.jitter)
        assert low - _ROUNDING <= wakes - self.now <= high + _ROUNDING, "the wait doubles, within its jitter"
        self._failures += 1
        self._may_probe_at = wakes

    def _longest(self) -> float:
        return self.policy.open_max_remote_ms if self._breaker.remote else self.policy.open_max_ms

    def _longest_lease(self) -> float:
        own = self.policy.open_max_remote_ms if self._breaker.remote else 0.0
        return own + self.policy.probe_lease_ms

    def _check(self) -> None:
        wakes = self._breaker.next_wake()
        if self.state == "closed":
            assert wakes is None
        elif self.state == "open":
            assert wakes is not None
        live = [each for each in self.given[-3:] if each is self._probe]
        assert len(live) <= 1
        assert self.state == "half_open" or self._probe is None


def walk(steps: int, seed: int = 0) -> Counter[str]:
    """Take so many random steps, under a new random policy now and then; counts the changes of state."""
    draw = random.Random(seed)
    changes: Counter[str] = Counter()
    done = 0
    while done < steps:
        circuit = CheckedCircuit(_random_policy(draw), remote=draw.random() < 0.5, seed=draw.getrandbits(32))
        sickness = 0.0
        for number in range(min(steps - done, 1_000)):
            if number % 200 == 0:
                # healthy for a while, then sick, or worse
                sickness = draw.choice((0.0, 0.1, 0.5, 0.9, 1.0))
            _step(circuit, draw, sickness)
            done += 1
        circuit.heal()
        changes += circuit.changes
    return changes


def _step(circuit: CheckedCircuit, draw: random.Random, sickness: float) -> None:
    what = draw.random()
    if what < 0.3:
        circuit.permit(budget=draw.choice((0.01, 1.0, 100.0, float("inf"))))
    elif what < 0.4:
        circuit.probe()
    elif what < 0.5:
        circuit.advance(draw.choice((0.0, 0.001, 0.1, 1.0, 20.0)))
    elif what < 0.55:
        circuit.advance_to_wake()
    elif what < 0.5505:
        circuit.heal()
    elif circuit.given:
        given = draw.choice(circuit.given[-4:]) if draw.random() < 0.8 else draw.choice(circuit.given)
        verdict = Verdict.BAD if draw.random() < sickness else Verdict.GOOD
        circuit.end(given, Verdict.UNJUDGED if draw.random() < 0.1 else verdict)
    if len(circuit.given) > 50:
        # the oldest are lost: their holders died
        del circuit.given[:25]


def _random_policy(draw: random.Random) -> BreakerPolicy:
    if draw.random() < 0.5:
        return BreakerPolicy()
    calls = draw.randint(1, 30)
    open_ms = draw.choice((1.0, 100.0, 1_000.0))
    return BreakerPolicy(
        window_calls=calls,
        window_ms=draw.choice((1.0, 100.0, 10_000.0)),
        min_calls=draw.randint(1, calls),
        bad_share=draw.choice((0.01, 0.3, 0.5, 1.0)),
        open_ms=open_ms,
        open_max_ms=open_ms * draw.choice((1.0, 2.0, 7.0)),
        open_max_remote_ms=open_ms * draw.choice((1.0, 30.0)),
        jitter=draw.choice((0.0, 0.1, 0.9)),
        probes_to_close=draw.randint(1, 5),
        probe_lease_ms=draw.choice((1.0, 1_000.0)),
    )
