"""A smaller set of queries, the same every time."""

import hashlib
from collections.abc import Iterable

__all__ = ["sample"]

_SEED = "rerankd"


def sample(queries: Iterable[str], size: int | None) -> list[str]:
    """At most `size` of the query ids, in their own order; None: all.

    Drawn by the order of a hash of each id rather than by a random generator: the draw depends on neither the
    Python version nor the file's order, and a smaller sample is always a part of a larger one.
    """
    known = list(queries)
    if size is None or size >= len(known):
        return known
    drawn = set(sorted(known, key=_draw)[:size])
    return [query for query in known if query in drawn]


def _draw(query: str) -> bytes:
    return hashlib.sha256(f"{_SEED}\0{query}".encode("utf-8", "surrogatepass")).digest()
