"""How much one run may hold."""

from dataclasses import dataclass

from rerankd.core.policy import check_range
from rerankd.core.ports import ScorerTraits

__all__ = ["BatchLimit", "BatchPolicy"]


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
    """Worker threads, at most as many as the scorer can use at once; 0: just so many."""
    encode_slice: int = 32
    """Most candidates that are encoded in one go, so that a long request delays the others by little."""
    encode_characters: int = 20_000
    """Most characters that are encoded in one go, unless one candidate has more: about 5 ms of one worker."""
    regrow_runs: int = 64
    """Good runs in a row after which a batch limit that was halved for want of memory doubles again."""

    def __post_init__(self) -> None:
        check_range(self, "max_pairs", 1)
        check_range(self, "max_tokens", 1)
        check_range(self, "queue_pairs", 1)
        check_range(self, "workers", 0)
        check_range(self, "encode_slice", 1)
        check_range(self, "encode_characters", 1)
        check_range(self, "regrow_runs", 1)


class BatchLimit:
    """The limit in force: halved when a run did not fit into memory, and slowly grown back."""

    __slots__ = ("_good_runs", "_most", "_regrow", "pairs", "punctual", "tokens", "whole")

    def __init__(self, policy: BatchPolicy, traits: ScorerTraits) -> None:
        grouped = traits.batch_invariant and traits.max_batch_tokens > 0
        self.whole = traits.unit == "query"
        """One run takes all pairs of one request, whatever the limits."""
        self.punctual = self.whole and traits.punctual
        """Whether it keeps to the deadline that it is told."""
        self.tokens = min(policy.max_tokens, traits.max_batch_tokens) if grouped else 0
        """Most padded tokens of a run of several pairs; 0: pairs are not grouped."""
        self.pairs = self._most = policy.max_pairs if grouped else 1
        """Most pairs of a run."""
        self._regrow = policy.regrow_runs
        self._good_runs = 0

    def halve(self, pairs: int) -> bool:
        """A run of so many pairs did not fit; False: it cannot be made smaller."""
        if pairs == 1 or self.whole:
            return False
        # a larger run that was under way already may come back after a smaller one
        self.pairs = max(1, min(self.pairs, pairs // 2))
        self._good_runs = 0
        return True

    def good(self) -> bool:
        """A run went well; tells whether the limit grew by that."""
        self._good_runs += 1
        if self._good_runs < self._regrow or self.pairs >= self._most:
            return False
        self._good_runs = 0
        self.pairs = min(self.pairs * 2, self._most)
        return True
