"""The circuit opens by its policy alone, heals by probes, and can never stick."""

import math
from collections.abc import Callable

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from rerankd.core.breaker import TRANSITIONS, Breaker, BreakerPolicy, Permit, Verdict
from rerankd.errors import ConfigError
from tests.core.circuit_walk import CheckedCircuit, walk

GOOD, BAD, UNJUDGED = Verdict.GOOD, Verdict.BAD, Verdict.UNJUDGED
POLICY = BreakerPolicy(jitter=0.0)


def breaker(policy: BreakerPolicy = POLICY, *, remote: bool = False, draw: float = 0.5) -> Breaker:
    return Breaker(policy, remote=remote, draw=lambda: draw)


def call(circuit: Breaker, now: float, verdict: Verdict) -> None:
    permit = circuit.permit(now)
    assert permit is not None
    circuit.end(permit, verdict, now)


def opened(policy: BreakerPolicy = POLICY, *, remote: bool = False, draw: float = 0.5) -> Breaker:
    """A circuit that bad calls have opened at time 0."""
    circuit = breaker(policy, remote=remote, draw=draw)
    for _ in range(policy.min_calls):
        call(circuit, 0.0, BAD)
    assert circuit.state == "open"
    return circuit


def probe(circuit: Breaker, now: float) -> Permit:
    permit = circuit.probe(now)
    assert permit is not None
    return permit


# -- closed ---------------------------------------------------------------------------------------------------


def test_fewer_calls_than_the_minimum_never_open_it() -> None:
    circuit = breaker()
    for _ in range(POLICY.min_calls - 1):
        call(circuit, 0.0, BAD)
    assert circuit.state == "closed"
    call(circuit, 0.0, BAD)
    assert circuit.state == "open"


def test_it_opens_when_half_of_the_last_calls_were_bad_and_not_before() -> None:
    circuit = breaker()
    for number in range(18):
        call(circuit, 0.0, GOOD if number < 10 else BAD)
    assert circuit.state == "closed"
    call(circuit, 0.0, BAD)
    assert circuit.state == "closed"
    call(circuit, 0.0, BAD)
    assert (circuit.state, circuit.judged) == ("open", (10, 20))


def test_it_opens_within_twenty_bad_calls_however_good_it_was() -> None:
    circuit, bad = breaker(), 0
    for _ in range(1_000):
        call(circuit, 0.0, GOOD)
    while circuit.state == "closed":
        call(circuit, 0.0, BAD)
        bad += 1
    assert bad <= 20


def test_bad_calls_that_are_too_old_do_not_open_it() -> None:
    circuit = breaker()
    for _ in range(9):
        call(circuit, 0.0, BAD)
    call(circuit, 10.1, BAD)
    assert circuit.state == "closed"


def test_a_call_that_says_nothing_is_no_sample() -> None:
    circuit = breaker()
    for _ in range(100):
        call(circuit, 0.0, UNJUDGED)
    assert circuit.state == "closed"
    assert circuit.judged == (0, 0)


def test_the_outcome_counts_when_it_is_booked_not_when_the_permit_was_given() -> None:
    circuit = breaker()
    permits = [circuit.permit(0.0) for _ in range(10)]
    for permit in permits:
        assert permit is not None
        circuit.end(permit, BAD, 60.0)
    assert circuit.state == "open"


# -- permits --------------------------------------------------------------------------------------------------


def test_a_second_end_changes_nothing() -> None:
    circuit = breaker()
    permit = circuit.permit(0.0)
    assert permit is not None
    assert circuit.end(permit, GOOD, 0.0)
    for _ in range(50):
        assert not circuit.end(permit, BAD, 0.0)
    assert circuit.state == "closed"


def test_a_permit_from_before_the_opening_changes_nothing_afterwards() -> None:
    circuit = breaker()
    late = [circuit.permit(0.0) for _ in range(20)]
    for _ in range(10):
        call(circuit, 0.0, BAD)
    for number in range(3):
        circuit.end(probe(circuit, 1.0 + number), GOOD, 1.0 + number)
    assert circuit.state == "closed"
    for permit in late:
        assert permit is not None
        assert not circuit.end(permit, BAD, 5.0)
    assert circuit.state == "closed"


# -- open -----------------------------------------------------------------------------------------------------


def test_nobody_gets_a_permit_while_it_is_open() -> None:
    circuit = opened()
    assert circuit.permit(0.5) is None
    assert circuit.probe(0.999) is None
    assert circuit.state == "open"


def test_it_says_when_it_wants_to_be_woken() -> None:
    circuit = breaker()
    assert circuit.next_wake() is None
    circuit = opened()
    assert circuit.next_wake() == 1.0
    probe(circuit, 1.0)
    assert circuit.next_wake() == 2.0


@pytest.mark.parametrize(("draw", "share"), [(0.0, 0.9), (0.5, 1.0), (0.999999, 1.1)])
def test_the_wait_varies_by_the_jitter(draw: float, share: float) -> None:
    assert opened(BreakerPolicy(jitter=0.1), draw=draw).next_wake() == pytest.approx(share, rel=1e-4)


@pytest.mark.parametrize(("remote", "waits"), [(False, [1, 2, 2, 2]), (True, [1, 2, 4, 8, 16, 30, 30])])
def test_the_wait_doubles_with_each_failed_recovery_up_to_its_maximum(remote: bool, waits: list[int]) -> None:
    circuit, now, seen = opened(remote=remote), 0.0, []
    for _ in waits:
        until = circuit.next_wake()
        assert until is not None
        seen.append(until - now)
        now = until
        circuit.end(probe(circuit, now), BAD, now)
    assert seen == pytest.approx(waits)


def test_the_wait_is_short_again_after_it_was_closed() -> None:
    circuit = opened()
    circuit.end(probe(circuit, 1.0), BAD, 1.0)
    for _ in range(3):
        circuit.end(probe(circuit, 3.0), GOOD, 3.0)
    for _ in range(10):
        call(circuit, 4.0, BAD)
    assert circuit.next_wake() == 5.0


# -- half-open ------------------------------------------------------------------------------------------------


def test_probes_go_one_at_a_time() -> None:
    circuit = opened()
    first = probe(circuit, 1.0)
    assert circuit.probe(1.0) is None
    circuit.end(first, GOOD, 1.0)
    assert circuit.probe(1.0) is not None


def test_three_good_probes_in_a_row_close_it() -> None:
    circuit = opened()
    for _ in range(2):
        circuit.end(probe(circuit, 1.0), GOOD, 1.0)
    assert circuit.state == "half_open"
    circuit.end(probe(circuit, 1.0), GOOD, 1.0)
    assert circuit.state == "closed"
    assert circuit.permit(1.0) is not None


def test_a_bad_probe_opens_it_and_the_good_ones_before_it_are_forgotten() -> None:
    circuit = opened()
    circuit.end(probe(circuit, 1.0), GOOD, 1.0)
    circuit.end(probe(circuit, 1.0), GOOD, 1.0)
    circuit.end(probe(circuit, 1.0), BAD, 1.0)
    assert circuit.state == "open"
    for _ in range(2):
        circuit.end(probe(circuit, 3.0), GOOD, 3.0)
    assert circuit.state == "half_open"


def test_a_probe_without_a_verdict_only_frees_its_place() -> None:
    circuit = opened()
    circuit.end(probe(circuit, 1.0), UNJUDGED, 1.0)
    assert circuit.state == "half_open"
    assert circuit.next_wake() is None
    assert circuit.probe(1.0) is not None


def test_a_lost_probe_opens_it_when_its_lease_runs_out() -> None:
    circuit = opened()
    lost = probe(circuit, 1.0)
    assert circuit.probe(1.9) is None
    assert circuit.state == "half_open"
    assert circuit.probe(2.0) is None
    assert circuit.state == "open"
    assert not circuit.end(lost, GOOD, 2.1)
    assert circuit.probe(4.0) is not None


def test_a_probe_that_ends_after_its_lease_counts_as_bad() -> None:
    circuit = opened()
    late = probe(circuit, 1.0)
    assert not circuit.end(late, GOOD, 2.0)
    assert circuit.state == "open"


def test_a_caller_is_never_the_probe_of_a_local_scorer() -> None:
    circuit = opened()
    assert circuit.permit(10.0) is None
    probe(circuit, 10.0)
    assert circuit.permit(10.0) is None


def test_a_remote_scorer_is_probed_with_a_callers_request_one_at_a_time() -> None:
    circuit = opened(remote=True)
    assert circuit.permit(0.9) is None
    first = circuit.permit(1.0)
    assert first is not None
    assert first.probe
    assert circuit.permit(1.0) is None
    circuit.end(first, GOOD, 1.1)
    assert circuit.permit(1.1) is not None


def test_a_remote_probes_lease_lasts_beyond_its_requests_deadline() -> None:
    circuit = opened(remote=True)
    slow = circuit.permit(1.0, 9.0)
    assert slow is not None
    assert circuit.end(slow, GOOD, 9.0)


def test_a_remote_probe_without_a_deadline_cannot_keep_it_half_open_for_ever() -> None:
    circuit = opened(remote=True)
    assert circuit.permit(1.0, math.inf) is not None
    assert circuit.permit(1.0 + 30.0 + 1.0) is None
    assert circuit.state == "open"


# -- the table and the policy ---------------------------------------------------------------------------------


def closed_to_open(circuit: Breaker) -> None:
    for _ in range(10):
        call(circuit, 0.0, BAD)


def bad_probe(circuit: Breaker) -> None:
    circuit.end(probe(circuit, 1.0), BAD, 1.0)


def good_probes(circuit: Breaker) -> None:
    for _ in range(3):
        circuit.end(probe(circuit, 1.0), GOOD, 1.0)


def lost_probe(circuit: Breaker) -> None:
    probe(circuit, 1.0)
    circuit.probe(2.0)


STEPS: dict[tuple[str, str], tuple[Callable[[], Breaker], Callable[[Breaker], object]]] = {
    ("closed", "too many bad calls"): (breaker, closed_to_open),
    ("open", "the wait is over"): (opened, lambda circuit: circuit.probe(1.0)),
    ("half_open", "enough good probes in a row"): (opened, good_probes),
    ("half_open", "a bad probe"): (opened, bad_probe),
    ("half_open", "a probe's lease ran out"): (opened, lost_probe),
}


@pytest.mark.parametrize("row", TRANSITIONS, ids=lambda row: f"{row[0]}, {row[1]}")
def test_the_table_from_which_the_docs_are_made_says_what_happens(row: tuple[str, str, str, str]) -> None:
    state, event, following, _ = row
    make, act = STEPS[state, event]
    circuit = make()
    act(circuit)
    assert circuit.state == following


def test_the_table_is_complete() -> None:
    walked = {change for seed in range(3) for change in walk(2_000, seed)}
    assert walked == {f"{state} -> {following}" for state, _, following, _ in TRANSITIONS}


@pytest.mark.parametrize(
    "wrong",
    [
        {"window_calls": 0},
        {"window_ms": 0},
        {"min_calls": 0},
        {"min_calls": 21},
        {"bad_share": 0},
        {"bad_share": 1.1},
        {"open_ms": 0},
        {"open_ms": 3_000},
        {"open_max_remote_ms": 10},
        {"jitter": -0.1},
        {"probes_to_close": 0},
        {"probe_lease_ms": 0},
    ],
)
def test_a_policy_that_could_not_work_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=r"BreakerPolicy\."):
        BreakerPolicy(**wrong)  # type: ignore[arg-type]


# -- any sequence at all --------------------------------------------------------------------------------------

POLICIES = st.builds(
    lambda calls, least, share, open_ms, factor, jitter, probes: BreakerPolicy(
        window_calls=calls,
        min_calls=min(least, calls),
        bad_share=share,
        open_ms=open_ms,
        open_max_ms=open_ms * factor,
        open_max_remote_ms=open_ms * factor,
        jitter=jitter,
        probes_to_close=probes,
    ),
    st.integers(1, 6),
    st.integers(1, 6),
    st.sampled_from([0.01, 0.5, 1.0]),
    st.sampled_from([1.0, 1_000.0]),
    st.sampled_from([1.0, 3.0]),
    st.sampled_from([0.0, 0.1, 0.9]),
    st.integers(1, 3),
)


class CircuitMachine(RuleBasedStateMachine):
    """Every step is checked by the book in `circuit_walk`."""

    @initialize(policy=POLICIES, remote=st.booleans(), seed=st.integers(0, 99))
    def begin(self, policy: BreakerPolicy, remote: bool, seed: int) -> None:
        self.circuit = CheckedCircuit(policy, remote=remote, seed=seed)

    @rule(budget=st.sampled_from([0.0, 0.25, math.inf]))
    def a_caller_asks(self, budget: float) -> None:
        self.circuit.permit(budget)

    @rule()
    def the_timer_asks(self) -> None:
        self.circuit.probe()

    @precondition(lambda self: self.circuit.given)
    @rule(data=st.data(), verdict=st.sampled_from(Verdict))
    def a_permit_ends(self, data: st.DataObject, verdict: Verdict) -> None:
        given = data.draw(st.sampled_from(self.circuit.given))
        self.circuit.end(given, verdict)

    @precondition(lambda self: self.circuit.given)
    @rule(verdict=st.sampled_from([GOOD, BAD]))
    def the_last_permit_ends(self, verdict: Verdict) -> None:
        self.circuit.end(self.circuit.given[-1], verdict)

    @rule(seconds=st.floats(0, 5))
    def time_passes(self, seconds: float) -> None:
        self.circuit.advance(seconds)

    @rule()
    def it_is_woken(self) -> None:
        self.circuit.advance_to_wake()

    def teardown(self) -> None:
        if hasattr(self, "circuit"):
            self.circuit.heal()


TestAnySequenceOfCalls = CircuitMachine.TestCase
TestAnySequenceOfCalls.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)


@pytest.mark.parametrize("seed", range(4))
def test_a_random_walk_keeps_to_the_rules(seed: int) -> None:
    changes = walk(10_000, seed)
    assert changes["closed -> open"] == changes["half_open -> closed"] > 0
