"""Scores that were given before, by a fingerprint of everything that made them. Holds no text.

A score is found again only for the same caller, model, query and text, cut in the same way. The fingerprint is a
hash under a secret that never leaves the process: who could read it cannot try texts against it. `tenant` is part
of it, so no caller finds what another has left, and cannot tell by the time it takes that somebody did.
"""

import hashlib
import math
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rerankd.core.policy import check_range

__all__ = ["ENTRY_BYTES", "CachePolicy", "CacheStatus", "ScoreCache", "fingerprints"]

ENTRY_BYTES = 200
"""What one score takes in memory, with its key and its place: 147 to 178 bytes by `tracemalloc`, CPython 3.11."""
CHARACTERS = 500_000
"""Of one request, no more than this is hashed, 1 to 3 ms: the candidates behind it are scored as ever."""
_LEAST = 100
"""Every text counts as so many characters at least, for what comes with each."""
_DIGEST = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class CachePolicy:
    """What is kept of work that was done, for requests that name a tenant: over HTTP, each key is one."""

    scores: int = 0
    """Most scores kept, about 200 bytes each; the ones not used for longest go first. 0: none, no request is asked
    whether it was seen before. Wherever something is measured it is off, whatever is set here."""

    def __post_init__(self) -> None:
        check_range(self, "scores", 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheStatus:
    """What a cache has done since the process began, and holds now."""

    hits: int
    """Candidates whose score was there."""
    misses: int
    entries: int
    size_bytes: int


class ScoreCache:
    """The scores used last, at most so many. The owner holds a lock around every call."""

    __slots__ = ("_most", "_scores", "hits", "misses")

    def __init__(self, most: int) -> None:
        self._most = most
        self._scores: OrderedDict[bytes, float] = OrderedDict()
        self.hits = 0
        self.misses = 0

    def find(self, keys: Sequence[bytes]) -> list[float | None]:
        """The score that each key stands for, None where there is none. What is found was used last."""
        found: list[float | None] = []
        for key in keys:
            score = self._scores.get(key)
            if score is not None:
                self._scores.move_to_end(key)
            found.append(score)
        self.hits += sum(score is not None for score in found)
        self.misses += sum(score is None for score in found)
        return found

    def keep(self, key: bytes, score: float) -> None:
        """Remember a score; one that is no finite number is none."""
        if not math.isfinite(score):
            return
        self._scores[key] = score
        self._scores.move_to_end(key)
        while len(self._scores) > self._most:
            self._scores.popitem(last=False)

    def clear(self) -> None:
        self._scores.clear()

    def status(self) -> CacheStatus:
        entries = len(self._scores)
        return CacheStatus(
            hits=self.hits, misses=self.misses, entries=entries, size_bytes=entries * ENTRY_BYTES
        )


def fingerprints(secret: bytes, shared: Sequence[str], texts: Sequence[str]) -> Iterator[bytes]:
    """A key for each of the first texts, as far as a request is hashed.

    `shared`: what else a score depends on, the same for all of them. BLAKE2b with a key (RFC 7693) of 16 to 64
    bytes; each part is preceded by its length, so that no two requests spell the same message.
    """
    begun = hashlib.blake2b(key=secret, digest_size=_DIGEST)
    for part in shared:
        begun.update(_framed(part))
    left = CHARACTERS - sum(map(len, shared))
    for text in texts:
        left -= max(len(text), _LEAST)
        if left < 0:
            return
        hashed = begun.copy()
        hashed.update(_framed(text))
        yield hashed.digest()


def _framed(part: str) -> bytes:
    # also what has no UTF-8 form, half of a surrogate pair, has one here
    data = part.encode("utf-8", "surrogatepass")
    return len(data).to_bytes(8) + data
