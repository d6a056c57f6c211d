"""The circuit behind its lock: permits, news of its changes, and probes at their moments."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from rerankd.circuit import Circuit
from rerankd.core.breaker import BreakerPolicy, Permit, Verdict
from rerankd.core.events import CircuitChanged, Event
from rerankd.core.flag import Flag, Mode
from rerankd.core.gate import Go, Skip
from rerankd.core.types import Reason
from rerankd.testing import FakeClock

POLICY = BreakerPolicy(min_calls=2, window_calls=4, jitter=0)


class World:
    """A circuit whose clock, timer and scorer are in the test's hands."""

    def __init__(self, policy: BreakerPolicy = POLICY) -> None:
        self.clock = FakeClock()
        self.events: list[Event] = []
        self.arranged: list[tuple[float, Callable[[], None]]] = []
        self.probes: list[Callable[[Verdict], None]] = []
        self.circuit = Circuit(
            policy,
            clock=self.clock,
            emit=self.hear,
            name=lambda: "fake",
            probe=lambda seconds, ended: self.probes.append(ended),
            call_at=lambda at, call: self.arranged.append((at, call)),
            draw=lambda: 0.5,
        )

    def hear(self, event: Event) -> None:
        # whoever hears of a change may look at the circuit: no lock is held
        assert self.circuit.state == event.state  # type: ignore[union-attr]
        self.events.append(event)

    def decide(self, *, rate_limited: bool = False, mode: Mode = Mode.ON) -> Go | Skip:
        return self.circuit.decide(
            flag=Flag(mode),
            draw=0.0,
            model="ready",
            rate_limited=rate_limited,
            deadline=self.clock.now() + 0.25,
        )

    def permit(self) -> Permit:
        decision = self.decide()
        assert isinstance(decision, Go)
        return decision.permit

    def fail(self, times: int = 2) -> None:
        for _ in range(times):
            self.circuit.end(self.permit(), Verdict.BAD)

    def until(self, moment: float) -> None:
        """Go on to that moment, and make the calls that are due."""
        self.clock.advance(moment - self.clock.now())
        due = [each for each in self.arranged if each[0] <= moment]
        self.arranged = [each for each in self.arranged if each[0] > moment]
        for _, call in due:
            call()

    @property
    def states(self) -> list[str]:
        return [event.state for event in self.events if isinstance(event, CircuitChanged)]


def test_enough_bad_calls_open_it_and_those_who_come_are_told_so() -> None:
    world = World()
    world.fail()
    assert world.circuit.state == "open"
    assert world.decide() == Skip(Reason.CIRCUIT_OPEN)


def test_a_change_is_told_once_with_what_was_judged() -> None:
    world = World()
    world.fail()
    world.decide()
    assert world.events == [CircuitChanged(scorer="fake", state="open", previous="closed", bad=2, calls=2)]


def test_a_permit_that_ends_a_second_time_changes_nothing() -> None:
    world = World()
    permit = world.permit()
    for _ in range(5):
        world.circuit.end(permit, Verdict.BAD)
    assert world.circuit.state == "closed"


def test_a_local_scorer_heals_by_its_own_probes_without_a_request() -> None:
    world = World()
    world.fail()
    world.until(1.0)
    for _ in range(POLICY.probes_to_close):
        world.probes.pop()(Verdict.GOOD)
        world.until(world.clock.now())
    assert world.states == ["open", "half_open", "closed"]
    assert isinstance(world.decide(), Go)


def test_there_is_never_a_second_probe_while_one_is_under_way() -> None:
    world = World()
    world.fail()
    world.until(1.0)
    assert world.decide() == Skip(Reason.CIRCUIT_OPEN)
    assert len(world.probes) == 1


def test_a_bad_probe_opens_it_again_for_twice_as_long() -> None:
    world = World()
    world.fail()
    world.until(1.0)
    world.probes.pop()(Verdict.BAD)
    world.until(2.9)
    assert world.circuit.state == "open"
    world.until(3.0)
    assert world.circuit.state == "half_open"


def test_a_probe_that_is_never_heard_of_again_opens_it_at_the_end_of_its_lease() -> None:
    world = World()
    world.fail()
    world.until(1.0)
    assert world.circuit.state == "half_open"
    world.until(2.1)
    assert world.circuit.state == "open"


def test_a_probe_without_a_verdict_is_repeated_a_little_later_and_only_once() -> None:
    world = World()
    world.fail()
    world.until(1.0)
    world.probes.pop()(Verdict.UNJUDGED)
    world.until(1.05)
    assert world.probes == []
    world.until(1.1)
    assert len(world.probes) == 1
    world.until(1.2)
    assert len(world.probes) == 1


def test_the_late_word_of_a_probe_whose_lease_ran_out_changes_nothing() -> None:
    world = World()
    world.fail()
    world.until(1.0)
    late = world.probes.pop()
    world.until(2.1)
    late(Verdict.GOOD)
    assert world.circuit.state == "open"


def test_a_remote_scorer_is_asked_by_a_callers_request_and_never_by_a_probe() -> None:
    world = World()
    world.circuit.reset(remote=True)
    world.fail()
    assert world.arranged == []
    world.clock.advance(1.0)
    assert world.permit().probe
    assert world.decide() == Skip(Reason.CIRCUIT_OPEN)
    assert world.probes == []


def test_who_is_over_his_rate_is_no_probe() -> None:
    world = World()
    world.circuit.reset(remote=True)
    world.fail()
    world.clock.advance(1.0)
    assert isinstance(world.decide(rate_limited=True), Skip)
    assert world.permit().probe


def test_a_reset_forgets_what_was_and_what_was_arranged() -> None:
    world = World()
    world.fail()
    world.circuit.reset(remote=False)
    assert world.circuit.state == "closed"
    world.until(1.0)
    assert world.probes == []
    world.fail(1)
    assert world.circuit.state == "closed"


def test_a_flag_that_is_off_asks_for_no_permit() -> None:
    world = World()
    world.circuit.reset(remote=True)
    world.fail()
    world.clock.advance(1.0)
    assert world.decide(mode=Mode.OFF) == Skip(Reason.DISABLED)
    assert world.permit().probe


@pytest.mark.threads
def test_many_threads_that_end_bad_calls_at_once_open_it_once() -> None:
    world = World(BreakerPolicy(min_calls=8, window_calls=8, jitter=0))
    permits = [world.permit() for _ in range(8)]
    barrier = threading.Barrier(8)

    def end(permit: Permit) -> None:
        barrier.wait()
        world.circuit.end(permit, Verdict.BAD)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(end, permits))
    assert world.states == ["open"]
    assert len(world.arranged) == 1
