"""Jobs and schedulers whose costs a test can work out in its head."""

import itertools
import math
from collections.abc import Sequence
from typing import Any

from rerankd.core.batch import BatchPolicy
from rerankd.core.estimate import EstimatePolicy, pair_weight
from rerankd.core.job import Job
from rerankd.core.lengths import CHARACTERS_PER_TOKEN
from rerankd.core.ports import ScorerTraits
from rerankd.core.scheduler import Scheduler
from rerankd.core.types import Pair, Text
from rerankd.core.watch import WatchPolicy
from rerankd.core.work import Encode, Run

__all__ = ["QUERY", "UNIT", "a_job", "a_scheduler", "encode", "pair_of", "run_seconds", "score", "text_of"]

QUERY = Text("q")
UNIT = 0.001
"""Seconds a unit of weight, in the schedulers made here."""
_NUMBERS = itertools.count(1)
_OTHER_TOKENS = 5
"""What the query and the special tokens add to a text."""


def text_of(tokens: int) -> Text:
    """A text that makes a pair of so many tokens, by the guess from its characters."""
    return Text("a" * math.ceil(max(0, tokens - _OTHER_TOKENS) * CHARACTERS_PER_TOKEN))


def pair_of(tokens: int) -> Pair:
    return Pair(QUERY, text_of(tokens), tokens)


def run_seconds(*tokens: int) -> float:
    """What one run of pairs that long is predicted to take."""
    return len(tokens) * pair_weight(max(tokens)) * UNIT


def a_job(lengths: Sequence[int] = (10, 10, 10), *, deadline: float = math.inf, **options: Any) -> Job:
    """`lengths`: the tokens of each candidate's pair."""
    options = {"arrived": 0.0, "head": 8, "max_tokens": 512, **options}
    return Job(next(_NUMBERS), QUERY, [text_of(tokens) for tokens in lengths], deadline=deadline, **options)


def a_scheduler(
    *,
    encodes: bool = False,
    batch: BatchPolicy | None = None,
    calibrated: bool = True,
    refiner: ScorerTraits | None = None,
    refiner_encodes: bool = True,
    **traits: Any,
) -> Scheduler:
    """One worker, one pair a run, `UNIT` seconds a weight and nothing for encoding."""
    scheduler = Scheduler(
        ScorerTraits(model="m", device="cpu", **traits),
        batch=batch or BatchPolicy(),
        estimate=EstimatePolicy(),
        watch=WatchPolicy(),
        encodes=encodes,
        refiner=refiner,
        refiner_encodes=refiner_encodes,
    )
    if calibrated:
        scheduler.costs.running.calibrate([(100.0, 100.0 * UNIT), (200.0, 200.0 * UNIT)], 0.0)
        scheduler.costs.encoding.calibrate([(1.0, 1e-9), (2.0, 2e-9)], 0.0)
    return scheduler


def encode(scheduler: Scheduler, now: float) -> None:
    """Do the encoding that is next, into pairs as long as was guessed."""
    work = scheduler.next(now)
    assert isinstance(work, Encode)
    lengths = work.job.lengths[work.first : work.last]
    scheduler.encoded(work, [[pair_of(tokens)] for tokens in lengths], now)


def score(scheduler: Scheduler, run: Run, now: float) -> None:
    """End a run with a score of nought for each pair."""
    scheduler.scored(run, [0.0] * len(run.items), now)
