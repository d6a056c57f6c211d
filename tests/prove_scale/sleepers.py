"""Replicas whose model sleeps: what they cost is what the cluster and our own ingress cost."""

import time
from collections.abc import Sequence

from rerankd.core.ports import Model, ScorerTraits, Stop
from rerankd.core.types import Pair
from rerankd.reranker import Reranker
from rerankd.scale.replica import Replica
from rerankd.settings import Settings

__all__ = ["SleepingReplica", "SleepingScorer", "sleeping_model"]


class SleepingScorer:
    """Takes `seconds` a pair, as long as it is not told to stop, and scores by the number in the text."""

    def __init__(self, seconds: float, model: str) -> None:
        self._seconds = seconds
        self.traits = ScorerTraits(model=model, device="cpu", interruptible=True)

    def score(self, pairs: Sequence[Pair], stop: Stop) -> Sequence[float]:
        if self._seconds:
            time.sleep(self._seconds * len(pairs))
        return [
            float(pair.text.rpartition(" ")[2] or 0) if pair.text[-1:].isdigit() else 0.0 for pair in pairs
        ]

    def close(self) -> None:
        """Nothing is held."""


def sleeping_model(model: str) -> Model:
    """`sleep/SECONDS_NAME`: so many seconds a pair."""
    seconds, name = model.removeprefix("sleep/").split("_")
    return Model(scorer=SleepingScorer(float(seconds), name), tokenizer=None, max_tokens=512)


class SleepingReplica(Replica):
    """A replica with such a model."""

    def __init__(self, settings: Settings) -> None:
        model = sleeping_model(settings.model.model)
        reranker = Reranker(
            lambda: model,
            name=settings.model.model,
            policy=settings.rerank,
            batch=settings.batch,
            require_model=True,
        )
        super().__init__(settings, reranker)
