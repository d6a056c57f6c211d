"""A scorer and a tokenizer for real threads that go wrong in every way, in turns with good times."""

import math
import random
import threading
import time
from collections.abc import Sequence
from typing import Any

from rerankd.core.ports import Stop
from rerankd.core.types import Pair, Text
from rerankd.errors import OutOfMemory
from rerankd.testing import FakeScorer, FakeTokenizer

__all__ = ["KINDS", "Faults", "FaultyScorer", "FaultyTokenizer"]

KINDS = ("hang", "slow", "raise", "nan", "short", "kill", "stop", "oom", "encode")


class Faults:
    """What is wrong now. Set by the test, read by the model."""

    def __init__(self, seed: int = 0) -> None:
        self.kind: str | None = None
        self.share = 1.0
        self.quotes = ""
        """What error messages repeat, as a careless model's do."""
        self._draw = random.Random(seed)
        self._lock = threading.Lock()
        self._over = threading.Event()

    def begin(self, kind: str, share: float = 1.0) -> None:
        self._over.clear()
        self.share, self.kind = share, kind

    def end(self) -> None:
        """Hung runs go on, too."""
        self.kind = None
        self._over.set()

    def now(self) -> str | None:
        kind = self.kind
        with self._lock:
            return kind if kind is not None and self._draw.random() < self.share else None

    def hang(self, most: float) -> None:
        self._over.wait(most)


class FaultyScorer(FakeScorer):
    """Takes a little time for each pair, and does whatever is wrong now."""

    def __init__(self, faults: Faults, *, pair_seconds: float = 0.0003, **traits: Any) -> None:
        super().__init__(**{"model": "faulty", "concurrency": 2, **traits})
        self._faults = faults
        self._pair_seconds = pair_seconds

    def score(self, pairs: Sequence[Pair], stop: Stop) -> Sequence[float]:
        kind = self._faults.now()
        busy = self._pair_seconds * len(pairs)
        if self.traits.interruptible:
            stopped = threading.Event()
            stop.on_stop(stopped.set)
            stopped.wait(busy * (10 if kind == "slow" else 1))
        else:
            time.sleep(busy * (10 if kind == "slow" else 1))
        scores = [float(len(pair.text) % 7) for pair in pairs]
        match kind:
            case "hang":
                self._faults.hang(60.0)
            case "stop":
                self._faults.hang(0.4)
            case "raise":
                raise RuntimeError(f"broken {self._faults.quotes}")
            case "kill":
                raise SystemExit(f"killed {self._faults.quotes}")
            case "oom":
                raise OutOfMemory(f"too large {self._faults.quotes}")
            case "nan":
                return [math.nan] * len(pairs)
            case "short":
                return scores[1:]
        return scores


class FaultyTokenizer(FakeTokenizer):
    """Raises while that is what is wrong."""

    def __init__(self, faults: Faults) -> None:
        self._faults = faults

    def encode(
        self, query: Text, texts: Sequence[Text], *, max_tokens: int, max_chunks: int = 1
    ) -> Sequence[tuple[Pair, ...]]:
        if self._faults.now() == "encode":
            raise ValueError(f"cannot encode {self._faults.quotes}")
        return super().encode(query, texts, max_tokens=max_tokens, max_chunks=max_chunks)
