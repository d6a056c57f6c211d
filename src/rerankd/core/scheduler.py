"""Which work is taken in, and which of it a free worker does next.

The order is `(tier, deadline, arrival)`. Tier 0 is the head of a request, its first candidates; tier 1 the
rest of those whose head is under way or done; tier 2 heads that can no longer be complete in time, which take
only what is left over. A head is begun only where that costs no begun head its completion, so under overload
some answers are whole instead of all being scraps. A pair that cannot end before its caller's deadline never
starts.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from rerankd.core import forecast
from rerankd.core.estimate import Estimate, EstimatePolicy, pair_weight, run_weight
from rerankd.core.job import Item, Job, Part
from rerankd.core.lengths import CHARACTERS_PER_TOKEN
from rerankd.core.policy import check_range
from rerankd.core.ports import ScorerTraits
from rerankd.core.types import Pair, Reason
from rerankd.core.work import Encode, Run, Work

__all__ = ["BatchPolicy", "Scheduler"]


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchPolicy:
    """How much work is taken in, and how much of it one run may hold."""

    max_pairs: int = 32
    """Most pairs in one run."""
    max_tokens: int = 16_384
    """Most padded tokens in one run, where pairs are grouped at all; the scorer may ask for less."""
    queue_pairs: int = 20_000
    """Most pairs that may wait; a request beyond that is answered `overloaded`."""
    workers: int = 0
    """Worker threads; 0: as many as the scorer can use at once."""
    encode_slice: int = 32
    """Most candidates that are encoded in one go, so that a long request delays the others by little."""
    regrow_runs: int = 64
    """Good runs in a row after which a batch limit that was halved for want of memory doubles again."""

    def __post_init__(self) -> None:
        check_range(self, "max_pairs", 1)
        check_range(self, "max_tokens", 1)
        check_range(self, "queue_pairs", 1)
        check_range(self, "workers", 0)
        check_range(self, "encode_slice", 1)
        check_range(self, "regrow_runs", 1)


class Scheduler:
    """The queue. Time is an argument, nothing here waits; the owner holds a lock around every call."""

    def __init__(
        self,
        traits: ScorerTraits,
        *,
        batch: BatchPolicy,
        estimate: EstimatePolicy,
        encodes: bool,
        overrun_factor: float,
        overrun_min: float,
    ) -> None:
        """`encodes`: whether texts must be encoded first. `overrun_min`: seconds, as `WatchPolicy` has it."""
        self._batch = batch
        self._traits = traits
        self._encodes = encodes
        self._overrun_factor = overrun_factor
        self._overrun_min = overrun_min
        self._whole = traits.unit == "query"
        grouped = traits.batch_invariant and traits.max_batch_tokens > 0
        self._tokens_limit = min(batch.max_tokens, traits.max_batch_tokens) if grouped else 0
        self._most_pairs = batch.max_pairs if grouped else 1
        self._pairs_limit = self._most_pairs
        self._good_runs = 0
        self._jobs: dict[Job, None] = {}
        self.active: set[Work] = set()
        self.workers = batch.workers or traits.concurrency
        self.run_estimate = Estimate(estimate)
        self.encode_estimate = Estimate(estimate)

    @property
    def waiting_pairs(self) -> int:
        """Pairs that nobody has begun to score."""
        return sum(job.waiting_pairs for job in self._jobs)

    @property
    def pairs_limit(self) -> int:
        """Most pairs that a run may hold now."""
        return self._pairs_limit

    @property
    def tokens_limit(self) -> int:
        """Most padded tokens that a run of several pairs may hold; 0: pairs are not grouped."""
        return self._tokens_limit

    def jobs(self) -> list[Job]:
        """The jobs that are taken in and not complete."""
        return list(self._jobs)

    def refuse(self, job: Job, now: float) -> Reason | None:
        """Why a request cannot be taken in, predicted before anything is queued; None: it can."""
        if job.deadline == math.inf:
            return Reason.OVERLOADED if self._full(job) else None
        needed = self._smallest(job, now)
        if now + needed > job.deadline:
            return Reason.BUDGET_TOO_SMALL
        begun, waiting = self._heads(now)
        busy = sum(work.left(now) for work in self.active) / self.workers
        delay = forecast.queue_delay(job.deadline, now, busy=busy, begun=begun, waiting=waiting)
        return forecast.refusal(job.deadline, now, needed=needed, delay=delay, full=self._full(job))

    def fit(self, job: Job, floor: int, now: float) -> None:
        """Cut the job's candidates so that all of them can be scored before its deadline."""
        seconds = (job.deadline - now) * self.workers * 0.9
        cap = forecast.fitting_tokens(
            job.lengths,
            floor=floor,
            ceiling=job.max_tokens,
            cost=lambda tokens: self.run_estimate.seconds(pair_weight(tokens), now),
            seconds=seconds,
        )
        if cap < job.max_tokens:
            job.cap(cap)

    def add(self, job: Job) -> None:
        """Queue a job that was not refused."""
        self._jobs[job] = None
        if not self._encodes:
            for part in job.parts:
                for candidate in range(part.first, part.last):
                    pair = Pair(job.query, job.texts[candidate], job.lengths[candidate])
                    job.ready(candidate, [pair])
                part.next = part.last

    def close(self, job: Job, now: float) -> list[Work]:
        """Nobody waits for this job any more; returns the work under way that is thereby of no use."""
        if not job.closed:
            job.closed = True
            job.overran = self.overran(now)
            job.dropped += job.waiting_pairs
            self._jobs.pop(job, None)
        return [work for work in self.active if job in work.jobs and all(other.closed for other in work.jobs)]

    def next(self, now: float) -> Work | None:
        """The next work for a free worker, begun as of now; None: there is nothing that fits."""
        while True:
            chosen = self._choose(now)
            if chosen is None:
                return None
            job, part = chosen
            work = self._run(job, part, now) if part.ready else self._encode(job, part, now)
            if work is not None:
                self._begin(work, now)
                return work

    def encoded(self, work: Encode, candidates: Sequence[Sequence[Pair]], now: float) -> None:
        """Encoding has ended; one sequence of pairs for each of its texts."""
        self._end(work, now)
        self.encode_estimate.observe(work.characters, now - work.started, now)
        if work.job.closed:
            return
        for candidate, pairs in enumerate(candidates, start=work.first):
            work.job.ready(candidate, pairs)

    def encode_failed(self, work: Encode, now: float) -> None:
        self._end(work, now)
        if not work.job.closed:
            work.job.forget(work.part, work.first, work.last)
            work.job.failed(range(work.first, work.last))

    def scored(self, run: Run, logits: Sequence[float], now: float) -> bool:
        """A run has ended with one score a pair; tells whether the batch limit grew back by it."""
        self._end(run, now)
        self.run_estimate.observe(run.weight, now - run.started, now)
        for item, logit in zip(run.items, logits, strict=True):
            if item.job.wants(item):
                item.job.scored(item.candidate, logit)
        self._good_runs += 1
        if self._good_runs < self._batch.regrow_runs or self._pairs_limit >= self._most_pairs:
            return False
        self._good_runs = 0
        self._pairs_limit = min(self._pairs_limit * 2, self._most_pairs)
        return True

    def failed(self, run: Run, now: float) -> None:
        """A run has raised, answered nonsense, or hung: its pairs are given up."""
        self._end(run, now)
        for job in run.jobs:
            if not job.closed:
                job.failed(item.candidate for item in run.items if item.job is job)

    def out_of_memory(self, run: Run, now: float) -> bool:
        """A run did not fit: halve the limit and queue its pairs again, or fail it if it was a single one."""
        if len(run.items) == 1 or self._whole:
            self.failed(run, now)
            return False
        self._end(run, now)
        self._good_runs = 0
        self._pairs_limit = max(1, len(run.items) // 2)
        for item in reversed(run.items):
            if item.job.wants(item):
                item.job.returned(item)
        return True

    def interrupted(self, run: Run, now: float) -> None:
        """A run was stopped because nobody waits for it; it says nothing about the scorer."""
        self._end(run, now)

    def take_complete(self) -> list[Job]:
        """Jobs to which nothing more can happen; they leave the queue."""
        done = [job for job in self._jobs if job.complete]
        for job in done:
            del self._jobs[job]
        return done

    def expired(self, now: float) -> list[Job]:
        """Jobs whose caller's deadline has passed."""
        return [job for job in self._jobs if job.deadline <= now]

    def overran(self, now: float) -> bool:
        """Whether a run under way is far older than predicted: the scorer, not the load, is to blame."""
        return any(work.overran(now) for work in self.active)

    # -- choosing ---------------------------------------------------------------------------------------

    def _choose(self, now: float) -> tuple[Job, Part] | None:
        best: tuple[tuple[int, float, int], Job, Part] | None = None
        begun: list[forecast.Head] | None = None
        for job in self._jobs:
            head, rest = job.parts
            if head.available:
                if begun is None:
                    begun = self._heads(now)[0]
                part, tier = head, self._head_tier(job, begun, now)
            elif rest.available:
                part, tier = rest, 1
            else:
                continue
            key = (tier, job.deadline, job.number)
            if best is None or key < best[0]:
                best = (key, job, part)
        return None if best is None else best[1:]

    def _head_tier(self, job: Job, begun: Sequence[forecast.Head], now: float) -> int:
        if job.deadline == math.inf:
            return 0
        head = (job.deadline, self._head_seconds(job, now))
        if job.begun:
            return 0 if now + head[1] <= job.deadline else 2
        return 0 if forecast.beginnable(head, begun, now) else 2

    def _heads(self, now: float) -> tuple[list[forecast.Head], list[forecast.Head]]:
        """The begun and the other heads that still wait for something."""
        begun: list[forecast.Head] = []
        waiting: list[forecast.Head] = []
        for job in self._jobs:
            if job.parts[0].waiting_pairs:
                (begun if job.begun else waiting).append((job.deadline, self._head_seconds(job, now)))
        return begun, waiting

    def _head_seconds(self, job: Job, now: float) -> float:
        head = job.parts[0]
        pairs = head.waiting_pairs
        share = min(self.workers, pairs) or 1
        return (
            self.run_estimate.seconds(head.waiting_weight, now, self._runs(pairs, head.waiting_weight))
            / share
        )

    def _runs(self, pairs: int, weight: float) -> int:
        """In how many runs so many pairs go."""
        if self._whole:
            return 1
        by_tokens = math.ceil(weight / self._tokens_limit) if self._tokens_limit else pairs
        return max(by_tokens, math.ceil(pairs / self._pairs_limit))

    def _smallest(self, job: Job, now: float) -> float:
        """Seconds until the first score on an idle engine: the shortest candidate, and its encoding."""
        if self._whole:
            return self.run_estimate.seconds(sum(job.weight(n) for n in job.lengths), now)
        shortest = self.run_estimate.seconds(pair_weight(min(job.lengths)), now)
        if not self._encodes:
            return shortest
        head = job.parts[0]
        last = min(head.last, self._batch.encode_slice)
        return shortest + self.encode_estimate.seconds(self._characters(job, 0, last), now)

    def _full(self, job: Job) -> bool:
        return self.waiting_pairs + len(job.texts) > self._batch.queue_pairs

    # -- taking work ------------------------------------------------------------------------------------

    def _run(self, job: Job, part: Part, now: float) -> Run | None:
        """A run that begins with the part's first pair that still fits; the ones before it are given up."""
        if self._whole:
            return self._whole_run(job, part, now)
        while part.ready:
            item = part.ready.popleft()
            job.taken(item)
            if not job.wants(item):
                job.dropped += 1
                continue
            if now + self._seconds([item.pair.tokens], now) <= job.deadline:
                return self._grouped(item, now)
            job.drop(item.candidate)
        return None

    def _whole_run(self, job: Job, part: Part, now: float) -> Run | None:
        items = list(part.ready)
        part.ready.clear()
        for item in items:
            job.taken(item)
        seconds = self._seconds([item.pair.tokens for item in items], now)
        if now + seconds <= job.deadline:
            return self._as_run(items, now)
        for item in items:
            job.drop(item.candidate)
        return None

    def _grouped(self, first: Item, now: float) -> Run:
        """The pair, and as many others as may share its run, in the order of their priority."""
        items = [first]
        if self._pairs_limit > 1:
            longest = first.pair.tokens
            for job in self._by_priority(first.job):
                for part in job.parts:
                    longest = self._fill(items, job, part, longest, now)
            items.sort(key=lambda item: item.pair.tokens)
        return self._as_run(items, now)

    def _by_priority(self, first: Job) -> list[Job]:
        others = sorted(
            (job for job in self._jobs if job is not first), key=lambda job: (job.deadline, job.number)
        )
        return [first, *others]

    def _fill(self, items: list[Item], job: Job, part: Part, longest: int, now: float) -> int:
        left: list[Item] = []
        deadline = min(job.deadline, *(item.job.deadline for item in items))
        while part.ready and len(items) < self._pairs_limit:
            item = part.ready.popleft()
            width = max(longest, item.pair.tokens)
            too_wide = width * (len(items) + 1) > self._tokens_limit
            lengths = [width] * (len(items) + 1)
            if too_wide or now + self._seconds(lengths, now) > deadline:
                left.append(item)
                continue
            job.taken(item)
            if job.wants(item):
                items.append(item)
                longest = width
            else:
                job.dropped += 1
        part.ready.extendleft(reversed(left))
        return longest

    def _encode(self, job: Job, part: Part, now: float) -> Encode | None:
        last = min(part.last, part.next + self._batch.encode_slice)
        characters = self._characters(job, part.next, last)
        seconds = self.encode_estimate.seconds(characters, now)
        shortest = self._seconds([min(job.lengths[part.next : part.last])], now)
        if now + seconds + shortest > job.deadline:
            job.drop_unencoded(part)
            return None
        work = Encode(
            job,
            part,
            last,
            characters=characters,
            now=now,
            predicted=seconds,
            allowance=self._allowance(self.encode_estimate.patience(characters, now)),
        )
        part.next = last
        return work

    def _as_run(self, items: Sequence[Item], now: float) -> Run:
        weight = run_weight([item.pair.tokens for item in items])
        return Run(
            items,
            now=now,
            predicted=self.run_estimate.seconds(weight, now),
            allowance=self._allowance(self.run_estimate.patience(weight, now)),
        )

    def _seconds(self, lengths: Sequence[int], now: float) -> float:
        return self.run_estimate.seconds(run_weight(lengths), now)

    def _allowance(self, patience: float) -> float:
        return max(self._overrun_factor * patience, self._overrun_min)

    def _characters(self, job: Job, first: int, last: int) -> int:
        # what lies beyond the window is cut before the tokenizer sees it
        return int(sum(job.lengths[first:last]) * CHARACTERS_PER_TOKEN)

    def _begin(self, work: Work, now: float) -> None:
        self.active.add(work)
        for job in work.jobs:
            job.begin("tokenize" if isinstance(work, Encode) else "inference", now)

    def _end(self, work: Work, now: float) -> None:
        self.active.discard(work)
        for job in work.jobs:
            job.end("tokenize" if isinstance(work, Encode) else "inference", now)
