"""Replicas of a cluster as one scorer: told what is left, punctual, and judged together and not one by one."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from rerankd.backends.replicas import Answer, Full, Lost, Served, load_replicas
from rerankd.backends.replicas_policy import ReplicasPolicy
from rerankd.core.ports import Model
from rerankd.core.ranking import sigmoid
from rerankd.core.types import Pair, Reason, Scores, Text
from rerankd.engine.stop import StopSignal
from rerankd.errors import BackendError, ConfigError
from rerankd.reranker import Reranker
from rerankd.testing import FakeClock

SERVED = Served(model="m", device="cpu", max_tokens=512, activation="sigmoid")
Step = Callable[[float], Answer]


def answer(*logits: float | None, reason: str | None = None, **served: Any) -> Step:
    changed = Served(**{"model": "m", "device": "cpu", "max_tokens": 512, "activation": "sigmoid"} | served)
    return lambda seconds: Answer(logits=logits, reason=reason, served=changed)


class Replicas:
    """Each request is answered by the next step: an answer, or what it raises."""

    def __init__(self, clock: FakeClock, *steps: Step | Exception, takes: float = 0.01) -> None:
        self.clock = clock
        self.steps = list(steps)
        self.takes = takes
        self.asked: list[tuple[str, Sequence[str], int | None]] = []
        self.waited: list[float] = []
        self.cancelled = 0
        self.described: Served | Exception = SERVED

    def describe(self, seconds: float) -> Served:
        if isinstance(self.described, Exception):
            raise self.described
        return self.described

    def ask(self, query: str, texts: Sequence[str], budget_ms: int | None) -> "Replicas":
        self.asked.append((query, texts, budget_ms))
        return self

    def result(self, seconds: float) -> Answer:
        self.waited.append(seconds)
        step = self.steps.pop(0)
        self.clock.advance(seconds if isinstance(step, TimeoutError) else self.takes)
        if isinstance(step, Exception):
            raise step
        return step(seconds)

    def cancel(self) -> None:
        self.cancelled += 1


def loaded(replicas: Replicas, **policy: Any) -> Model:
    return load_replicas(replicas, ReplicasPolicy(**policy), clock=replicas.clock)


def score(model: Model, *, left: float = 0.25, texts: Sequence[str] = ("a", "b")) -> Sequence[float]:
    clock = model.scorer._clock  # type: ignore[attr-defined]
    pairs = [Pair(Text("q"), Text(text), 1) for text in texts]
    return model.scorer.score(pairs, StopSignal(clock.now() + left))


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(100.0)


def test_a_replica_is_told_what_is_left_less_the_way_back(clock: FakeClock) -> None:
    replicas = Replicas(clock, answer(1.0, 2.0))
    assert score(loaded(replicas)) == [1.0, 2.0]
    assert replicas.asked == [("q", ["a", "b"], 240)]
    assert replicas.waited == [pytest.approx(0.248)]


def test_without_a_limit_it_is_told_none_and_waited_for_no_longer_than_the_policy_says(
    clock: FakeClock,
) -> None:
    replicas = Replicas(clock, answer(1.0, 2.0))
    assert score(loaded(replicas, timeout_ms=5_000), left=math.inf) == [1.0, 2.0]
    assert (replicas.asked[0][2], replicas.waited) == (None, [5.0])


def test_nothing_is_asked_where_nothing_is_left_or_wanted(clock: FakeClock) -> None:
    replicas = Replicas(clock)
    scores = score(loaded(replicas), left=0.0105)
    assert isinstance(scores, Scores)
    assert scores.reason is Reason.BUDGET_TOO_SMALL
    assert score(loaded(replicas), texts=()) == []
    assert replicas.asked == []


def test_what_a_replica_did_not_come_to_has_its_reason(clock: FakeClock) -> None:
    scores = score(loaded(Replicas(clock, answer(1.0, None, reason="circuit_open"))))
    assert isinstance(scores, Scores)
    assert scores.reason is Reason.CIRCUIT_OPEN
    assert scores[0] == 1.0
    assert math.isnan(scores[1])


def test_a_lost_replica_s_request_goes_to_another_with_what_is_left_then(clock: FakeClock) -> None:
    replicas = Replicas(clock, Lost(), answer(1.0, 2.0), takes=0.1)
    assert score(loaded(replicas)) == [1.0, 2.0]
    assert [budget for _, _, budget in replicas.asked] == [240, 140]


def test_with_no_time_for_another_it_is_told_that_the_replica_was_lost(clock: FakeClock) -> None:
    scores = score(loaded(Replicas(clock, Lost(), takes=0.245)))
    assert isinstance(scores, Scores)
    assert scores.reason is Reason.MODEL_UNAVAILABLE


@pytest.mark.parametrize(
    ("problem", "reason"),
    [([TimeoutError()], Reason.DEADLINE), ([Lost(), Lost()], Reason.MODEL_UNAVAILABLE)],
)
def test_one_that_is_silent_or_lost_is_an_error_only_while_all_are(
    clock: FakeClock, problem: list[Exception], reason: Reason
) -> None:
    replicas = Replicas(clock, answer(1.0, 2.0), *problem, *problem)
    model = loaded(replicas)
    score(model)
    scores = score(model)
    assert isinstance(scores, Scores)
    assert scores.reason is reason
    clock.advance(1.5)
    with pytest.raises(BackendError, match="no scorer of the cluster"):
        score(model)


def test_waiting_ends_before_the_caller_s_deadline(clock: FakeClock) -> None:
    replicas = Replicas(clock, answer(1.0, 2.0), TimeoutError())
    model = loaded(replicas)
    score(model)
    until = clock.now() + 0.25
    score(model)
    assert clock.now() < until


def test_full_replicas_are_load_and_no_failure(clock: FakeClock) -> None:
    scores = score(loaded(Replicas(clock, Full())))
    assert isinstance(scores, Scores)
    assert scores.reason is Reason.OVERLOADED


def test_what_a_replica_raised_is_raised(clock: FakeClock) -> None:
    with pytest.raises(BackendError, match="a replica raised ValueError"):
        score(loaded(Replicas(clock, BackendError("a replica raised ValueError"))))


def test_too_few_scores_are_an_error(clock: FakeClock) -> None:
    with pytest.raises(BackendError, match="gave 1 scores for 2 texts"):
        score(loaded(Replicas(clock, answer(1.0))))


def test_a_caller_that_is_gone_cancels_its_request(clock: FakeClock) -> None:
    stop = StopSignal()

    def gone(seconds: float) -> Answer:
        stop.fire()
        raise BackendError("nobody waits")

    replicas = Replicas(clock, gone)
    with pytest.raises(BackendError):
        loaded(replicas).scorer.score([Pair(Text("q"), Text("a"), 1)], stop)
    assert replicas.cancelled == 1


def test_while_a_model_is_rolled_out_answers_name_the_one_that_scored_on_one_scale(clock: FakeClock) -> None:
    replicas = Replicas(
        clock,
        answer(0.25, None, model="new", activation="identity", reason="deadline"),
        answer(0.0, 1.0, model="new", activation="identity"),
    )
    model = loaded(replicas)
    assert model.scorer.traits.model == "m"
    assert sigmoid(score(model)[0]) == pytest.approx(0.25)
    assert model.scorer.traits.model == "new"
    assert [sigmoid(each) for each in score(model)] == pytest.approx([0.0, 1.0], abs=1e-6)
    assert model.scorer.traits.activation == "sigmoid"


def test_raw_values_become_probabilities_where_the_first_model_gave_those(clock: FakeClock) -> None:
    replicas = Replicas(clock, answer(0.0, -800.0))
    replicas.described = Served(model="m", device="cpu", max_tokens=512, activation="identity")
    assert score(loaded(replicas)) == [0.5, 0.0]


@pytest.mark.parametrize("problem", [TimeoutError(), Lost(), Full()])
def test_while_no_replica_answers_there_is_no_model(clock: FakeClock, problem: Exception) -> None:
    replicas = Replicas(clock)
    replicas.described = problem
    with pytest.raises(BackendError, match="no scorer of the cluster answers yet"):
        loaded(replicas)


@pytest.mark.threads
def test_a_reranker_gets_its_order_from_them() -> None:
    from rerankd.engine.clock import SystemClock

    replicas = Replicas(FakeClock(), answer(1.0, 2.0), answer(None, None, reason="circuit_open"))
    load = lambda: load_replicas(replicas, ReplicasPolicy(connections=1), clock=SystemClock())  # noqa: E731
    with Reranker(load, name="m") as reranker:
        first = reranker.rerank("q", ["a", "b"], budget_ms=5_000)
        second = reranker.rerank("q", ["a", "b"], budget_ms=5_000)
        assert ([each.id for each in first], first.outcome) == ([1, 0], "reranked")
        assert ([each.id for each in second], second.reason) == ([0, 1], "circuit_open")
        assert reranker.status().circuit == "closed"


def test_a_policy_that_makes_no_sense_is_refused() -> None:
    for wrong in ({"min_replicas": 9}, {"cpus": 0}, {"gpus": 1.5}, {"replicas": -1}, {"ingresses": 0}):
        with pytest.raises(ConfigError):
            ReplicasPolicy(**wrong)  # type: ignore[arg-type]
    assert ReplicasPolicy(cpus=0, gpus=0.5).gpus == 0.5
