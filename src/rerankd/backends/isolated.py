"""A scorer and tokenizer that run in a supervised process of their own.

Whatever happens in there (a crash, a hang that no flag reaches, the kernel's hunt for memory, a library that
holds the interpreter lock), this process answers its callers in time, and the other one is replaced. Both
ports are served over there: encoding is native code that holds the lock in part and cannot be interrupted.
"""

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rerankd.backends.isolation import frames
from rerankd.backends.isolation.frames import Kind
from rerankd.backends.isolation.policy import IsolationPolicy
from rerankd.backends.isolation.supervisor import Supervisor
from rerankd.core.ports import Clock, Model, ScorerTraits, Stop
from rerankd.core.types import Pair, Text

__all__ = ["IsolatedScorer", "IsolatedTokenizer", "load_isolated"]

CHARACTERS_PER_TOKEN = 16
"""No tokenizer looks at more for each token of the window, so no more is sent."""


def load_isolated(
    loader: str, spec: Mapping[str, Any], *, clock: Clock, policy: IsolationPolicy | None = None
) -> Model:
    """Start a process, have it load a model, and return what speaks to it.

    `loader`: `module:function` of what loads the model over there; it is called with `spec`, which must be
    what JSON can hold, and returns a `Model`. Raises what it raised: `BackendError` or `ConfigError`.
    """
    start = {"loader": loader, "spec": json.loads(json.dumps(spec)), "level": _level()}
    supervisor = Supervisor(start, policy=policy or IsolationPolicy(), clock=clock)
    try:
        loaded = supervisor.first.result()
    except BaseException:
        supervisor.close()
        raise
    return Model(
        scorer=IsolatedScorer(supervisor),
        tokenizer=IsolatedTokenizer(supervisor) if loaded.encodes else None,
        max_tokens=loaded.max_tokens,
        health=supervisor,
        digest=loaded.digest,
    )


class IsolatedScorer:
    """The `Scorer` port over a supervised process. Thread-safe."""

    def __init__(self, supervisor: Supervisor) -> None:
        self.supervisor = supervisor

    @property
    def traits(self) -> ScorerTraits:
        """Those of the scorer over there; after it was replaced, of the new one."""
        assert self.supervisor.loaded is not None
        return self.supervisor.loaded.traits

    def score(self, pairs: Sequence[Pair], stop: Stop) -> list[float]:
        """What the scorer over there gives or raises; `BackendError` when its process ends under it."""
        payload = frames.pack_pairs(pairs)
        return frames.unpack_scores(self.supervisor.ask(Kind.SCORE, payload, stop.on_stop))

    def close(self) -> None:
        self.supervisor.close()


class IsolatedTokenizer:
    """The `Tokenizer` port over the same process. Thread-safe."""

    def __init__(self, supervisor: Supervisor) -> None:
        self._supervisor = supervisor

    def encode(
        self, query: Text, texts: Sequence[Text], *, max_tokens: int, max_chunks: int = 1
    ) -> list[tuple[Pair, ...]]:
        """What the tokenizer over there gives. A chunk's `text` is the whole text; its ids are its own."""
        limit = CHARACTERS_PER_TOKEN * max_tokens
        most = limit * max(1, max_chunks)
        payload = frames.pack_texts(
            query[:limit], [text[:most] for text in texts], max_tokens=max_tokens, max_chunks=max_chunks
        )
        return frames.unpack_encoded(self._supervisor.ask(Kind.ENCODE, payload, _never), query, texts)


def _never(callback: Callable[[], None]) -> None:
    """Encoding is not stopped: the supervisor limits how long it may take."""


def _level() -> int:
    return logging.getLogger("rerankd").getEffectiveLevel()
