"""The gate gives the first reason that applies, in the order of the reasons, or a permit."""

import math
from typing import Any

import pytest

from rerankd.core.breaker import Breaker, BreakerPolicy, Verdict
from rerankd.core.flag import Flag, Mode
from rerankd.core.gate import Go, Skip, decide
from rerankd.core.types import Reason


def breaker(*, remote: bool = False, is_open: bool = False) -> Breaker:
    circuit = Breaker(BreakerPolicy(jitter=0), remote=remote, draw=lambda: 0.5)
    for _ in range(10 if is_open else 0):
        permit = circuit.permit(0.0)
        assert permit is not None
        circuit.end(permit, Verdict.BAD, 0.0)
    return circuit


def ask(**different: Any) -> Skip | Go:
    usual: dict[str, Any] = {
        "flag": Flag(),
        "draw": 50.0,
        "model": "ready",
        "breaker": breaker(),
        "rate_limited": False,
        "now": 0.0,
        "deadline": math.inf,
    }
    return decide(**{**usual, **different})


def test_with_nothing_against_it_a_request_gets_a_permit() -> None:
    decision = ask()
    assert isinstance(decision, Go)
    assert not decision.permit.ended
    assert not decision.shadow


@pytest.mark.parametrize(
    ("different", "reason"),
    [
        ({"flag": Flag(Mode.OFF)}, Reason.DISABLED),
        ({"flag": Flag(Mode.ON, 50)}, Reason.DISABLED),
        ({"flag": Flag(Mode.SHADOW, 50)}, Reason.DISABLED),
        ({"model": "unavailable"}, Reason.MODEL_UNAVAILABLE),
        ({"model": "loading"}, Reason.MODEL_LOADING),
        ({"breaker": breaker(is_open=True)}, Reason.CIRCUIT_OPEN),
        ({"rate_limited": True}, Reason.RATE_LIMITED),
    ],
)
def test_each_reason_for_not_asking(different: dict[str, Any], reason: Reason) -> None:
    assert ask(**different) == Skip(reason)


def test_the_first_reason_in_order_is_given() -> None:
    against: dict[str, Any] = {
        "flag": Flag(Mode.OFF),
        "model": "loading",
        "breaker": breaker(is_open=True),
        "rate_limited": True,
    }
    seen = []
    for better in ({"flag": Flag()}, {"model": "ready"}, {"breaker": breaker()}, {"rate_limited": False}):
        decision = ask(**against)
        assert isinstance(decision, Skip)
        seen.append(decision.reason)
        against.update(better)
    assert seen == [Reason.DISABLED, Reason.MODEL_LOADING, Reason.CIRCUIT_OPEN, Reason.RATE_LIMITED]
    assert isinstance(ask(**against), Go)


@pytest.mark.parametrize("different", [{}, {"model": "loading"}, {"rate_limited": True}])
def test_shadow_is_remembered_whatever_is_decided(different: dict[str, Any]) -> None:
    assert ask(flag=Flag(Mode.SHADOW), **different).shadow


def test_off_asks_no_circuit() -> None:
    circuit = breaker(remote=True, is_open=True)
    ask(flag=Flag(Mode.OFF), breaker=circuit, now=5.0)
    assert circuit.state == "open"


def test_a_rate_limited_caller_is_not_taken_for_a_probe_which_would_be_lost() -> None:
    circuit = breaker(remote=True, is_open=True)
    assert ask(rate_limited=True, breaker=circuit, now=5.0) == Skip(Reason.CIRCUIT_OPEN)
    assert isinstance(ask(breaker=circuit, now=5.0), Go)


def test_a_remote_probes_lease_goes_by_its_callers_deadline() -> None:
    circuit = breaker(remote=True, is_open=True)
    decision = ask(breaker=circuit, now=5.0, deadline=20.0)
    assert isinstance(decision, Go)
    assert circuit.next_wake() == 21.0
