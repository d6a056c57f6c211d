"""A scorer that is many: replicas somewhere in a cluster, each with an engine and a circuit of its own.

A replica is told how much is left of the budget, in milliseconds and never as a time of day, and answers by
then with what it has. One that is lost, hangs or restarts costs its requests their relevance. It is no fault of
the others: as long as any replica answers, the caller's circuit stays closed.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from rerankd.backends.replicas_policy import ReplicasPolicy
from rerankd.core.ports import Clock, Model, ScorerTraits, Stop
from rerankd.core.types import Activation, Pair, Reason, Scores
from rerankd.errors import BackendError

__all__ = ["Answer", "Full", "Lost", "Pending", "ReplicaScorer", "Replicas", "Served", "load_replicas"]

_EARLY = 0.002
"""Seconds before the caller's deadline at which waiting ends, so that what is known by then is told in time."""
_SILENCE = 1.0
"""For so many seconds after an answer from any replica, one that does not answer is that one's fault alone."""
_DESCRIBE_SECONDS = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """What a replica has loaded."""

    model: str
    device: str
    max_tokens: int
    activation: Activation


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a replica came to within the time it was given."""

    logits: tuple[float | None, ...]
    reason: str | None
    """Why not all; None: all were scored."""
    served: Served


class Lost(Exception):  # noqa: N818 - reads as what happened
    """The replica died, or cannot be reached. Another one may answer."""


class Full(Exception):  # noqa: N818 - reads as what happened
    """Nobody takes another request now."""


class Pending(Protocol):
    """A request under way."""

    def result(self, seconds: float) -> Answer:
        """Wait so long. Raises `TimeoutError`, `Lost`, `Full`, or `BackendError` for what a replica raised."""
        ...

    def cancel(self) -> None:
        """Nobody waits any more. A `result` that is under way ends soon, by raising something."""
        ...


class Replicas(Protocol):
    """The way to the replicas. Called from several threads at once."""

    def describe(self, seconds: float) -> Served:
        """What they have loaded. Raises what `Pending.result` raises."""
        ...

    def ask(self, query: str, texts: Sequence[str], budget_ms: int | None) -> Pending:
        """Begin to ask one of them. `budget_ms`: what is left, less the way back; None: no limit."""
        ...


def load_replicas(replicas: Replicas, policy: ReplicasPolicy, *, clock: Clock) -> Model:
    """The model that the replicas have. Raises `BackendError` while none of them answers."""
    try:
        served = replicas.describe(_DESCRIBE_SECONDS)
    except (TimeoutError, Lost, Full):
        raise BackendError("no scorer of the cluster answers yet") from None
    scorer = ReplicaScorer(replicas, served, policy, clock=clock)
    return Model(scorer=scorer, tokenizer=None, max_tokens=served.max_tokens)


class ReplicaScorer:
    """The `Scorer` port over replicas. Thread-safe."""

    def __init__(self, replicas: Replicas, served: Served, policy: ReplicasPolicy, *, clock: Clock) -> None:
        self._replicas = replicas
        self._policy = policy
        self._clock = clock
        self._answered = -math.inf
        """When a replica last answered."""
        self._traits = ScorerTraits(
            model=served.model,
            device="replicas",
            concurrency=policy.connections,
            unit="query",
            interruptible=True,
            activation=served.activation,
            local=False,
            punctual=True,
        )

    @property
    def traits(self) -> ScorerTraits:
        """While a model is rolled out, the id is that of the last answer."""
        return self._traits

    def score(self, pairs: Sequence[Pair], stop: Stop) -> Sequence[float]:
        """A replica's scores. `Scores` where it did not come to all.

        Raises `BackendError` when a replica failed, and when it is silent and so were all others of late.
        """
        if not pairs:
            return []
        try:
            answer = self._asked(pairs, stop)
        except Full:
            return _none(pairs, Reason.OVERLOADED)
        except Lost:
            return self._unless_alone(
                pairs, Reason.MODEL_UNAVAILABLE, "no scorer of the cluster can be reached"
            )
        except TimeoutError:
            return self._unless_alone(pairs, Reason.DEADLINE, "no scorer of the cluster answers")
        if isinstance(answer, Scores):
            return answer
        self._answered = self._clock.now()
        return self._taken(answer, len(pairs))

    def close(self) -> None:
        """Nothing is held: replicas belong to the cluster."""

    def _asked(self, pairs: Sequence[Pair], stop: Stop) -> Answer | Scores:
        """The answer of one replica or, where that was lost and there is time, of another."""
        query, texts = str(pairs[0].query), [str(pair.text) for pair in pairs]
        for last in (False, True):
            left = stop.deadline - self._clock.now()
            allowed = left * 1000 - self._policy.reserve_ms
            if allowed < 1:
                return _none(pairs, Reason.MODEL_UNAVAILABLE if last else Reason.BUDGET_TOO_SMALL)
            budget = None if left == math.inf else math.floor(allowed)
            pending = self._replicas.ask(query, texts, budget)
            stop.on_stop(pending.cancel)
            try:
                return pending.result(self._policy.timeout_ms / 1000 if left == math.inf else left - _EARLY)
            except Lost:
                if last or stop.stopped:
                    raise
        raise AssertionError("the last turn returns or raises")

    def _unless_alone(self, pairs: Sequence[Pair], reason: Reason, problem: str) -> Scores:
        """One replica is missing; an error only where none has answered for a while."""
        if self._clock.now() - self._answered > _SILENCE:
            raise BackendError(problem)
        return _none(pairs, reason)

    def _taken(self, answer: Answer, count: int) -> Sequence[float]:
        if len(answer.logits) != count:
            raise BackendError(f"a replica gave {len(answer.logits)} scores for {count} texts")
        served, ours = answer.served, self._traits.activation
        if served.model != self._traits.model:
            self._traits = replace(self._traits, model=served.model)
        logits = answer.logits
        if served.activation != ours:
            # two models while one is rolled out: on one scale, or a raw value would be read as a probability
            convert = _probability if ours == "identity" else _logit
            logits = tuple(None if each is None else convert(each) for each in logits)
        if answer.reason is None:
            return [math.nan if each is None else each for each in logits]
        return Scores(logits, Reason(answer.reason))


def _none(pairs: Sequence[Pair], reason: Reason) -> Scores:
    return Scores([None] * len(pairs), reason)


def _probability(logit: float) -> float:
    """The logistic function; by tanh, which overflows nowhere."""
    return 0.5 + 0.5 * math.tanh(logit / 2)


def _logit(probability: float) -> float:
    """What the logistic function undoes; finite also for 0 and 1."""
    kept = min(max(probability, 1e-9), 1 - 1e-9)
    return math.log(kept / (1 - kept))
