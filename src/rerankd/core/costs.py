"""What the scheduler needs to know before it starts work: how long it will take."""

import math
from collections.abc import Sequence

from rerankd.core.batch import BatchLimit
from rerankd.core.estimate import Estimate, EstimatePolicy, run_weight
from rerankd.core.job import Job, Part
from rerankd.core.lengths import CHARACTERS_PER_TOKEN, Density
from rerankd.core.watch import WatchPolicy
from rerankd.core.work import Run

__all__ = ["Costs"]

_CALL = 1_000.0
"""The weight of every call that takes a whole request; only that it is always the same matters."""


class Costs:
    """Predicted seconds of runs and encodings, on `workers` workers of one model."""

    __slots__ = ("_by_size", "_limit", "_watch", "density", "encodes", "encoding", "running", "workers")

    def __init__(
        self, *, estimate: EstimatePolicy, watch: WatchPolicy, limit: BatchLimit, workers: int, encodes: bool
    ) -> None:
        """`encodes`: whether texts must be encoded before they are scored."""
        self.running = Estimate(estimate)
        self.encoding = Estimate(estimate)
        self._by_size = Estimate(estimate)
        """Of calls that take a whole request: what they take for their size. Nobody knows which of the two is
        right, so a call is taken in if either says that it fits, and overdue only when both do."""
        self.density = Density()
        """How long its tokenizer makes texts."""
        self.workers = workers
        self.encodes = encodes
        self._watch = watch
        self._limit = limit

    def run(self, lengths: Sequence[int], now: float) -> float:
        """Seconds of one run of pairs that long."""
        if self._limit.punctual:
            # it takes what it is given: a budget smaller than the last one's is no reason to refuse
            return 0.0
        weight = run_weight(lengths)
        seconds = self.running.seconds(self._weight(weight), now)
        if self._limit.whole and self._by_size.known:
            # a small request is not refused because the one before it was large
            seconds = min(seconds, self._by_size.seconds(weight, now))
        return seconds

    def run_patience(self, lengths: Sequence[int], now: float) -> float:
        """Seconds after which that run is overrun."""
        weight = run_weight(lengths)
        patience = self.running.patience(self._weight(weight), now)
        if self._limit.whole:
            # a large request is not overdue because the ones before it were small
            patience = max(patience, self._by_size.patience(weight, now))
        return self._watch.patience(patience)

    def encode(self, job: Job, first: int, last: int, now: float) -> float:
        """Seconds for encoding these candidates."""
        return self.encoding.seconds(characters(job, first, last), now)

    def encode_patience(self, job: Job, first: int, last: int, now: float) -> float:
        """Seconds after which that is overrun."""
        return self._watch.patience(self.encoding.patience(characters(job, first, last), now))

    def first_score(self, job: Job, encode_slice: int, now: float) -> float:
        """Seconds until the first score on an idle engine: the shortest candidate, and its encoding."""
        if self._limit.whole:
            return self.run(job.lengths, now)
        shortest = self.run([min(min(job.lengths), job.max_tokens)], now)
        if not self.encodes:
            return shortest
        return shortest + self.encode(job, 0, min(job.parts[0].last, encode_slice), now)

    def all_workers(self, part: Part, now: float) -> float:
        """Seconds of all workers together for what waits in a part."""
        # a run is one worker's, however many pairs it holds
        runs = self._runs(part.waiting_pairs)
        weight = self._weight(part.waiting_weight)
        return self.running.seconds(weight, now, runs) / max(1, min(self.workers, runs))

    def reachable(self, job: Job, now: float) -> int:
        """How many of the head's candidates an idle engine could score before the deadline; at least 1."""
        left = (job.deadline - now) * self.workers
        for candidate in range(job.head):
            left -= self.running.seconds(job.weight(job.lengths[candidate]), now)
            if left < 0:
                return max(1, candidate)
        return job.head

    def observe(self, run: Run, seconds: float, now: float) -> None:
        """Learn from a run that took so long."""
        self.running.observe(self._weight(run.weight), seconds, now)
        if self._limit.whole:
            self._by_size.observe(run.weight, seconds, now)

    def outlasted(self, run: Run, seconds: float, now: float) -> None:
        """Learn from a run that was stopped, and would have taken about so long."""
        self.running.outlasted(self._weight(run.weight), seconds, now)
        if self._limit.whole:
            self._by_size.outlasted(run.weight, seconds, now)

    def _weight(self, weight: float) -> float:
        """A scorer that takes a request whole is not timed at load, so nobody knows how much of a call's cost is
        fixed. All its calls count as equal: a guess by size would refuse sizes that were never tried."""
        return _CALL if self._limit.whole else weight

    def _runs(self, pairs: int) -> int:
        """In how many runs so many pairs go."""
        return 1 if self._limit.whole else math.ceil(pairs / self._limit.pairs)


def characters(job: Job, first: int, last: int) -> int:
    """How many characters the tokenizer will look at: what lies beyond the window is cut before. They are what they
    are, so nothing that was learned of tokens is in it."""
    return int(sum(job.sizes[first:last]) * CHARACTERS_PER_TOKEN)
