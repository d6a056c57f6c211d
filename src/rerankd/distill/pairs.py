"""Which texts each question is asked of: a few that BM25 puts first, a few from deeper, one at random."""

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from rerankd.distill.policy import DistillPolicy

__all__ = ["Group", "groups_of"]

_AT_ONCE = 500
"""Questions that BM25 is asked together."""


@dataclass(frozen=True, slots=True)
class Group:
    """A question and the places of its texts."""

    query: str
    texts: tuple[int, ...]


def groups_of(
    queries: Sequence[str],
    texts: Sequence[str],
    policy: DistillPolicy,
    told: Callable[[int], None] = lambda done: None,
) -> Iterator[Group]:
    """A group for each question. The same seed gives the same groups. `told` hears how many are done."""
    import bm25s  # type: ignore[import-untyped]

    index = bm25s.BM25()
    index.index(_words(texts), show_progress=False)
    chance = random.Random(policy.seed)
    depth = min(100, len(texts))
    for first in range(0, len(queries), _AT_ONCE):
        asked = queries[first : first + _AT_ONCE]
        found = index.retrieve(_words(asked), k=depth, show_progress=False).documents
        for query, ranked in zip(asked, found, strict=True):
            yield Group(query, _chosen([int(place) for place in ranked], len(texts), policy, chance))
        told(first + len(asked))


def _words(texts: Sequence[str]) -> Any:
    import bm25s

    return bm25s.tokenize(list(texts), stopwords="en", show_progress=False)


def _chosen(ranked: list[int], texts: int, policy: DistillPolicy, chance: random.Random) -> tuple[int, ...]:
    first, deeper = ranked[:10], ranked[10:]
    chosen = first[:1] + chance.sample(first[1:], min(policy.near - 1, len(first) - 1))
    chosen += chance.sample(deeper, min(policy.deep, len(deeper)))
    while len(chosen) < min(texts, policy.near + policy.deep + policy.strangers):
        other = chance.randrange(texts)
        if other not in chosen:
            chosen.append(other)
    return tuple(dict.fromkeys(chosen))
