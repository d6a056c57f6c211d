"""Which work is taken in, and which of it a free worker does next.

The order is `(tier, deadline, arrival)`. Tier 0 is the head of a request, its first candidates; tier 1 the
rest of those whose head is under way or done; tier 2 heads that can no longer be complete in time, which take
only what is left over. A head is begun only where that costs no begun head its completion, so under overload
some answers are whole instead of all being scraps. A pair that cannot end before its caller's deadline never
starts.

A cascade's larger model has a lane of its own, on the same workers. Its tiers stand behind everything of every
first pass, tier 3 the first of each request, tier 4 the second, and so on; so under load they are what falls away
first. One that cannot be complete in time is given up: nobody would use a part of it.
"""

import math
from collections.abc import Sequence

from rerankd.core import forecast
from rerankd.core.batch import BatchPolicy
from rerankd.core.costs import characters
from rerankd.core.estimate import EstimatePolicy, pair_weight
from rerankd.core.job import FIRST, REFINING, Item, Job, Part
from rerankd.core.lane import Lane
from rerankd.core.ports import ScorerTraits
from rerankd.core.types import Pair, Reason
from rerankd.core.watch import WatchPolicy
from rerankd.core.work import Encode, Run, Work

__all__ = ["Scheduler"]

_Place = tuple[int, float, int]
"""Where a job's next work stands: tier, deadline, number. The smallest is first."""

_REFINES_FROM = 3
"""The first of the tiers in which a larger model rescores."""
_WORTH_STOPPING = 0.004
"""Seconds that a run must have left to be stopped for a first pass: stopping one takes 1.4 to 4 ms by itself."""


class Scheduler:
    """The queue. Time is an argument, nothing here waits; the owner holds a lock around every call."""

    def __init__(
        self,
        traits: ScorerTraits,
        *,
        batch: BatchPolicy,
        estimate: EstimatePolicy,
        watch: WatchPolicy,
        encodes: bool,
        refiner: ScorerTraits | None = None,
        refiner_encodes: bool = True,
    ) -> None:
        """`encodes`: whether texts must be encoded first; a scorer of whole queries takes them as they are.

        `refiner`: the larger scorer of a cascade, which scores pair by pair.
        """
        self._batch = batch
        self._jobs: dict[Job, None] = {}
        self.active: set[Work] = set()
        self.workers = min(batch.workers or traits.concurrency, traits.concurrency)

        def lane(scorer: ScorerTraits, encodes: bool) -> Lane:
            return Lane(
                scorer, batch=batch, estimate=estimate, watch=watch, workers=self.workers, encodes=encodes
            )

        first = lane(traits, encodes)
        self.lanes = (first,) if refiner is None else (first, lane(refiner, refiner_encodes))
        self.limit, self.costs = first.limit, first.costs

    @property
    def waiting_pairs(self) -> int:
        """Pairs that nobody has begun to score."""
        return sum(job.waiting_pairs for job in self._jobs)

    def jobs(self) -> list[Job]:
        """The jobs that are taken in and not complete."""
        return list(self._jobs)

    # -- taking in --------------------------------------------------------------------------------------

    def refuse(self, job: Job, now: float) -> Reason | None:
        """Why a request cannot be taken in, predicted before anything is queued; None: it can."""
        self._guess(job, now)
        # where nothing waits, even the largest request has its place; what only rescores gives way
        waiting_pairs = sum(each.waiting_pairs for each in self._jobs if each.lane == FIRST)
        full = waiting_pairs > 0 and waiting_pairs + len(job.texts) > self._batch.queue_pairs
        if job.deadline == math.inf:
            return Reason.OVERLOADED if full else None
        needed = self.costs.first_score(job, self._slice_end(job, 0, job.parts[0].last), now)
        if now >= job.deadline or now + needed > job.deadline:
            return Reason.BUDGET_TOO_SMALL
        begun, waiting = self._heads(now)
        idle = len(self.active) < self.workers
        busy = 0.0 if idle else min(work.left(now) for work in self.active)
        delay = forecast.queue_delay((job.deadline, needed), now, busy=busy, begun=begun, waiting=waiting)
        return Reason.OVERLOADED if full or now + delay + needed > job.deadline else None

    def fit(self, job: Job, floor: int, now: float) -> None:
        """Cut the job's candidates so that all of them can be scored before its deadline."""
        self._guess(job, now)
        second = self.costs.running.seconds
        nothing = second(0.0, now)
        unit = second(1.0, now) - nothing
        cap = forecast.fitting_tokens(
            job.lengths,
            floor=floor,
            ceiling=job.max_tokens,
            cost=lambda tokens: nothing + unit * pair_weight(tokens),
            seconds=(job.deadline - now) * self.workers * 0.9,
        )
        if cap < job.max_tokens:
            job.cap(cap)

    def add(self, job: Job, now: float) -> None:
        """Queue a job that was not refused."""
        if self.limit.whole:
            job.split(len(job.texts))
        elif job.deadline < math.inf:
            # texts so long that not even an idle engine could score the head must not make it a lost one
            job.split(self.costs.reachable(job, now))
        self._jobs[job] = None
        self._ready(job)

    def refine(self, job: Job, now: float) -> bool:
        """Queue a tier for the larger model; False: there is no time for it, or no room."""
        self._guess(job, now)
        if self.waiting_pairs + len(job.texts) > self._batch.queue_pairs or not self._in_time(job, now):
            return False
        self._jobs[job] = None
        self._ready(job)
        return True

    def _guess(self, job: Job, now: float) -> None:
        """Guess how long its texts are by what has been learned of others."""
        job.guess(self.lanes[job.lane].costs.density.per_token(now))

    def yielding(self, now: float) -> list[Work]:
        """Runs of the larger model to stop, because a first pass waits and no worker is free for it."""
        if len(self.lanes) == 1 or not self.lanes[REFINING].interruptible or len(self.active) < self.workers:
            return []
        if not any(job.lane == FIRST and any(part.available for part in job.parts) for job in self._jobs):
            return []
        return [
            work
            for work in self.active
            if isinstance(work, Run) and work.lane == REFINING and work.left(now) > _WORTH_STOPPING
        ]

    def _ready(self, job: Job) -> None:
        """Texts that need no encoding wait for a run at once."""
        if not self.lanes[job.lane].costs.encodes:
            for part in job.parts:
                for candidate in range(part.first, part.last):
                    pair = Pair(job.query, job.texts[candidate], job.lengths[candidate])
                    job.ready(candidate, [pair])
                part.next = part.last

    def close(self, job: Job, now: float) -> list[Work]:
        """Nobody waits for this job any more; returns the work under way that is thereby of no use."""
        if not job.closed:
            job.close(overran=self.overran(now, job.lane))
            self._jobs.pop(job, None)
        return [work for work in self.active if job in work.jobs and all(other.closed for other in work.jobs)]

    # -- handing out ------------------------------------------------------------------------------------

    def next(self, now: float) -> Work | None:
        """The next work for a free worker, begun as of now; None: there is nothing that fits."""
        while True:
            places = self._places(now)
            if not places:
                return None
            place, job, part = min(places, key=lambda each: each[0])
            if part.ready:
                work: Work | None = self._run(place[0], job, part, now)
            else:
                work = self._encode(job, part, now)
            if work is not None:
                self.active.add(work)
                for each in work.jobs:
                    each.begin(work.stage, now)
                return work

    def take_complete(self) -> list[Job]:
        """Jobs to which nothing more can happen; they leave the queue."""
        done = [job for job in self._jobs if job.complete]
        for job in done:
            del self._jobs[job]
        return done

    def expired(self, now: float) -> list[Job]:
        """Jobs whose caller's deadline has passed."""
        return [job for job in self._jobs if job.deadline <= now]

    def overran(self, now: float, lane: int = FIRST) -> bool:
        """Whether a run under way is far older than predicted: the scorer, not the load, is to blame."""
        return any(work.lane == lane and work.overran(now) for work in self.active)

    # -- writing down -----------------------------------------------------------------------------------

    def encoded(self, work: Encode, candidates: Sequence[Sequence[Pair]], now: float) -> None:
        """Encoding has ended; one sequence of pairs for each of its texts."""
        self._end(work, now)
        costs, job = self.lanes[work.lane].costs, work.job
        costs.encoding.observe(work.characters, now - work.started, now)
        whole = [
            (text, each[0].tokens)
            for text, each in zip(work.texts, candidates, strict=True)
            if len(each) == 1
        ]
        costs.density.observe(job.query, whole, max_tokens=job.max_tokens, now=now)
        if job.closed:
            return
        for candidate, pairs in enumerate(candidates, start=work.first):
            job.ready(candidate, pairs)
        self._guess(job, now)

    def scored(
        self, run: Run, logits: Sequence[float | None], now: float, left: Reason = Reason.DEADLINE
    ) -> bool:
        """A run has ended with one score a pair, None where it was `left` without one for this reason.

        Tells whether the batch limit grew back by it.
        """
        self._end(run, now)
        lane = self.lanes[run.lane]
        lane.costs.observe(run, now - run.started, now)
        for item, logit in zip(run.items, logits, strict=True):
            if not item.job.wants(item):
                continue
            if logit is None:
                item.job.leave(item.candidate, left)
            else:
                item.job.scored(item.candidate, logit)
        return lane.limit.good()

    def failed(self, work: Work, now: float) -> None:
        """Work has raised, answered nonsense, or hung: its candidates are given up."""
        self._end(work, now)
        if isinstance(work, Encode):
            if not work.job.closed:
                work.job.forget(work.part, work.first, work.last)
                work.job.failed(range(work.first, work.last))
            return
        for job in work.jobs:
            wanted = [item.candidate for item in work.items if item.job is job and job.wants(item)]
            if wanted:
                job.failed(wanted)

    def hung(self, lane: int = FIRST) -> None:
        """Some work is given up while it hangs: those who wait for its scorer now fall short because of it."""
        for job in self._jobs:
            job.overran = job.overran or job.lane == lane

    def out_of_memory(self, run: Run, now: float) -> bool:
        """A run did not fit: queue its pairs again for smaller ones, or fail it if it cannot be smaller."""
        if not self.lanes[run.lane].limit.halve(len(run.items)):
            self.failed(run, now)
            return False
        self._end(run, now)
        self._return(run)
        return True

    def interrupted(self, run: Run, now: float) -> None:
        """A run was stopped because nobody waits for it any more, or a first pass needs its worker.

        One that had lasted longer than predicted counts as two thirds done. Counted as ending now it could never
        lift the estimate above anybody's budget: a slow spell in which no run ends in time would go unnoticed,
        and every caller wait in vain. One that was overrun is the circuit's matter.
        """
        self._end(run, now)
        elapsed = now - run.started
        if run.predicted < elapsed and not run.overran(now):
            self.lanes[run.lane].costs.outlasted(run, 1.5 * elapsed, now)
        self._return(run)

    def _return(self, run: Run) -> None:
        """What somebody still waits for goes back to where it stood."""
        # in their queues they stand in retrieval order, in the run by their length
        for item in sorted(run.items, key=lambda item: item.candidate, reverse=True):
            if item.job.wants(item):
                item.job.returned(item)

    def _end(self, work: Work, now: float) -> None:
        self.active.discard(work)
        for job in work.jobs:
            job.end(work.stage, now)

    # -- choosing ---------------------------------------------------------------------------------------

    def _places(self, now: float) -> list[tuple[_Place, Job, Part]]:
        """Every part in which a worker could begin something, with where it stands."""
        places: list[tuple[_Place, Job, Part]] = []
        begun: list[forecast.Head] | None = None
        refining = self._may_refine()
        for job in self._jobs:
            head, rest = job.parts
            if job.tier is not None:
                if refining and head.available and self._complete_in_time(job, now):
                    places.append(((_REFINES_FROM + job.tier, job.deadline, job.number), job, head))
            elif head.available:
                if begun is None:
                    begun = self._heads(now)[0]
                places.append(((self._head_tier(job, begun, now), job.deadline, job.number), job, head))
            elif rest.available:
                places.append(((1, job.deadline, job.number), job, rest))
        return places

    def _may_refine(self) -> bool:
        """Whether the larger model can take another run."""
        if len(self.lanes) == 1:
            return False
        return sum(work.lane == REFINING for work in self.active) < self.lanes[REFINING].concurrency

    def _complete_in_time(self, job: Job, now: float) -> bool:
        """Whether a tier can still be complete; one that cannot is given up."""
        if self._in_time(job, now):
            return True
        job.abandon()
        return False

    def _in_time(self, job: Job, now: float) -> bool:
        """Whether the workers together could finish a tier before its deadline."""
        costs, part = self.lanes[job.lane].costs, job.parts[0]
        seconds = costs.all_workers(part, now)
        if costs.encodes and part.next < part.last:
            seconds += costs.encode(job, part.next, part.last, now)
        return now + seconds <= job.deadline

    def _head_tier(self, job: Job, begun: Sequence[forecast.Head], now: float) -> int:
        if job.deadline == math.inf:
            return 0
        head = (job.deadline, self.costs.all_workers(job.parts[0], now))
        if job.begun:
            return 0 if now + head[1] <= job.deadline else 2
        return 0 if forecast.beginnable(head, begun, now) else 2

    def _heads(self, now: float) -> tuple[list[forecast.Head], list[forecast.Head]]:
        """The begun and the other heads that still wait for something."""
        begun: list[forecast.Head] = []
        waiting: list[forecast.Head] = []
        for job in self._jobs:
            if job.lane == FIRST and job.parts[0].waiting_pairs:
                head = (job.deadline, self.costs.all_workers(job.parts[0], now))
                (begun if job.begun else waiting).append(head)
        return begun, waiting

    # -- making work ------------------------------------------------------------------------------------

    def _run(self, tier: int, job: Job, part: Part, now: float) -> Run | None:
        """A run that begins with the part's first pair that still fits; the ones before it are given up."""
        lane = self.lanes[job.lane]
        if lane.limit.whole:
            return self._whole(job, part, now)
        while part.ready:
            item = part.ready.popleft()
            job.taken(item)
            if not job.wants(item):
                job.dropped += 1
            elif now + lane.costs.run([item.pair.tokens], now) > job.deadline:
                job.drop(item.candidate)
            else:
                return self._as_run(self._grouped(tier, item, part, now), now)
        return None

    def _whole(self, job: Job, part: Part, now: float) -> Run | None:
        items = list(part.ready)
        part.ready.clear()
        for item in items:
            job.taken(item)
        if now + self.costs.run([item.pair.tokens for item in items], now) <= job.deadline:
            return self._as_run(items, now)
        for item in items:
            job.drop(item.candidate)
        return None

    def _grouped(self, tier: int, first: Item, part: Part, now: float) -> list[Item]:
        """The pair, and as many others of its tier as may share its run, in the order of their priority."""
        items = [first]
        most = self.lanes[first.job.lane].limit.pairs
        if most > 1:
            self._fill(items, first.job, part, now)
            for place, job, other in sorted(self._places(now), key=lambda each: each[0]):
                if place[0] == tier and job is not first.job and len(items) < most:
                    self._fill(items, job, other, now)
            items.sort(key=lambda item: item.pair.tokens)
        return items

    def _fill(self, items: list[Item], job: Job, part: Part, now: float) -> None:
        """Move pairs of a part into a run, as long as it is within all limits.

        A run takes at most half of the time that its most urgent caller has left: one that ends just before
        a deadline leaves no room for its prediction to be wrong.
        """
        lane = self.lanes[job.lane]
        longest = max(item.pair.tokens for item in items)
        latest = now + (min(job.deadline, *(item.job.deadline for item in items)) - now) / 2
        left: list[Item] = []
        while part.ready and len(items) < lane.limit.pairs:
            item = part.ready.popleft()
            width = max(longest, item.pair.tokens)
            count = len(items) + 1
            if width * count > lane.limit.tokens or now + lane.costs.run([width] * count, now) > latest:
                left.append(item)
                continue
            job.taken(item)
            if job.wants(item):
                items.append(item)
                longest = width
            else:
                job.dropped += 1
        part.ready.extendleft(reversed(left))

    def _encode(self, job: Job, part: Part, now: float) -> Encode | None:
        first, last = part.next, self._slice_end(job, part.next, part.last)
        costs = self.lanes[job.lane].costs
        seconds = costs.encode(job, first, last, now)
        shortest = min(min(job.lengths[first : part.last]), job.max_tokens)
        if now + seconds + costs.run([shortest], now) > job.deadline:
            job.drop_unencoded(part)
            return None
        part.next = last
        return Encode(
            job,
            part,
            first,
            last,
            characters=characters(job, first, last),
            now=now,
            predicted=seconds,
            patience=costs.encode_patience(job, first, last, now),
        )

    def _slice_end(self, job: Job, first: int, last: int) -> int:
        """Up to which candidate to encode in one go: encoding cannot be stopped, and holds its worker."""
        most = min(last, first + self._batch.encode_slice)
        end = first + 1
        while end < most and characters(job, first, end + 1) <= self._batch.encode_characters:
            end += 1
        return end

    def _as_run(self, items: Sequence[Item], now: float) -> Run:
        costs = self.lanes[items[0].job.lane].costs
        lengths = [item.pair.tokens for item in items]
        return Run(
            items,
            now=now,
            predicted=costs.run(lengths, now),
            patience=costs.run_patience(lengths, now),
        )
