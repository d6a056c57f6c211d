"""What the virtual model costs and answers, and everything that can go wrong with it."""

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from rerankd.core.estimate import pair_weight, run_weight
from rerankd.core.ports import Model, ScorerTraits, Stop
from rerankd.core.types import Pair, Text
from rerankd.core.work import Encode, Run, Work
from rerankd.errors import OutOfMemory

__all__ = ["KINDS", "LARGER", "Fault", "Machine", "MachinePolicy", "Plan", "larger_logit_of", "logit_of"]

LARGER = "virtual-larger"
KINDS = ("hang", "slow", "raise", "nan", "short", "long", "garbage", "kill", "stop", "oom", "encode")
"""`stop`: a worker stands still for a while and goes on; `encode`: the tokenizer raises."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """Something is wrong from `start` until `end`, with this share of what begins in that time."""

    kind: str
    start: float
    end: float
    share: float = 1.0
    lasts: float = math.inf
    """How long a hung or stopped worker stands still at most; it goes on when the fault ends, at the latest
    if `released`."""
    released: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class MachinePolicy:
    """What the model costs: MiniLM-L-12 int8 on one of two cores, unless said otherwise."""

    fixed: float = 0.0015
    unit: float = 0.000172
    """16.4 ms at 78 tokens."""
    encode_fixed: float = 0.0002
    encode_unit: float = 2e-7
    """Seconds a character."""
    noise: float = 0.1
    stop_seconds: float = 0.002
    load_seconds: float = 0.8
    load_failures: int = 0
    memory_tokens: int = 0
    """Padded tokens beyond which a run is out of memory; 0: no limit."""
    concurrency: int = 2
    interruptible: bool = True
    unit_of_work: str = "pair"
    batch_invariant: bool = False
    max_batch_tokens: int = 0
    local: bool = True
    encodes: bool = True
    max_tokens: int = 512
    refiner: float = 0.0
    """How many times as long the larger model of a cascade takes; 0: there is none."""


@dataclass(slots=True)
class Plan:
    """How one piece of work will go."""

    ends: float
    answer: Any = None
    error: BaseException | None = None
    interruptible: bool = False
    stop_seconds: float = 0.0


class Stopwatch:
    """The loader's clock: calibrating takes time there and nowhere else."""

    def __init__(self) -> None:
        self._now = 0.0

    def now(self) -> float:
        return self._now

    def advance(self, seconds: float) -> None:
        self._now += seconds


@dataclass(slots=True, eq=False)
class Machine:
    """The model's virtual hardware; also the scorer and the tokenizer that the engine calls."""

    policy: MachinePolicy
    faults: Sequence[Fault] = ()
    seed: int = 0
    stopwatch: Stopwatch = field(default_factory=Stopwatch)
    plan: Plan | None = None
    """Set just before the engine is told that the work has ended."""
    misfits: int = 0
    """Work that was begun although it was predicted not to end in time."""
    begun: int = 0
    scheduler: Any = None
    draw: random.Random = field(init=False)
    failures: int = field(init=False)

    def __post_init__(self) -> None:
        self.draw = random.Random(self.seed)
        self.failures = self.policy.load_failures

    # -- the model ----------------------------------------------------------------------------------------

    @property
    def load_seconds(self) -> float:
        return self.policy.load_seconds

    @property
    def traits(self) -> ScorerTraits:
        policy = self.policy
        return ScorerTraits(
            model="virtual",
            device="cpu" if policy.local else "remote",
            concurrency=policy.concurrency,
            unit=policy.unit_of_work,  # type: ignore[arg-type]
            batch_invariant=policy.batch_invariant,
            max_batch_tokens=policy.max_batch_tokens,
            interruptible=policy.interruptible,
            local=policy.local,
        )

    def load(self) -> Model:
        if self.failures:
            self.failures -= 1
            raise OSError("not there yet")
        return Model(
            scorer=self,
            tokenizer=self if self.policy.encodes else None,
            max_tokens=self.policy.max_tokens,
            refiner=self._refiner() if self.policy.refiner else None,
            digest="of the weights",
        )

    def _refiner(self) -> Model:
        return Model(
            scorer=_Larger(self),
            tokenizer=self if self.policy.encodes else None,
            max_tokens=self.policy.max_tokens,
            digest="of the larger one's",
        )

    def score(self, pairs: Sequence[Pair], stop: Stop) -> Sequence[float]:
        plan, self.plan = self.plan, None
        if plan is None:
            self.stopwatch.advance(self._run_seconds(run_weight([pair.tokens for pair in pairs])))
            return [0.0] * len(pairs)
        if plan.error is not None:
            raise plan.error
        return plan.answer  # type: ignore[no-any-return]

    def encode(
        self, query: Text, texts: Sequence[Text], *, max_tokens: int, max_chunks: int = 1
    ) -> Sequence[tuple[Pair, ...]]:
        plan, self.plan = self.plan, None
        if plan is None:
            self.stopwatch.advance(self._encode_seconds(sum(map(len, texts))))
        elif plan.error is not None:
            raise plan.error
        return [self._pairs(query, text, max_tokens, max_chunks) for text in texts]

    def close(self) -> None:
        pass

    # -- time ---------------------------------------------------------------------------------------------

    def begin(self, work: Work, stop: Stop, now: float) -> Plan:
        """Decide how a piece of work will go."""
        self.begun += 1
        self.misfits += self._misfit(work, now)
        return self._run_plan(work, now) if isinstance(work, Run) else self._encode_plan(work, now)

    def _misfit(self, work: Work, now: float) -> bool:
        # a little more than nothing: the prediction was made from the same numbers in another order
        return any(now + work.predicted > job.deadline + 1e-9 for job in work.jobs)

    def _run_plan(self, run: Run, now: float) -> Plan:
        policy = self.policy
        seconds = self._run_seconds(run.weight) * self._noise() * (policy.refiner if run.lane else 1.0)
        plan = Plan(now + seconds, interruptible=policy.interruptible, stop_seconds=policy.stop_seconds)
        opinion = larger_logit_of if run.lane else logit_of
        plan.answer = [opinion(item.pair.text) for item in run.items]
        if policy.memory_tokens and run.padded_tokens > policy.memory_tokens:
            plan.error = OutOfMemory("too large")
        for fault in self._active(now):
            # one that answers too few and one that answers too many would together give the right number, and a
            # wrong score that nobody could tell from a right one
            honest = isinstance(plan.answer, list) and len(plan.answer) == len(run.items)
            if honest or fault.kind not in ("short", "long"):
                self._afflict(plan, fault, now, seconds)
        return plan

    def _encode_plan(self, work: Encode, now: float) -> Plan:
        seconds = self._encode_seconds(work.characters) * self._noise()
        plan = Plan(now + seconds)
        for fault in self._active(now):
            if fault.kind == "encode":
                plan.error = ValueError("cannot encode")
            elif fault.kind in ("hang", "stop", "slow", "kill"):
                self._afflict(plan, fault, now, seconds)
        return plan

    def _active(self, now: float) -> list[Fault]:
        return [
            fault
            for fault in self.faults
            if fault.start <= now < fault.end and self.draw.random() < fault.share
        ]

    def _afflict(self, plan: Plan, fault: Fault, now: float, seconds: float) -> None:
        if not isinstance(plan.answer, list) and fault.kind in ("nan", "short", "long", "garbage"):
            return
        answer = plan.answer
        match fault.kind:
            case "slow":
                plan.ends = now + seconds * 10
            case "hang" | "stop":
                plan.ends = max(plan.ends, self._resumes(fault, now))
                plan.interruptible = False
            case "raise":
                plan.error = RuntimeError("broken")
            case "nan":
                wrong = self.draw.choice((math.nan, math.inf, -math.inf))
                plan.answer = [wrong if self.draw.random() < 0.7 else value for value in answer]
            case "short":
                plan.answer = answer[:-1]
            case "long":
                plan.answer = [*answer, 1.0]
            case "garbage":
                plan.answer = self.draw.choice((None, "no", ["x"] * len(answer), 7, object()))
            case "kill":
                plan.error = SystemExit(1)
            case "oom":
                plan.error = OutOfMemory("too large")

    def _resumes(self, fault: Fault, now: float) -> float:
        ends = now + fault.lasts * self.draw.uniform(0.5, 1.0)
        return min(ends, fault.end) if fault.released else ends

    def _run_seconds(self, weight: float) -> float:
        return self.policy.fixed + self.policy.unit * weight

    def _encode_seconds(self, characters: float) -> float:
        return self.policy.encode_fixed + self.policy.encode_unit * characters

    def _noise(self) -> float:
        # never below half nor beyond twice: a machine, not a fault
        noise = self.policy.noise
        return min(2.0, max(0.5, self.draw.lognormvariate(0.0, noise))) if noise else 1.0

    def _pairs(self, query: Text, text: Text, max_tokens: int, max_chunks: int) -> tuple[Pair, ...]:
        asked = min(len(query) // 5 + 1, max_tokens // 2)
        room = max(1, max_tokens - asked - 3)
        words = min(tokens_of(text), room * max_chunks)
        return tuple(
            Pair(query, text, asked + 3 + min(room, words - start), ids=()) for start in range(0, words, room)
        )

    def capacity(self, tokens: float) -> float:
        """Pairs of that many tokens a second, all workers together."""
        return self.policy.concurrency / self._run_seconds(pair_weight(int(tokens)))


class _Larger:
    """The larger model of a cascade, on the same hardware."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine

    @property
    def traits(self) -> ScorerTraits:
        return replace(self._machine.traits, model=LARGER)

    def score(self, pairs: Sequence[Pair], stop: Stop) -> Sequence[float]:
        machine = self._machine
        if machine.plan is None:
            weight = run_weight([pair.tokens for pair in pairs])
            machine.stopwatch.advance(machine._run_seconds(weight) * (machine.policy.refiner - 1))
        return machine.score(pairs, stop)

    def close(self) -> None:
        pass


def tokens_of(text: Text) -> int:
    """How many tokens the virtual tokenizer finds: from a third to a sixth of the characters."""
    return max(1, int(len(text) / (3.0 + len(text) % 7 / 2)))


def larger_logit_of(text: str) -> float:
    """The larger one's, which has little to do with it."""
    return logit_of(text[::-1] + "x")


def logit_of(text: str) -> float:
    """The virtual model's opinion: coarse, so that there are ties."""
    return (len(text) * 7919 + ord(text[:1] or "-") * 31 + ord(text[-1:] or "-")) % 97 / 8.0 - 6.0
