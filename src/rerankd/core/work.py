"""What a worker is given to do."""

import math
from collections.abc import Sequence
from typing import ClassVar, Literal

from rerankd.core.estimate import run_weight
from rerankd.core.job import Item, Job, Part
from rerankd.core.types import Text

__all__ = ["Encode", "Run", "Work"]


class _Timed:
    """Work with a predicted end, and a moment from which it counts as overrun."""

    __slots__ = ("ends", "jobs", "lane", "overrun_at", "predicted", "started")
    jobs: set[Job]
    lane: int
    """Which scorer it is for."""

    def __init__(self, started: float, predicted: float, patience: float) -> None:
        self.started = started
        self.predicted = predicted
        self.ends = started + predicted
        self.overrun_at = started + patience

    @property
    def deadline(self) -> float:
        """When the last of its callers stops waiting."""
        return max((job.deadline for job in self.jobs), default=math.inf)

    def left(self, now: float) -> float:
        """Seconds until it should end; 0 when it is overdue, or a hang would look like load."""
        return max(0.0, self.ends - now)

    def overran(self, now: float) -> bool:
        return now > self.overrun_at


class Encode(_Timed):
    """Turn some candidates of one job into pairs."""

    __slots__ = ("characters", "first", "job", "last", "part")
    stage: ClassVar[Literal["tokenize"]] = "tokenize"

    def __init__(
        self,
        job: Job,
        part: Part,
        first: int,
        last: int,
        *,
        characters: int,
        now: float,
        predicted: float,
        patience: float,
    ) -> None:
        super().__init__(now, predicted, patience)
        self.job = job
        self.jobs = {job}
        self.lane = job.lane
        self.part = part
        self.first = first
        self.last = last
        self.characters = characters

    @property
    def texts(self) -> Sequence[Text]:
        return self.job.texts[self.first : self.last]


class Run(_Timed):
    """Score some pairs, of one job or, where pairs may be grouped, of several."""

    __slots__ = ("items", "weight")
    stage: ClassVar[Literal["inference"]] = "inference"

    def __init__(self, items: Sequence[Item], *, now: float, predicted: float, patience: float) -> None:
        super().__init__(now, predicted, patience)
        self.items = items
        self.jobs = {item.job for item in items}
        self.lane = items[0].job.lane
        self.weight = run_weight([item.pair.tokens for item in items])

    @property
    def tokens(self) -> int:
        return sum(item.pair.tokens for item in self.items)

    @property
    def padded_tokens(self) -> int:
        return len(self.items) * max(item.pair.tokens for item in self.items)


Work = Encode | Run
