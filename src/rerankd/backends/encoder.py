"""A scorer around any object with the `predict(pairs, ...)` of sentence-transformers' `CrossEncoder`."""

import weakref
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rerankd.core.ports import ScorerTraits, Stop
from rerankd.core.types import Pair
from rerankd.errors import BackendError

__all__ = ["EncoderScorer"]


class EncoderScorer:
    """Hands all pairs of a request to one call of `predict`, and believes nothing that it answers.

    It is held like a remote scorer: what it costs to call is not known, so it is neither timed at load nor
    probed with pairs of our own, and each of its calls is one that a caller asked for. One call at a time, as
    such objects are rarely made for several threads. Only a weak reference is kept where there can be one.
    """

    def __init__(self, encoder: Any, *, name: str, device: str, batch_size: Callable[[], int]) -> None:
        """`batch_size`: asked before each call, as the host may change it at any time."""
        try:
            self._encoder: Callable[[], Any] = weakref.ref(encoder)
        except TypeError:  # a class with slots
            self._encoder = lambda: encoder
        self._batch_size = batch_size
        self.traits = ScorerTraits(model=name, device=device, unit="query", local=False)

    def score(self, pairs: Sequence[Pair], stop: Stop) -> Sequence[float]:
        encoder = self._encoder()
        if encoder is None:
            raise BackendError("the encoder is gone")
        # plain strings: an encoder that looks at types knows nothing of ours
        asked = [[str(pair.query), str(pair.text)] for pair in pairs]
        answer = encoder.predict(asked, batch_size=self._batch_size(), show_progress_bar=False)
        return _numbers(answer, len(asked))

    def close(self) -> None:
        """Nothing to free: the encoder belongs to whoever made it."""


def _numbers(answer: Any, count: int) -> list[float]:
    """One number a pair, or `BackendError`. NaN and infinities are numbers; the engine sorts them out."""
    if hasattr(answer, "close") and not hasattr(answer, "__len__"):
        answer.close()  # a coroutine or generator, which would otherwise complain that nobody ran it
    if isinstance(answer, str | bytes | Mapping):
        raise BackendError(f"predict answered with a {type(answer).__name__}")
    try:
        given = len(answer)
    except TypeError:
        raise BackendError(f"predict answered with a {type(answer).__name__}") from None
    if given != count:
        raise BackendError(f"predict gave {given} scores for {count} pairs")
    return [_number(value) for value in answer]


def _number(value: Any) -> float:
    # not the string "0.5", which float() would take; and arrays of one number have it in item()
    item = getattr(value, "item", None)
    try:
        if not isinstance(value, str | bytes):
            return float(item() if callable(item) else value)
    except (TypeError, ValueError):
        pass
    raise BackendError(f"predict gave a {type(value).__name__} as a score")
