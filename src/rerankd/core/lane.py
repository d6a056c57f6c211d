"""One scorer of the scheduler: what its runs may hold, and what they cost."""

from rerankd.core.batch import BatchLimit, BatchPolicy
from rerankd.core.costs import Costs
from rerankd.core.estimate import EstimatePolicy
from rerankd.core.ports import ScorerTraits
from rerankd.core.watch import WatchPolicy

__all__ = ["Lane"]


class Lane:
    """What is known about the work of one scorer. The lanes of a scheduler share its workers."""

    __slots__ = ("concurrency", "costs", "interruptible", "limit")

    def __init__(
        self,
        traits: ScorerTraits,
        *,
        batch: BatchPolicy,
        estimate: EstimatePolicy,
        watch: WatchPolicy,
        workers: int,
        encodes: bool,
    ) -> None:
        """`encodes`: whether texts must be encoded first; a scorer of whole queries takes them as they are."""
        self.limit = BatchLimit(batch, traits)
        self.concurrency = traits.concurrency
        self.interruptible = traits.interruptible
        self.costs = Costs(
            estimate=estimate,
            watch=watch,
            limit=self.limit,
            workers=min(workers, traits.concurrency),
            encodes=encodes and not self.limit.whole,
        )
