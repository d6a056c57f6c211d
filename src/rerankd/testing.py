"""Fakes for the ports, for our tests and for those of host applications. Public, and stable."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from rerankd.core.events import Event
from rerankd.core.ports import Model, ScorerTraits, Stop
from rerankd.core.types import Pair, Text
from rerankd.reranker import Reranker

__all__ = ["FakeClock", "FakeScorer", "FakeTokenizer", "RecordingObserver", "fake_reranker", "word_overlap"]


class FakeClock:
    """A clock that stands still until it is told to go on."""

    def __init__(self, now: float = 0.0) -> None:
        self._now = now

    def now(self) -> float:
        return self._now

    def advance(self, seconds: float) -> float:
        """Let so much time pass; returns the new time."""
        self._now += seconds
        return self._now


def word_overlap(pair: Pair) -> float:
    """How many of the query's words the text has: a crude relevance that a test can foresee."""
    words = set(pair.text.lower().split())
    return float(sum(word in words for word in pair.query.lower().split()))


class FakeScorer:
    """Scores with a function instead of a model, and records what it was asked.

    `score_pair` may raise, block on an event, or answer nonsense: whatever a model could do to its callers.
    """

    def __init__(self, score_pair: Callable[[Pair], Any] = word_overlap, **traits: Any) -> None:
        """`traits`: fields of `ScorerTraits` that differ from a local one-thread scorer named `fake`."""
        self.traits = replace(ScorerTraits(model="fake", device="cpu"), **traits)
        self.score_pair = score_pair
        self.runs: list[tuple[Pair, ...]] = []
        """The pairs of every run, the calibration's included."""
        self.closed = threading.Event()
        self.stopped = threading.Event()
        """Set when any run was told that nobody waits for it."""

    def score(self, pairs: Sequence[Pair], stop: Stop) -> Sequence[float]:
        self.runs.append(tuple(pairs))
        stop.on_stop(self.stopped.set)
        return [self.score_pair(pair) for pair in pairs]

    def close(self) -> None:
        self.closed.set()


class FakeTokenizer:
    """One token a word, so that a test can foresee the lengths."""

    def encode(
        self, query: Text, texts: Sequence[Text], *, max_tokens: int, max_chunks: int = 1
    ) -> Sequence[tuple[Pair, ...]]:
        asked = query.split()[: max_tokens // 2]
        return [self._pairs(query, len(asked), text, max_tokens, max_chunks) for text in texts]

    def _pairs(
        self, query: Text, asked: int, text: Text, max_tokens: int, max_chunks: int
    ) -> tuple[Pair, ...]:
        room = max(1, max_tokens - asked)
        words = text.split()
        chunks = [words[start : start + room] for start in range(0, max(1, len(words)), room)][:max_chunks]
        return tuple(
            Pair(query, Text(" ".join(chunk)), asked + len(chunk), ids=range(asked + len(chunk)))
            for chunk in chunks
        )


class RecordingObserver:
    """Keeps every event, in order."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def on(self, event: Event) -> None:
        self.events.append(event)

    def of(self, kind: type[Any]) -> list[Any]:
        """The events of one kind."""
        return [event for event in self.events if isinstance(event, kind)]


def fake_reranker(
    scorer: FakeScorer | Callable[[Pair], Any] = word_overlap,
    *,
    tokenizer: FakeTokenizer | None = None,
    max_tokens: int = 512,
    **options: Any,
) -> Reranker:
    """A reranker around a fake scorer, or a function that scores a pair. `options`: of `Reranker`."""
    fake = scorer if isinstance(scorer, FakeScorer) else FakeScorer(scorer)
    model = Model(scorer=fake, tokenizer=tokenizer, max_tokens=max_tokens)
    return Reranker(lambda: model, name=fake.traits.model, **options)
