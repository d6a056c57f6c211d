"""Our order of work beside others, in virtual time, by the quality that callers can expect.

    python -m benchmarks.scheduling                      every scheme at every load: a table a load
    python -m benchmarks.scheduling --budgets 150 250 500    callers with unequal budgets, in equal shares
    python -m benchmarks.scheduling --curve tasb             a better first stage, of which less can be mended
    python -m benchmarks.scheduling --replay FOLDER          by the very candidates that were scored: see below

The real scheduler runs on two virtual workers that cost what MiniLM-L-12 int8 costs. All schemes meet the very
same requests: arrivals, lengths, errors of the length estimate, and how long each pair takes. An answer is
worth what `quality_curve.json` says for its depth. That supposes that the scored ones are the first ones, while
some schemes leave out long ones in the middle; `--replay` holds each answer's set against a judged collection
instead. The record is docs/decisions/0002-scheduling.md.
"""

import argparse
import heapq
import itertools
import json
import random
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import cache, partial
from pathlib import Path
from statistics import fmean

import rerankd
from benchmarks.quality_curve import CURVES, MEASURES, Scored, read_scored
from rerankd.core.batch import BatchPolicy
from rerankd.core.estimate import EstimatePolicy, pair_weight
from rerankd.core.forecast import Head, queue_delay
from rerankd.core.job import Job, Part
from rerankd.core.ports import ScorerTraits
from rerankd.core.scheduler import Scheduler
from rerankd.core.types import Pair, Reason, Text
from rerankd.core.watch import WatchPolicy
from rerankd.core.work import Encode, Work
from rerankd.settings import Settings

__all__ = ["LOADS", "SCHEMES", "Figures", "Machine", "by_depth", "by_replay", "compare", "simulate"]

CANDIDATES = 24
HEAD = 12
WORKERS = 2
BUDGETS_MS = (250.0,)
GUARD = 0.003
"""How long before its deadline a caller wakes: `RerankPolicy.guard_ms`."""
LOADS = (0.5, 0.8, 1.0, 2.0, 4.0)
FULL_QUERY = 0.205
"""Seconds of both workers for all of a query, encoding included, in the mean."""
FIXED = 0.0015
ENCODE_FIXED, ENCODE_CHARACTER = 0.0002, 2e-7
STOP = 0.002
"""Seconds until a run that was told to stop has stopped."""


# -- the schemes ------------------------------------------------------------------------------------------------

Answer = tuple[bool, ...]
Worth = Callable[[Answer], tuple[float, float]]
"""nDCG@10 and recall@8 that can be expected of an answer."""
_Places = list[tuple[tuple[int, float, int], Job, Part]]


class EarliestDeadlineFirst(Scheduler):
    """No heads and no tiers. A request is refused only where no pair of it would fit on an idle engine."""

    def refuse(self, job: Job, now: float) -> Reason | None:
        needed = self.costs.first_score(job, self._batch.encode_slice, now)
        return Reason.BUDGET_TOO_SMALL if now + needed > job.deadline else None

    def _places(self, now: float) -> _Places:
        return [((0, *place[1:]), job, part) for place, job, part in super()._places(now)]


class ShallowestFirst(EarliestDeadlineFirst):
    """The request of which the least was begun is next: depth is shared out evenly."""

    def _places(self, now: float) -> _Places:
        return [
            ((CANDIDATES - job.waiting_pairs, *place[1:]), job, part)
            for place, job, part in super()._places(now)
        ]


class LostBeforeRests(Scheduler):
    """Tier 2 goes before tier 1."""

    def _places(self, now: float) -> _Places:
        swapped = {0: 0, 1: 2, 2: 1}
        return [((swapped[place[0]], *place[1:]), job, part) for place, job, part in super()._places(now)]


class AnyThatFits(Scheduler):
    """A head is begun wherever it would fit alone, whatever that costs those that are begun."""

    def _head_tier(self, job: Job, begun: Sequence[Head], now: float) -> int:
        return 0 if now + self.costs.all_workers(job.parts[0], now) <= job.deadline else 2


class HeadsFirst(Scheduler):
    """Every head is tier 0, also one that can no longer be complete."""

    def _head_tier(self, job: Job, begun: Sequence[Head], now: float) -> int:
        return 0


class WholeHeadsOnly(Scheduler):
    """A request whose head cannot be complete behind the heads before it is refused at once."""

    def refuse(self, job: Job, now: float) -> Reason | None:
        refused = super().refuse(job, now)
        if refused is not None:
            return refused
        job.split(self.costs.reachable(job, now))
        head = (job.deadline, self.costs.all_workers(job.parts[0], now))
        begun, waiting = self._heads(now)
        idle = len(self.active) < self.workers
        busy = 0.0 if idle else min(work.left(now) for work in self.active)
        delay = queue_delay(head, now, busy=busy, begun=begun, waiting=waiting)
        return Reason.OVERLOADED if now + delay + head[1] > job.deadline else None


class RestsWhileHeadsCanWait(Scheduler):
    """A rest goes before heads of a later deadline, as long as these would still fit twice over."""

    def _places(self, now: float) -> _Places:
        places = super()._places(now)
        heads = sorted(
            (job.deadline, self.costs.all_workers(part, now)) for place, job, part in places if place[0] == 0
        )
        return [
            (
                (0 if place[0] == 1 and self._can_wait(heads, job, part, now) else place[0], *place[1:]),
                job,
                part,
            )
            for place, job, part in places
        ]

    def _can_wait(self, heads: Sequence[Head], job: Job, part: Part, now: float) -> bool:
        tokens = part.ready[0].pair.tokens if part.ready else job.lengths[part.next]
        at = now + self.costs.run([tokens], now) / self.workers
        for deadline, seconds in heads:
            at += 2 * seconds
            if at > deadline:
                return False
        return True


@dataclass(frozen=True, slots=True)
class Scheme:
    name: str
    scheduler: type[Scheduler] = Scheduler
    head: int = HEAD


SCHEMES = (
    Scheme("ours: head 12"),
    Scheme("head 8", head=8),
    Scheme("head 16", head=16),
    Scheme("head 24", head=24),
    Scheme("tier 2 before tier 1", LostBeforeRests),
    Scheme("any head that fits", AnyThatFits),
    Scheme("every head tier 0", HeadsFirst),
    Scheme("rests while heads can wait", RestsWhileHeadsCanWait),
    Scheme("refuse what cannot be whole", WholeHeadsOnly),
    Scheme("earliest deadline first", EarliestDeadlineFirst),
    Scheme("shallowest first", ShallowestFirst),
)


# -- the requests and the machine -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Asked:
    """One request: each candidate's text (only its length matters), its tokens, and the luck of its run."""

    arrives: float
    budget: float
    texts: tuple[Text, ...]
    tokens: tuple[int, ...]
    luck: tuple[float, ...]


class Machine:
    """What work costs, such that a mean query takes both workers `FULL_QUERY` seconds."""

    def __init__(self, noise: float = 0.1) -> None:
        self.noise = noise
        sample = [self.asked(random.Random(seed), 0.0, 0.0) for seed in range(500)]
        encoding = fmean(self.encode(sum(map(len, asked.texts))) for asked in sample)
        weight = fmean(sum(map(pair_weight, asked.tokens)) for asked in sample)
        self.unit = (FULL_QUERY * WORKERS - encoding - FIXED * CANDIDATES) / weight
        self.tokens = fmean(fmean(asked.tokens) for asked in sample)
        self.full_rate = 1 / FULL_QUERY
        """Queries a second of which everything can be scored."""
        self.head_rate = WORKERS / fmean(
            self.encode(sum(map(len, asked.texts[:HEAD]))) + sum(map(self.run, asked.tokens[:HEAD]))
            for asked in sample
        )
        """Queries a second of which the first 12 can be scored, and nothing else."""

    def asked(self, draw: random.Random, arrives: float, budget: float) -> Asked:
        """Pairs of 15 to 350 tokens, 80 in the mean; a text has 3.6 to 5.4 characters a token."""
        tokens = [min(350, 14 + round(draw.lognormvariate(3.78, 0.88))) for _ in range(CANDIDATES)]
        texts = [Text("x" * round((each - 11) * draw.uniform(3.6, 5.4))) for each in tokens]
        luck = [min(2.0, max(0.5, draw.lognormvariate(0.0, self.noise))) for _ in tokens]
        return Asked(arrives, budget, tuple(texts), tuple(tokens), tuple(luck))

    def run(self, tokens: int) -> float:
        return FIXED + self.unit * pair_weight(tokens)

    def encode(self, characters: int) -> float:
        return ENCODE_FIXED + ENCODE_CHARACTER * characters

    def traffic(self, load: float, requests: int, seed: int, budgets_ms: Sequence[float]) -> list[Asked]:
        draw, at, result = random.Random(f"{seed}/{load}"), 0.0, []
        for _ in range(requests):
            at += draw.expovariate(load * self.full_rate)
            result.append(self.asked(draw, at, draw.choice(budgets_ms) / 1000))
        return result

    def calibrate(self, scheduler: Scheduler) -> None:
        """As the engine does once a model is loaded."""
        costs = scheduler.costs
        costs.running.calibrate([(pair_weight(n), self.run(n)) for n in (16, 180)], 0.0)
        costs.encoding.calibrate([(n, self.encode(n)) for n in (480, 5_760)], 0.0)


class Simulation:
    """Virtual time: a heap of events, and workers that take the next work as soon as they are free."""

    def __init__(self, machine: Machine, scheme: Scheme, traffic: Sequence[Asked]) -> None:
        self.scheduler = scheme.scheduler(
            ScorerTraits(model="virtual", device="cpu", concurrency=WORKERS, interruptible=True),
            batch=BatchPolicy(),
            estimate=EstimatePolicy(),
            watch=WatchPolicy(),
            encodes=True,
        )
        machine.calibrate(self.scheduler)
        self.answers: list[Answer] = []
        """For each answer, which of its candidates were scored."""
        self.refused = 0
        self.tokens = 0
        """Of the pairs that were scored in time."""
        self._machine = machine
        self._head = scheme.head
        self._idle = WORKERS
        self._asked: dict[Job, Asked] = {}
        self._order = itertools.count()
        self._events: list[tuple[float, int, Callable[[float], None]]] = []
        for number, asked in enumerate(traffic):
            self._at(asked.arrives, partial(self._arrive, number, asked))

    def run(self) -> None:
        while self._events:
            now, _, event = heapq.heappop(self._events)
            event(now)
            while self._idle and (work := self.scheduler.next(now)) is not None:
                self._idle -= 1
                self._at(now + self._seconds(work), partial(self._end, work))
            for job in self.scheduler.take_complete():
                self._answer(job)

    def _at(self, moment: float, event: Callable[[float], None]) -> None:
        heapq.heappush(self._events, (moment, next(self._order), event))

    def _arrive(self, number: int, asked: Asked, now: float) -> None:
        job = Job(
            number,
            Text("q" * 40),
            asked.texts,
            arrived=now,
            deadline=now + asked.budget - GUARD,
            head=self._head,
            max_tokens=512,
        )
        if self.scheduler.refuse(job, now) is not None:
            self.refused += 1
            self.answers.append((False,) * CANDIDATES)
            return
        self._asked[job] = asked
        self.scheduler.add(job, now)
        self._at(job.deadline, partial(self._wake, job))

    def _wake(self, job: Job, now: float) -> None:
        """The caller's time is over, unless it has its answer."""
        if job in self._asked:
            for work in self.scheduler.close(job, now):
                if not isinstance(work, Encode):
                    self._at(now + STOP, partial(self._end, work, stopped=True))
            self._answer(job)

    def _answer(self, job: Job) -> None:
        if (asked := self._asked.pop(job, None)) is not None:
            scored = tuple(logit is not None for logit in job.results())
            self.answers.append(scored)
            self.tokens += sum(itertools.compress(asked.tokens, scored))

    def _seconds(self, work: Work) -> float:
        if isinstance(work, Encode):
            return self._machine.encode(sum(map(len, work.texts)))
        return sum(
            self._machine.run(item.pair.tokens) * self._asked[item.job].luck[item.candidate]
            for item in work.items
        )

    def _end(self, work: Work, now: float, *, stopped: bool = False) -> None:
        if work not in self.scheduler.active:
            return  # it was stopped before its time
        self._idle += 1
        if isinstance(work, Encode):
            asked, job = self._asked.get(work.job), work.job
            pairs = [
                [Pair(job.query, job.texts[n], asked.tokens[n], ids=())] if asked else []
                for n in range(work.first, work.last)
            ]
            self.scheduler.encoded(work, pairs, now)
        elif stopped:
            self.scheduler.interrupted(work, now)
        else:
            self.scheduler.scored(work, [0.0] * len(work.items), now)


# -- the figures ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What one scheme makes of one load. Shares are from 0 to 1."""

    scheme: str
    load: float
    ndcg: float
    recall: float
    whole: float
    """Answers of which the first 12 were scored."""
    depth: float
    reranked: float
    partial: float
    refused: float
    """Skipped at once."""
    empty: float
    """Skipped after waiting: taken in, and nothing was scored in time."""
    whole_of_capacity: float
    """Whole answers, of those that arrivals and capacity allow if nothing else were scored."""
    scores_a_second: float
    tokens: float
    """Of a pair that was scored in time, in the mean."""


def by_depth(run: str = "bm25") -> Worth:
    """By the number of scored candidates, as if they were the first ones."""
    curve = json.loads(CURVES.read_text(encoding="utf-8"))[run]
    ndcg, recall = (curve[name] for name in MEASURES)
    return lambda answer: (ndcg[sum(answer)], recall[sum(answer)])


def by_replay(scored: Scored) -> Worth:
    """The mean over the collection's queries, had just these candidates of each been scored."""

    @cache
    def worth(answer: Answer) -> tuple[float, float]:
        values = scored.values(answer).values()
        ndcg, recall = (fmean(value[name] for value in values) for name in MEASURES)
        return ndcg, recall

    return worth


def simulate(
    machine: Machine, scheme: Scheme, load: float, traffic: Sequence[Asked], worth: Worth
) -> Figures:
    """One scheme at one load, a share of the rate at which all of every query can be scored."""
    simulation = Simulation(machine, scheme, traffic)
    simulation.run()
    answers, count, seconds = simulation.answers, len(traffic), traffic[-1].arrives
    assert len(answers) == count, "everybody is answered once"
    values, depths = [worth(answer) for answer in answers], [sum(answer) for answer in answers]
    whole = sum(all(answer[:HEAD]) for answer in answers)
    return Figures(
        scheme=scheme.name,
        load=load,
        ndcg=fmean(ndcg for ndcg, _ in values),
        recall=fmean(recall for _, recall in values),
        whole=whole / count,
        depth=fmean(depths),
        reranked=depths.count(CANDIDATES) / count,
        partial=sum(0 < depth < CANDIDATES for depth in depths) / count,
        refused=simulation.refused / count,
        empty=(depths.count(0) - simulation.refused) / count,
        whole_of_capacity=whole / min(count, seconds * machine.head_rate),
        scores_a_second=sum(depths) / seconds,
        tokens=simulation.tokens / max(1, sum(depths)),
    )


def compare(
    requests: int,
    *,
    worth: Worth,
    seed: int = 0,
    noise: float = 0.1,
    budgets_ms: Sequence[float] = BUDGETS_MS,
    loads: Sequence[float] = LOADS,
) -> list[Figures]:
    """Every scheme at every load."""
    machine, result = Machine(noise), []
    for load in loads:
        traffic = machine.traffic(load, requests, seed, budgets_ms)
        result += [simulate(machine, scheme, load, traffic, worth) for scheme in SCHEMES]
    return result


def main() -> None:
    parser = argparse.ArgumentParser(prog="benchmarks.scheduling", description=__doc__)
    parser.add_argument("--requests", type=int, default=4_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--noise", type=float, default=0.1, help="sigma of a pair's log-normal luck")
    parser.add_argument("--budgets", type=float, nargs="+", default=BUDGETS_MS, help="ms, in equal shares")
    parser.add_argument("--curve", default="bm25", help="bm25 or tasb")
    parser.add_argument(
        "--replay", type=Path, help="a judged collection in BEIR's layout with runs/CURVE.trec"
    )
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    worth = by_depth(arguments.curve)
    if arguments.replay is not None:
        with rerankd.open(settings=Settings.load().uncached(), require_model=True) as reranker:
            worth = by_replay(read_scored(arguments.replay, arguments.curve, reranker))
    found = compare(
        arguments.requests,
        worth=worth,
        seed=arguments.seed,
        noise=arguments.noise,
        budgets_ms=arguments.budgets,
    )
    if arguments.json:
        print(json.dumps([asdict(figures) for figures in found], indent=1))
        return
    machine = Machine(arguments.noise)
    print(
        f"Pairs of {machine.tokens:.0f} tokens in the mean, {FIXED * 1e3:g} ms + {machine.unit * 1e6:.0f} us a"
        f" unit of weight; full queries: {machine.full_rate:.2f}/s, heads of 12: {machine.head_rate:.2f}/s."
    )
    peak = max(figures.scores_a_second for figures in found)
    for load, rows in itertools.groupby(found, key=lambda figures: figures.load):
        print(f"\n**{load:.0%} load**\n")
        print(
            "| scheme | nDCG@10 | recall@8 | first 12 whole | of capacity | depth"
            " | reranked | partial | refused | empty | scores/s of peak | tokens a score |"
        )
        print("|---|" + "--:|" * 11)
        for row in rows:
            print(
                f"| {row.scheme} | {row.ndcg:.4f} | {row.recall:.4f} | {row.whole:.1%} |"
                f" {row.whole_of_capacity:.0%} | {row.depth:.1f} | {row.reranked:.1%} | {row.partial:.1%} |"
                f" {row.refused:.1%} | {row.empty:.1%} | {row.scores_a_second / peak:.0%} |"
                f" {row.tokens:.0f} |"
            )


if __name__ == "__main__":
    main()
