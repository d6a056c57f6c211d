"""What a caller gets back."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, overload

from rerankd.core import cascade, ranking
from rerankd.core.conclusion import Conclusion
from rerankd.core.events import Shadow, Timings
from rerankd.core.request import Request
from rerankd.core.types import Activation, CandidateId, Outcome, Reason

__all__ = ["Progress", "RankedCandidate", "Ranking", "Rescored", "compare", "ranked"]

_USUAL_TOP_K = 8
"""Over how many places a shadow's overlap is taken when the request asked for all."""


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
    """The raw value of the model that `scored_by` names; None when it was not scored."""
    scored: bool
    text: str = field(repr=False)
    retrieval_score: float | None = None
    """The first stage's score, as it came."""
    metadata: Any = field(default=None, repr=False)
    item: Any = field(default=None, repr=False)
    """The caller's own object, untouched."""
    scored_by: str | None = None
    """The model that decided its place; of a cascade the larger one where that rescored it. Scores of two models
    cannot be compared."""
    first_score: float | None = None
    """Its score by the model that scored all candidates: the same as `score`, but where a cascade's larger model
    rescored it."""
    first_logit: float | None = None
    """That model's raw value."""

    def as_dict(self) -> dict[str, Any]:
        """The fields that others script against, as plain data."""
        return {
            "id": self.id,
            "rank": self.rank,
            "retrieval_rank": self.retrieval_rank,
            "score": self.score,
            "scored": self.scored,
            "scored_by": self.scored_by,
            "text": self.text,
            "metadata": self.metadata,
        }


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
    """The model that scored, or would have; the two of a cascade are joined by a plus."""
    refined_depth: int = 0
    """How many of the candidates, the first pass's best, the larger model of a cascade rescored."""

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

    def as_dict(self) -> dict[str, Any]:
        """The answer in the shape that the command line and the service give it as JSON. Stable."""
        return {
            "outcome": self.outcome.value,
            "reason": None if self.reason is None else self.reason.value,
            "depth": self.depth,
            "refined_depth": self.refined_depth,
            "candidates_total": self.candidates_total,
            "elapsed_ms": round(self.elapsed_ms, 3),
            "model": self.model,
            "results": [candidate.as_dict() for candidate in self.candidates],
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """The order as it is while the rest is still being scored."""

    candidates: tuple[RankedCandidate, ...]
    depth: int
    """How many of the candidates were scored so far."""
    candidates_total: int
    elapsed_ms: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Rescored:
    """What the larger model of a cascade made of the candidates that it came to."""

    logits: Sequence[float | None]
    """One a candidate; None where the first pass decides."""
    model: str
    activation: Activation

    @property
    def depth(self) -> int:
        return sum(logit is not None for logit in self.logits)


def ranked(
    request: Request,
    logits: Sequence[float | None],
    activation: Activation,
    *,
    model: str | None = None,
    rescored: Rescored | None = None,
) -> tuple[RankedCandidate, ...]:
    """The candidates in their new order, cut as the request asks. `model`: whose `logits` these are."""
    first = [_score(logit, activation) for logit in logits]
    values, scores, models = list(logits), list(first), [model] * len(first)
    order = ranking.order(logits)
    if rescored is not None:
        order = cascade.order(logits, rescored.logits)
        for position, logit in enumerate(rescored.logits):
            if logit is not None:
                values[position], scores[position] = logit, _score(logit, rescored.activation)
                models[position] = rescored.model
    kept = ranking.cut(order, scores, min_score=request.min_score, top_k=request.top_k)
    return tuple(
        RankedCandidate(
            id=candidate.id,
            rank=rank,
            retrieval_rank=position + 1,
            score=scores[position],
            logit=values[position],
            scored=logits[position] is not None,
            text=str(candidate.text),  # the caller's own words again, with their usual repr
            retrieval_score=candidate.score,
            metadata=candidate.metadata,
            item=candidate.item,
            scored_by=None if logits[position] is None else models[position],
            first_score=first[position],
            first_logit=logits[position],
        )
        for rank, position in enumerate(kept, start=1)
        for candidate in (request.candidates[position],)
    )


def _score(logit: float | None, activation: Activation) -> float | None:
    return None if logit is None else ranking.sigmoid(logit) if activation == "sigmoid" else logit


def compare(
    conclusion: Conclusion, top_k: int | None, elapsed_ms: float, rescored: Rescored | None = None
) -> Shadow:
    """What the order would have changed, for a request in shadow mode."""
    logits = conclusion.logits
    positions = ranking.order(logits) if rescored is None else cascade.order(logits, rescored.logits)
    top = min(top_k or _USUAL_TOP_K, len(positions)) or 1
    return Shadow(
        outcome=conclusion.outcome,
        reason=conclusion.reason,
        depth=conclusion.depth,
        overlap=sum(position < top for position in positions[:top]) / top,
        moved=sum(place != position for place, position in enumerate(positions)),
        elapsed_ms=elapsed_ms,
    )
