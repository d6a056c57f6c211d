"""A scorer of our own that takes over when a remote one has not answered by a share of the budget.

In words. The remote scorer is asked first. Has it not answered when the share is over, the local one begins with
the first candidates, and goes on while there is time; whichever has all the scores first is taken. Has it failed,
the local one begins at once; has it failed or been late too often, it is not asked at all for a while: its circuit
is here, because the engine's circuit sees only that the two together answered.

Scores of two models are never mixed in one answer: it is all of the one, or what the other came to.
"""

import logging
import math
import random
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace

from rerankd.core.breaker import Breaker, BreakerPolicy, Permit, Verdict
from rerankd.core.estimate import Estimate, EstimatePolicy, pair_weight
from rerankd.core.ports import Clock, Model, Scorer, ScorerTraits, Stop
from rerankd.core.ranking import sigmoid
from rerankd.core.types import Pair, Reason, Scores
from rerankd.engine.stop import StopSignal
from rerankd.engine.ticket import wait
from rerankd.errors import BackendError

__all__ = ["TakeoverScorer"]

_log = logging.getLogger(__name__)

_MARGIN = 0.005
"""Seconds before the caller's deadline by which our own scores are handed over."""
_SLICE = 8
"""Texts that are encoded in one go."""

_First = Future[Sequence[float]]


class TakeoverScorer:
    """The `Scorer` port over two others. Thread-safe."""

    def __init__(
        self,
        first: Scorer,
        second: Model,
        *,
        share: float,
        clock: Clock,
        breaker: BreakerPolicy | None = None,
        draw: Callable[[], float] = random.random,
    ) -> None:
        """`first` takes whole requests and gives probabilities. `share`: of a budget, after which `second` begins;
        without a budget it begins only when `first` has failed."""
        self._first = first
        self._second = second
        self._share = share
        self._clock = clock
        self._lock = threading.Lock()
        self._breaker = Breaker(breaker or BreakerPolicy(), remote=True, draw=draw)
        self._costs = Estimate(EstimatePolicy())
        ours, theirs = second.scorer.traits, first.traits
        self._here = threading.BoundedSemaphore(ours.concurrency)
        self._pool = ThreadPoolExecutor(theirs.concurrency, thread_name_prefix="rerankd-takeover")
        self.traits: ScorerTraits = replace(theirs, model=f"{theirs.model}|{ours.model}", punctual=True)

    def score(self, pairs: Sequence[Pair], stop: Stop) -> Sequence[float]:
        """The remote scorer's scores, or those that the local one came to. Raises what the remote one raised when
        there are neither."""
        began = self._clock.now()
        permit = self._permit(began, stop.deadline)
        if permit is None:
            return self._score_here(pairs, stop, None)
        asking = StopSignal(stop.deadline)
        stop.on_stop(asking.fire)
        first: _First = self._pool.submit(self._first.score, pairs, asking)
        wait(first, (stop.deadline - began) * self._share)
        try:
            scores = _scores(first)
            if scores is None:
                scores = self._score_here(pairs, stop, first)
        finally:
            self._end(permit, _verdict(first, stop))
            asking.fire()
        return scores

    def close(self) -> None:
        self._first.close()
        self._second.scorer.close()
        self._pool.shutdown(wait=False, cancel_futures=True)

    # -- the remote one's circuit -----------------------------------------------------------------------

    def _permit(self, now: float, deadline: float) -> Permit | None:
        with self._lock:
            return self._breaker.permit(now, deadline)

    def _end(self, permit: Permit, verdict: Verdict) -> None:
        with self._lock:
            before = self._breaker.state
            self._breaker.end(permit, verdict, self._clock.now())
            after = self._breaker.state
        if before != after:
            _log.warning("circuit of %s: %s -> %s", self._first.traits.model, before, after)

    # -- the local one ----------------------------------------------------------------------------------

    def _score_here(self, pairs: Sequence[Pair], stop: Stop, first: _First | None) -> Sequence[float]:
        """What the local scorer comes to, unless the remote one has all of it before."""
        until = stop.deadline - _MARGIN
        patience = (
            None if until == math.inf else min(max(0.0, until - self._clock.now()), threading.TIMEOUT_MAX)
        )
        found: list[float | None] = [None] * len(pairs)
        error: BackendError | None = None
        if self._here.acquire(timeout=patience):
            try:
                for at in range(0, len(pairs), _SLICE):
                    if not self._slice(pairs, at, found, stop, until, first):
                        break
            except BackendError as failed:
                error = failed
            finally:
                self._here.release()
        theirs = None if first is None else _scores(first)
        if theirs is not None:
            return theirs
        scored = [score for score in found if score is not None]
        if len(scored) == len(found):
            return scored
        if not scored:
            failed_first = None if first is None or not first.done() else first.exception()
            if failed_first is not None:
                raise failed_first
            if error is not None:
                raise error
        return Scores(found, Reason.DEADLINE if error is None else Reason.MODEL_ERROR)

    def _slice(
        self,
        pairs: Sequence[Pair],
        at: int,
        found: list[float | None],
        stop: Stop,
        until: float,
        first: _First | None,
    ) -> bool:
        """Score a few more; False: the time is over, or the remote scorer was faster."""
        some = pairs[at : at + _SLICE]
        encoded: Sequence[Sequence[Pair]] = [(pair,) for pair in some]
        if self._second.tokenizer is not None:
            texts = [pair.text for pair in some]
            encoded = self._second.tokenizer.encode(some[0].query, texts, max_tokens=self._second.max_tokens)
        for number, (pair, *_) in enumerate(encoded, start=at):
            began, weight = self._clock.now(), pair_weight(pair.tokens)
            with self._lock:
                predicted = self._costs.seconds(weight, began)
            if (
                stop.stopped
                or began + predicted > until
                or (first is not None and _scores(first) is not None)
            ):
                return False
            (logit,) = self._second.scorer.score([pair], stop)
            now = self._clock.now()
            with self._lock:
                self._costs.observe(weight, now - began, now)
            # the answer as a whole is said to hold probabilities
            found[number] = sigmoid(logit) if self._second.scorer.traits.activation == "sigmoid" else logit
        return True


def _scores(first: _First) -> Sequence[float] | None:
    """What the remote scorer has answered, if that is worth anything."""
    if not first.done() or first.cancelled() or first.exception() is not None:
        return None
    scores = first.result()
    # a server that came to nothing (it is busy, or counts our requests) is no better than one that is silent
    return None if isinstance(scores, Scores) and all(map(math.isnan, scores)) else scores


def _verdict(first: _First, stop: Stop) -> Verdict:
    if not first.done():
        return Verdict.UNJUDGED if stop.stopped else Verdict.BAD
    if first.cancelled():
        return Verdict.UNJUDGED
    if first.exception() is not None:
        return Verdict.BAD
    return Verdict.UNJUDGED if isinstance(first.result(), Scores) else Verdict.GOOD
