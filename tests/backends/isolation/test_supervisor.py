"""A run that hangs costs its process the life, and only time that was lived through counts as patience."""

import threading

import pytest

from rerankd.backends.isolation.channel import Channel
from rerankd.backends.isolation.frames import Kind
from rerankd.backends.isolation.policy import IsolationPolicy
from rerankd.backends.isolation.supervisor import Loaded, Supervisor, _Patience
from rerankd.errors import ConfigError
from rerankd.testing import FakeClock

POLICY = IsolationPolicy(stop_grace_ms=400, encode_ms=2_000, run_ms=10_000)


def channel(kind: Kind = Kind.SCORE, run: int = 1) -> Channel:
    made = Channel(0, None)  # type: ignore[arg-type]
    made.begin(kind, run)
    return made


def test_a_run_that_goes_on_after_it_was_stopped_is_waited_for_no_longer_than_the_grace() -> None:
    busy, patience = channel(), _Patience(POLICY)
    assert not patience.exhausted([busy], 0.1)
    busy.stopped = 1
    looks = [patience.exhausted([busy], 0.1) for _ in range(6)]
    # the first look may come right after the word: only what is seen after it counts
    assert looks == [False, False, False, False, True, True]


def test_a_stop_of_the_run_before_does_not_count_against_the_next() -> None:
    busy, patience = channel(run=2), _Patience(POLICY)
    busy.stopped = 1
    assert not any(patience.exhausted([busy], 0.1) for _ in range(50))


def test_a_new_run_on_the_same_channel_begins_anew() -> None:
    patience = _Patience(POLICY)
    for run in range(1, 50):
        busy = channel(run=run)
        busy.stopped = run
        assert not any(patience.exhausted([busy], 0.1) for _ in range(4))


def test_encoding_cannot_be_stopped_and_has_a_limit_of_its_own() -> None:
    patience, busy = _Patience(POLICY), channel(Kind.ENCODE)
    assert [patience.exhausted([busy], 1.0) for _ in range(3)] == [False, False, True]


def test_a_run_that_nobody_stops_has_a_limit_as_well() -> None:
    patience, busy = _Patience(POLICY), channel()
    assert [patience.exhausted([busy], 5.0) for _ in range(3)] == [False, False, True]


def test_a_channel_that_is_done_meanwhile_is_no_hang() -> None:
    patience, busy = _Patience(POLICY), channel()
    busy.stopped = 1
    patience.exhausted([busy], 0.1)
    assert not patience.exhausted([], 100.0)
    assert not patience.exhausted([busy], 100.0)


def test_the_first_replacement_is_immediate_and_the_pauses_after_it_double_up_to_a_limit() -> None:
    supervisor = Supervisor.__new__(Supervisor)
    supervisor._policy = IsolationPolicy(restart_ms=250, restart_max_ms=1_500)
    pauses = [supervisor._pause(short_lived) for short_lived in (0, 1, 2, 3, 4, 5, 10_000)]
    assert pauses == [0.0, 0.0, 0.25, 0.5, 1.0, 1.5, 1.5]


def test_another_device_is_the_same_model_and_another_activation_is_not() -> None:
    told = {
        "traits": {"model": "m", "device": "cuda:0", "concurrency": 1, "activation": "sigmoid"},
        "max_tokens": 512,
        "encodes": True,
        "digest": "d",
    }
    cpu = told | {"traits": told["traits"] | {"device": "cpu", "concurrency": 4}}  # type: ignore[operator]
    probabilities = told | {"traits": told["traits"] | {"activation": "identity"}}  # type: ignore[operator]
    assert Loaded(told).same_scores(Loaded(cpu))
    assert Loaded(told).same_scores(Loaded(told | {"digest": "e"}))  # on CUDA it is another file
    assert not Loaded(told).same_scores(Loaded(probabilities))
    assert not Loaded(told).same_scores(Loaded(told | {"max_tokens": 128}))


class Process:
    """A process that says nothing while a time passes, and in which one run was told to stop."""

    def __init__(self, clock: FakeClock, passes: list[float], *, stopped: bool = False) -> None:
        self.clock = clock
        self.passes = passes
        self.is_stopped = stopped
        self.channel = channel()
        self.channel.stopped = 1

    def hear(self, seconds: float) -> str:
        if not self.passes:
            return "end"
        self.clock.advance(self.passes.pop(0))
        return "silence"

    def stopped(self) -> bool:
        return self.is_stopped

    def busy(self) -> list[Channel]:
        return [self.channel]


def watched(process: Process) -> str:
    supervisor = Supervisor.__new__(Supervisor)
    supervisor._policy = POLICY
    supervisor._clock = process.clock
    supervisor._closed = threading.Event()
    supervisor._patience = _Patience(POLICY)
    return supervisor._watch(process)  # type: ignore[arg-type]


def test_a_run_that_goes_on_after_its_stop_is_a_hang() -> None:
    assert watched(Process(FakeClock(), [0.1] * 20)) == "hung"


def test_a_machine_that_stood_still_has_not_watched_anything_hang() -> None:
    assert watched(Process(FakeClock(), [0.1, 60.0, 0.1])) == "died", (
        "it had two more looks, and not a minute"
    )


def test_a_process_that_somebody_stopped_is_told_from_one_that_hangs() -> None:
    assert watched(Process(FakeClock(), [0.1] * 20, stopped=True)) == "stopped"


@pytest.mark.parametrize(
    "wrong", [{"nice": 20}, {"tick_ms": 0}, {"stop_grace_ms": 0}, {"restart_ms": 500, "restart_max_ms": 100}]
)
def test_a_policy_that_makes_no_sense_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match="IsolationPolicy"):
        IsolationPolicy(**wrong)  # type: ignore[arg-type]
