"""A real model that can be made slow, to show what callers then get."""

import threading
from collections.abc import Sequence
from dataclasses import replace

from rerankd.core.ports import Model, Scorer, ScorerTraits, Stop
from rerankd.core.types import Pair

__all__ = ["SlowScorer", "slowed"]


class SlowScorer:
    """Passes everything on to a scorer, but first lets each run take `delay_s` longer."""

    def __init__(self, scorer: Scorer) -> None:
        self._scorer = scorer
        self.delay_s = 0.0

    @property
    def traits(self) -> ScorerTraits:
        return self._scorer.traits

    def score(self, pairs: Sequence[Pair], stop: Stop) -> Sequence[float]:
        if self.delay_s:
            stopped = threading.Event()
            stop.on_stop(stopped.set)
            stopped.wait(self.delay_s)
        return self._scorer.score(pairs, stop)

    def close(self) -> None:
        self._scorer.close()


def slowed(model: Model) -> tuple[Model, SlowScorer]:
    """The model with a scorer that can be made slow, and that scorer."""
    scorer = SlowScorer(model.scorer)
    return replace(model, scorer=scorer), scorer
