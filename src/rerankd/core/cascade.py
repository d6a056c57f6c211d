"""The cascade's rule: a small model orders everything, and a larger one reorders from the top down.

1. The first pass, by the small model, comes first and is complete before anything else begins: outcome, reason
   and depth speak of it.
2. With the time that is left the larger model rescores the first pass's order from the top down, tier by tier. A
   tier counts when it is complete and every tier above it is: a better order replaces a complete worse one, never
   a part of it.
3. Scores of the two never meet. Candidates that the larger model has scored are sorted among themselves, best
   first, ties in the first pass's order, and fill the slots that they held in it; every other candidate keeps its
   slot. So reordering the top n is a permutation of the top n.
4. Where the small model is sure already nothing is rescored: see `CascadePolicy.margin`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from rerankd.core import ranking
from rerankd.core.policy import check_range

__all__ = ["CascadePolicy", "order", "tiers"]


@dataclass(frozen=True, slots=True, kw_only=True)
class CascadePolicy:
    """What the larger model of a cascade (`ID+ID`) rescores, once the small one has scored everything."""

    tier: int = 2
    """How many candidates are rescored together. A smaller tier wastes less at a deadline."""
    depth: int = 0
    """At most so many are rescored, from the top; 0: all that there is time for."""
    margin: float = 8.0
    """In the small model's logits: a candidate that far below the best one stays where it is. If all others are,
    the small model is sure and nothing is rescored."""

    def __post_init__(self) -> None:
        check_range(self, "tier", 1)
        check_range(self, "depth", 0)
        check_range(self, "margin", 0)


def tiers(logits: Sequence[float | None], policy: CascadePolicy) -> list[tuple[int, ...]]:
    """The positions to rescore, the best first, in tiers; empty where there is nothing to gain.

    `logits`: the first pass's, None where it has none; such a candidate is never rescored.
    """
    best_first = [position for position in ranking.order(logits) if ranking.is_score(logits[position])]
    if not best_first:
        return []
    least = _value(logits, best_first[0]) - policy.margin
    unsure = [position for position in best_first if _value(logits, position) > least]
    chosen = unsure[: policy.depth or None]
    if len(chosen) < 2:
        return []
    return [tuple(chosen[at : at + policy.tier]) for at in range(0, len(chosen), policy.tier)]


def order(first: Sequence[float | None], second: Sequence[float | None]) -> list[int]:
    """Positions of the candidates in their new order, given what each of the two models made of each."""
    before = ranking.order(first)
    rescored = [
        ranking.is_score(first[position]) and ranking.is_score(second[position]) for position in before
    ]
    # by the rule of the first pass, applied to the order that it gave
    among = ranking.order(
        [second[position] if yes else None for position, yes in zip(before, rescored, strict=True)]
    )
    return [before[slot] for slot in among]


def _value(logits: Sequence[float | None], position: int) -> float:
    logit = logits[position]
    assert logit is not None
    return logit
