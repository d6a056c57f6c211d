"""What a caller gets back."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, overload

from rerankd.core.events import Timings
from rerankd.core.types import CandidateId, Outcome, Reason

__all__ = ["RankedCandidate", "Ranking"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RankedCandidate:
    """A candidate in its new place."""

    id: CandidateId
    rank: int
    """Its place in this answer, from 1."""
    retrieval_rank: int
    """The place it came with, from 1."""
    score: float | None
    """From 0 to 1, the sigmoid of `logit` where the model gives logits; None when it was not scored."""
    logit: float | None
    """The model's raw value; None when it was not scored."""
    scored: bool
    text: str = field(repr=False)
    retrieval_score: float | None = None
    """The first stage's score, as it came."""
    metadata: Any = field(default=None, repr=False)
    item: Any = field(default=None, repr=False)
    """The caller's own object, untouched."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranking(Sequence[RankedCandidate]):
    """The answer: a sequence of candidates, best first, and how it came about."""

    candidates: tuple[RankedCandidate, ...]
    outcome: Outcome
    reason: Reason | None
    """Why the outcome is not `reranked`; None when it is."""
    depth: int
    """How many of the candidates were scored, before `min_score` and `top_k` cut the answer."""
    candidates_total: int
    """How many candidates came in."""
    elapsed_ms: float
    timings: Timings
    model: str | None
    """The model that scored, or would have; None when none is known."""

    @overload
    def __getitem__(self, index: int) -> RankedCandidate: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[RankedCandidate]: ...
    def __getitem__(self, index: int | slice) -> RankedCandidate | Sequence[RankedCandidate]:
        return self.candidates[index]

    def __len__(self) -> int:
        return len(self.candidates)

    def __iter__(self) -> Iterator[RankedCandidate]:
        return iter(self.candidates)
