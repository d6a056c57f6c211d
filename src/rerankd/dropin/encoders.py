"""The encoders behind the drop-in: ours, loaded when first needed, and those that a host puts in its place.

Lock ownership: `_lock` guards the tables here. It is never held while an encoder is made, loaded, called or
closed.
"""

import inspect
import threading
import weakref
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rerankd.backends.encoder import EncoderScorer
from rerankd.core.breaker import BreakerPolicy
from rerankd.core.ports import Model
from rerankd.engine.clock import SystemClock
from rerankd.engine.fork import after_fork_in_child
from rerankd.errors import BackendError, InvalidRequest
from rerankd.logs import LogObserver
from rerankd.reranker import Reranker

if TYPE_CHECKING:
    import numpy as np

__all__ = ["CrossEncoder", "Foreign", "Loaded", "Own"]

_START_SECONDS = 5.0
"""A host's encoder is there already; making an engine for it takes a thread's start."""


class Device(str):
    """`cpu` or `cuda:0`, with the two attributes of `torch.device` that hosts look at."""

    __slots__ = ()

    @property
    def type(self) -> str:
        return self.partition(":")[0]

    @property
    def index(self) -> int | None:  # type: ignore[override]
        number = self.partition(":")[2]
        return int(number) if number else None


class Own:
    """Our own reranker, and its face as a `CrossEncoder`."""

    def __init__(self, reranker: Reranker) -> None:
        self.reranker = reranker
        self.encoder = CrossEncoder(self)
        self._forked()
        after_fork_in_child(self._forked)

    def _forked(self) -> None:
        self._lock = threading.Lock()
        self._opened: Future[None] | None = None

    def opening(self) -> "Future[None] | None":
        """Done when the flag has been read and the first attempt to load has ended; None: they have."""
        with self._lock:
            if self._opened is None:
                self._opened = Future()
                threading.Thread(
                    target=self._open, args=(self._opened,), name="rerankd-encoder", daemon=True
                ).start()
            return None if self._opened.done() else self._opened

    def _open(self, opened: "Future[None]") -> None:
        self._first_attempt()
        opened.set_result(None)

    def require(self) -> None:
        """Wait for the first attempt to load. Raises `BackendError` when the model is not there then."""
        self._first_attempt()
        status = self.reranker.status()
        if status.model_state != "ready":
            raise BackendError(status.error or "the model is not available")

    def _first_attempt(self) -> None:
        # what entering the context waits for; `wait_ready` would wait for the attempts after a failed one, too
        self.reranker.__enter__()


@dataclass(frozen=True, slots=True)
class _InnerModel:
    own: Own

    @property
    def device(self) -> Device:
        return Device(self.own.reranker.status().device or "cpu")


class CrossEncoder:
    """The part of sentence-transformers' `CrossEncoder` that hosts use, over our own engine."""

    def __init__(self, own: Own) -> None:
        self._own = own

    @property
    def model(self) -> _InnerModel:
        """Has a `device`."""
        return _InnerModel(self._own)

    def replaced_predict(self) -> Any:
        """The function that a host, or its test, has put in the place of `predict`; None: ours is there."""
        held = vars(self).get("predict", type(self).predict)
        return None if held is _PREDICT else held

    def predict(
        self, sentences: Sequence[Any], batch_size: int = 32, show_progress_bar: bool | None = None
    ) -> "np.ndarray[Any, Any] | np.float32":
        """The model's logits of `[query, text]` pairs, without a limit of time; of one bare pair, one number.

        Blocks: in async code use `rerank`. `batch_size` is the engine's own business (`RERANK_BATCH_SIZE`),
        and no progress is shown. Raises `BackendError` when not every pair could be scored.
        """
        import numpy as np

        if len(sentences) == 2 and all(isinstance(text, str) for text in sentences):
            return np.float32(self._logits([(sentences[0], sentences[1])])[0])
        return np.asarray(self._logits([_pair(pair) for pair in sentences]), dtype=np.float32)

    def _logits(self, pairs: list[tuple[str, str]]) -> list[float]:
        positions: dict[str, list[int]] = {}
        for position, (query, _) in enumerate(pairs):
            positions.setdefault(query, []).append(position)
        logits = [0.0] * len(pairs)
        if pairs:
            self._own.require()
        for query, places in positions.items():
            ranking = self._own.reranker.rerank(query, [pairs[i][1] for i in places], budget_ms=None)
            for candidate in ranking:
                if candidate.logit is None:
                    raise BackendError(
                        f"only {ranking.depth} of {len(places)} pairs were scored: {ranking.reason}"
                    )
                logits[places[candidate.retrieval_rank - 1]] = candidate.logit
        return logits


_PREDICT = CrossEncoder.predict


def _pair(pair: Any) -> tuple[str, str]:
    if isinstance(pair, str) or len(pair) != 2:
        raise InvalidRequest("sentences", f"must be [query, text] pairs, got a {type(pair).__name__}")
    return pair[0], pair[1]


@dataclass(frozen=True, slots=True)
class Loaded:
    """A host's encoder with the engine around it. Whoever waits for an answer holds on to both."""

    encoder: Any
    reranker: Reranker


class Foreign:
    """Engines around encoders that are not ours: one for each object, with a circuit of its own.

    An engine ends with its object. Objects that cannot be watched are kept, but not more than a few.
    """

    _MOST_KEPT = 16

    def __init__(self, *, batch_size: Callable[[], int], breaker: Callable[[], BreakerPolicy]) -> None:
        self._batch_size = batch_size
        self._breaker = breaker
        self._engines: dict[int, _Entry] = {}
        self._kept: deque[Any] = deque()
        self._ended: deque[_Entry] = deque()
        """Appended to by the garbage collector, which may interrupt anything and so may take no lock."""
        self._forked()
        after_fork_in_child(self._forked)

    def _forked(self) -> None:
        self._lock = threading.Lock()
        self._pending: dict[int, Future[Loaded]] = {}

    def get(self, getter: Callable[[], Any], owner: Any = None) -> "Future[Loaded]":
        """What `getter` returns, with its engine; called on a thread, as it may well load something.

        The engine is that of `owner`, if given, else of the encoder. While a call is under way nobody starts
        another, so one that hangs costs one thread.
        """
        with self._lock:
            pending = self._pending.get(id(getter))
            if pending is not None:
                return pending
            pending = self._pending[id(getter)] = Future()
        threading.Thread(
            target=self._get, args=(getter, owner, pending), name="rerankd-encoder", daemon=True
        ).start()
        return pending

    def _get(self, getter: Callable[[], Any], owner: Any, pending: "Future[Loaded]") -> None:
        try:
            encoder = getter()
            if inspect.iscoroutine(encoder):
                encoder.close()  # it will not be awaited, and would complain
            loaded = Loaded(encoder, self._engine(encoder if owner is None else owner, encoder))
            loaded.reranker.wait_ready(_START_SECONDS)
        except BaseException as error:  # noqa: BLE001 - the host's code: whoever waits hears of it
            self._forget(getter)
            # an exit or an interrupt in there is not to be one out here
            own = error if isinstance(error, Exception) else BackendError(type(error).__name__)
            pending.set_exception(own)
        else:
            self._forget(getter)
            pending.set_result(loaded)
        self._sweep()

    def _forget(self, getter: Callable[[], Any]) -> None:
        with self._lock:
            self._pending.pop(id(getter), None)

    def _engine(self, owner: Any, encoder: Any) -> Reranker:
        """The engine around an encoder, for as long as `owner` lives."""
        if not callable(getattr(encoder, "predict", None)):
            raise BackendError(f"a {type(encoder).__name__} has no predict()")
        with self._lock:
            known = self._engines.get(id(owner))
            if known is not None and known.owner() is owner:
                return known.reranker
            entry = self._engines[id(owner)] = self._entry(owner, encoder)
        return entry.reranker.start()

    def _entry(self, owner: Any, encoder: Any) -> "_Entry":
        reranker = self._build(encoder)
        try:
            entry = _Entry(weakref.ref(owner), reranker)
            weakref.finalize(owner, self._ended.append, entry).atexit = False
        except TypeError:  # a class with slots: it cannot be watched
            entry = _Entry(lambda: owner, reranker)
            self._kept.append(entry)
            if len(self._kept) > self._MOST_KEPT:
                self._ended.append(self._kept.popleft())
        return entry

    def _build(self, encoder: Any) -> Reranker:
        scorer = EncoderScorer(
            encoder, name=type(encoder).__name__, device="host", batch_size=self._batch_size
        )
        model = Model(scorer=scorer, tokenizer=None, max_tokens=512)
        return Reranker(
            lambda: model,
            name=scorer.traits.model,
            breaker=self._breaker(),
            observers=(LogObserver(SystemClock()),),
        )

    def _sweep(self) -> None:
        """Close the engines whose objects are gone."""
        while self._ended:
            entry = self._ended.popleft()
            with self._lock:
                for key in [key for key, known in self._engines.items() if known is entry]:
                    del self._engines[key]
            entry.reranker.close()


@dataclass(frozen=True, slots=True, eq=False)
class _Entry:
    owner: Callable[[], Any]
    reranker: Reranker
