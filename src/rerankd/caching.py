"""Scores that are not computed again: the reranker's part that knows the cache; idle where it is off.

It is asked after the gate and before admission. What it knows costs nothing, so only the rest is held against the
budget and queued; what it knows says nothing about the scorer, so only the rest is judged by the circuit.

Not asked for everything: only where a tenant is named, with `long_text` other than `fit` (how far that cuts depends
on the budget), and of a model that scores pair by pair from a file whose digest is known. A server may change what
is behind a model's name.
"""

import logging
import secrets
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rerankd.core.cache import CachePolicy, CacheStatus, ScoreCache, fingerprints
from rerankd.core.ports import Model
from rerankd.core.request import Request
from rerankd.core.types import Text

__all__ = ["Caching", "Lookup"]

_log = logging.getLogger(__name__)

_SECRET_BYTES = 32


@dataclass(slots=True, eq=False)
class Lookup:
    """What was known of a job's candidates, and where to keep what it finds out."""

    keys: list[bytes]
    """Of the first candidates."""
    known: list[float | None]
    """One a candidate."""


class Caching:
    """Guards the cache with a lock, which is held for no longer than the looking up itself."""

    def __init__(self, policy: CachePolicy, *, secret: Callable[[int], bytes] = secrets.token_bytes) -> None:
        """`secret`: random bytes from the system."""
        self._on = policy.scores > 0
        self._most = policy.scores
        self._make_secret = secret
        self.reset()

    def reset(self) -> None:
        """Begin afresh in a forked child, whose parent's lock may be held for ever. Its secret is its own."""
        self._lock = threading.Lock()
        self._cache = ScoreCache(self._most)
        self._secret = self._make_secret(_SECRET_BYTES) if self._on else b""

    def forget(self) -> None:
        """Drop every score, and the secret under which they were found: also those of work under way."""
        if self._on:
            with self._lock:
                self._cache.clear()
                self._secret = self._make_secret(_SECRET_BYTES)

    def meet(self, model: Model) -> None:
        """Say so where nothing will be kept of a model that was loaded, although that was asked for."""
        for each in (model, model.refiner):
            if self._on and each is not None and not _is_known(each):
                name = each.scorer.traits.model
                _log.warning("scores of %s are not kept: another model may stand behind that name", name)

    def look(
        self,
        model: Model,
        tenant: str | None,
        request: Request,
        texts: Sequence[Text],
        *,
        max_chunks: int,
    ) -> Lookup | None:
        """What is known of the scores that the model gives these texts; None: nothing, and nothing is to be kept.

        `tenant`: None: the caller has named none, and shares with nobody.
        """
        if not self._on or tenant is None or request.long_text == "fit" or not _is_known(model):
            return None
        traits = model.scorer.traits
        shared = (
            tenant,
            model.digest,
            traits.model,
            traits.device,
            f"{model.max_tokens} {max_chunks}",
            request.query,
        )
        # hashed outside the lock: a thread that has the old secret meanwhile keeps scores that nobody finds
        keys = list(fingerprints(self._secret, shared, texts))
        with self._lock:
            known = self._cache.find(keys)
            self._cache.misses += len(texts) - len(keys)
        return Lookup(keys, known + [None] * (len(texts) - len(keys)))

    def keep(self, lookup: Lookup | None, logits: Sequence[float | None]) -> None:
        """Remember what a job came to: the raw scores of all its candidates, None where there is none."""
        if lookup is None:
            return
        with self._lock:
            for key, logit, known in zip(lookup.keys, logits, lookup.known, strict=False):
                if logit is not None and known is None:
                    self._cache.keep(key, logit)

    def status(self) -> CacheStatus | None:
        """None: it is off."""
        if not self._on:
            return None
        with self._lock:
            return self._cache.status()


def _is_known(model: Model) -> bool:
    """Whether a score of the model's will be the same tomorrow, and says nothing of the pairs beside it."""
    return bool(model.digest) and model.scorer.traits.unit == "pair"
