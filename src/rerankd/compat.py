"""The names that host applications import from `src.memory.rerank`, over the same engine as everything else.

    from src.memory.rerank import rerank, maybe_rerank, get_rerank_metrics

The constants (`RERANK_ENABLED`, `RERANK_CIRCUIT_MS`, ...) are read from the environment each time they are
looked up, so that a variable that changes counts at once. Assigning one, as `monkeypatch.setattr` does, holds
until the value that it replaced is assigned again. A variable that makes no sense is ignored, with one
warning.
"""

import atexit
import logging
import sys
import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from types import ModuleType
from typing import Any, Final, overload

from rerankd.backends.devices import devices
from rerankd.core.answer import Ranking
from rerankd.core.deadline import Deadline
from rerankd.core.events import Settled, Timings
from rerankd.core.falling import falling, on_one_scale, retrieval_scores
from rerankd.core.request import RerankPolicy, read_request
from rerankd.core.types import Outcome, Reason
from rerankd.dropin.constants import Constants, full_name, settings_now
from rerankd.dropin.encoders import CrossEncoder, Foreign, Own
from rerankd.engine.clock import SystemClock
from rerankd.engine.fork import after_fork_in_child
from rerankd.engine.ticket import wait_async
from rerankd.errors import InvalidRequest, RerankdError
from rerankd.reranker import Reranker
from rerankd.settings import Settings
from rerankd.summary import Summary
from rerankd.wiring import build

__all__ = [
    "DEVICE",
    "MODEL_NAME",
    "RERANK_BATCH_SIZE",
    "RERANK_BUDGET_MS",
    "RERANK_CIRCUIT_MS",
    "RERANK_ENABLED",
    "RerankedResult",
    "get_cross_encoder",
    "get_rerank_metrics",
    "maybe_rerank",
    "rerank",
    "rerank_latencies",
    "rerank_skips_total",
]

_log = logging.getLogger(__name__)
_clock = SystemClock()

# properties of the module, see `_Names`
RERANK_ENABLED: bool
RERANK_BUDGET_MS: float
"""Milliseconds that p95 should stay below: what to alert at. No request is cut by it."""
RERANK_CIRCUIT_MS: float
"""Milliseconds after which an answer is given whatever was scored: the default of `timeout_ms`."""
RERANK_BATCH_SIZE: int
"""Most pairs in one run of the model."""
MODEL_NAME: str
DEVICE: str
rerank_latencies: "Latencies"
rerank_skips_total: int

_KEPT = 8
"""How many candidates `maybe_rerank` returns."""


class _Circuit(float):
    """The default of `timeout_ms`: it reads as 250 and stands for `RERANK_CIRCUIT_MS` when it is used."""


_CIRCUIT = _Circuit(250)


@dataclass(slots=True)
class RerankedResult:
    """A candidate in its new place."""

    candidate: Any
    """What the caller gave, untouched."""
    score: float
    """The model's own logit; of an unscored candidate one between its neighbours'; where nothing was scored,
    1 - i/n for the i-th of n from 0."""
    rank: int
    """Its place in the answer, from 1."""


class _Answer(list[RerankedResult]):
    """A list, which also knows how many were scored, and why not all."""

    depth: int = 0
    reason: Reason | None = None


# -- reranking ----------------------------------------------------------------------------------------------


async def rerank(query: str, candidates: Sequence[str], timeout_ms: float = _CIRCUIT) -> list[RerankedResult]:
    """The candidates, best first, within `timeout_ms` milliseconds (left out or None: `RERANK_CIRCUIT_MS`).

    Never raises, and loses no candidate. Whatever goes wrong - no model, too slow, broken, wrong arguments -
    the candidates come back in retrieval order, with scores that fall from 1. The first call loads the model
    and waits for it no longer than for its answer.
    """
    began = _clock.now()
    items = _as_list(candidates)
    if not items:
        return _Answer()
    if not _value("RERANK_ENABLED"):
        return _retrieval_order(items, Reason.DISABLED)
    reason = Reason.MODEL_ERROR
    try:
        ranking = await _rank(query, items, timeout_ms, began)
        if ranking is not None:
            _note(len(items), ranking.outcome, ranking.reason, ranking.depth, began)
            return _answer(ranking)
        reason = Reason.MODEL_LOADING
    except InvalidRequest as error:
        _log.warning("retrieval order: %s", error)
    except RerankdError as error:
        _say_once(str(error))
    except Exception as error:  # noqa: BLE001 - the fail-open boundary: this function never raises
        # no message and no traceback: a host's encoder may have put a text into either
        _log.error("retrieval order: %s", type(error).__name__)
    _note(len(items), Outcome.SKIPPED, reason, 0, began)
    return _retrieval_order(items, reason)


@lru_cache(maxsize=64)
def _say_once(problem: str) -> None:
    """A setting that nothing can be made of would else be told with each request."""
    _log.error("retrieval order: %s", problem)


async def maybe_rerank(query: str, candidates: Sequence[str]) -> list[str]:
    """The best 8 candidates; all of them as they came when reranking is disabled. Never raises."""
    items = candidates if isinstance(candidates, list) else _as_list(candidates)
    if not _value("RERANK_ENABLED"):
        return items
    try:
        reranked = await rerank(query, items)
    except Exception as error:  # noqa: BLE001 - a host may have put its own function in the place of `rerank`
        _log.error("retrieval order: %s", type(error).__name__)
        return items[:_KEPT]
    if getattr(reranked, "reason", None) is Reason.DISABLED:
        return items
    return [result.candidate for result in reranked[:_KEPT]]


async def _rank(query: str, items: list[Any], timeout_ms: float | None, began: float) -> Ranking | None:
    """The engine's answer; None: the time was over before there was an engine to ask."""
    timeout = (
        float(_value("RERANK_CIRCUIT_MS")) if timeout_ms is None or timeout_ms is _CIRCUIT else timeout_ms
    )
    # wrong arguments are found before anybody waits
    read_request(RerankPolicy(), query, items, budget_ms=timeout)
    deadline = Deadline.after(began, timeout)
    engine = await _engine(deadline)
    if engine is None:
        return None
    # the encoder is held until the answer is there: its engine ends with it
    reranker, _encoder = engine
    left = max(0.0, deadline.remaining(_clock.now()) * 1000)
    return await reranker.arerank(query, items, budget_ms=left)


async def _engine(deadline: Deadline) -> tuple[Reranker, Any] | None:
    """What reranks, and the encoder behind it: ours, unless the host has put another in its place."""
    if get_cross_encoder is not _OWN_GETTER:
        awaited = _foreign.get(get_cross_encoder)
    else:
        own = _state.own()
        predict = own.encoder.replaced_predict()
        if predict is None:
            opening = own.opening()
            if opening is not None:
                await wait_async(opening, deadline.remaining(_clock.now()))
            return own.reranker, own.encoder
        awaited = _foreign.get(lambda: own.encoder, owner=predict)
    await wait_async(awaited, deadline.remaining(_clock.now()))
    if not awaited.done():
        return None
    loaded = awaited.result()
    return loaded.reranker, loaded.encoder


def _answer(ranking: Ranking) -> _Answer:
    scores = falling(on_one_scale([candidate.first_logit for candidate in ranking]), raw=True)
    answer = _Answer(
        RerankedResult(candidate.item, score, candidate.rank)
        for candidate, score in zip(ranking, scores, strict=True)
    )
    answer.depth, answer.reason = ranking.depth, ranking.reason
    return answer


def _retrieval_order(items: Sequence[Any], reason: Reason) -> _Answer:
    scores = retrieval_scores(len(items))
    answer = _Answer(
        RerankedResult(item, score, rank)
        for rank, (item, score) in enumerate(zip(items, scores, strict=True), 1)
    )
    answer.reason = reason
    return answer


def _as_list(candidates: Iterable[Any]) -> list[Any]:
    try:
        return list(candidates)
    except Exception:  # noqa: BLE001 - the fail-open boundary: no list, or an iterator that raises
        _log.warning("candidates: must be a list, got a %s", type(candidates).__name__)
        return []


# -- the encoder --------------------------------------------------------------------------------------------


def get_cross_encoder() -> CrossEncoder:
    """Our cross-encoder: loaded by the first call, which blocks until it is there; afterwards the same one.

    Raises `BackendError` when the model cannot be loaded, `ConfigError` when its name cannot be one. A host
    may put a function of its own here; what that returns needs a `predict(pairs, batch_size=...,
    show_progress_bar=...)`.
    """
    own = _state.own()
    own.require()
    return own.encoder


_OWN_GETTER = get_cross_encoder


class _State:
    """Our own reranker, made when it is first needed, and anew when a variable that shapes it has changed."""

    def __init__(self) -> None:
        self._own: tuple[Settings, Own] | None = None
        self._forked()
        after_fork_in_child(self._forked)

    def _forked(self) -> None:
        self._lock = threading.Lock()

    def own(self) -> Own:
        wanted = _shape()
        with self._lock:
            held = self._own
            if held is not None and held[0] == wanted:
                return held[1]
            own = Own(build(wanted))
            self._own = wanted, own
        if held is not None:
            # whoever waits on the old one is answered; ending its threads takes a moment
            threading.Thread(target=held[1].reranker.close, name="rerankd-encoder", daemon=True).start()
        return own

    def peek(self) -> Own | None:
        return None if self._own is None else self._own[1]

    def close(self) -> None:
        with self._lock:
            held, self._own = self._own, None
        if held is not None:
            held[1].reranker.close()


def _shape() -> Settings:
    """The settings that shape an engine, without those that are looked up for each request."""
    now, usual = settings_now(), RerankPolicy()
    device = str(_value("DEVICE")) if _constants.assigned("DEVICE") else now.model.device
    return replace(
        now,
        enabled=True,
        rerank=replace(now.rerank, budget_ms=usual.budget_ms, target_ms=usual.target_ms),
        model=replace(now.model, model=_value("MODEL_NAME"), device=device),
        batch=replace(now.batch, max_pairs=_value("RERANK_BATCH_SIZE")),
    )


_state = _State()
atexit.register(_state.close)

_foreign = Foreign(
    batch_size=lambda: int(_value("RERANK_BATCH_SIZE")),
    # an encoder that a host put here is on this machine, so it need not be left alone for long
    breaker=lambda: replace(settings_now().breaker, open_max_remote_ms=settings_now().breaker.open_max_ms),
)


# -- metrics ------------------------------------------------------------------------------------------------


class Latencies(Sequence[float]):
    """The last 1,000 latencies in milliseconds, oldest first: a view, which changes as answers are given."""

    __slots__ = ()

    @overload
    def __getitem__(self, index: int) -> float: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[float]: ...
    def __getitem__(self, index: int | slice) -> float | Sequence[float]:
        return _summary.latencies_ms[index]

    def __len__(self) -> int:
        return len(_summary.latencies_ms)

    def __iter__(self) -> Iterator[float]:
        return iter(_summary.latencies_ms)

    def __repr__(self) -> str:
        return f"<{len(self)} latencies in ms>"


_summary = Summary(batch_size=0)


def _note(count: int, outcome: Outcome, reason: Reason | None, depth: int, began: float) -> None:
    """Count an answer, whichever engine gave it, and also where none was asked."""
    _summary.on(
        Settled(
            request=0,
            outcome=outcome,
            reason=reason,
            depth=depth,
            candidates=count,
            budget_ms=None,
            elapsed_ms=(_clock.now() - began) * 1000,
            timings=Timings(),
            model=None,
        )
    )


def get_rerank_metrics() -> dict[str, Any]:
    """How often the answer was the retrieval order, the last 1,000 latencies, and what the model runs on.

    `{"rerank_skipped_total", "rerank_latency_ms": {"p50", "p95", "max"}, "rerank_batch_size", "device"}`,
    ready for JSON. What was not asked for because `RERANK_ENABLED` is false is not counted.
    """
    seen = _summary.as_dict()
    return {
        "rerank_skipped_total": seen["rerank_skipped_total"],
        "rerank_latency_ms": seen["rerank_latency_ms"],
        "rerank_batch_size": _value("RERANK_BATCH_SIZE"),
        "device": _value("DEVICE"),
    }


# -- the constants ------------------------------------------------------------------------------------------


def _device() -> str:
    """Where the model runs; until it is loaded, where it will."""
    own = _state.peek()
    loaded = None if own is None else own.reranker.status().device
    return loaded or settings_now().model.device or _usual_device()


@cache
def _usual_device() -> str:
    return str(devices("")[0])


_constants: Final = Constants(
    {
        "RERANK_ENABLED": lambda: settings_now().enabled,
        "RERANK_BUDGET_MS": lambda: settings_now().rerank.target_ms,
        "RERANK_CIRCUIT_MS": lambda: settings_now().rerank.budget_ms,
        "RERANK_BATCH_SIZE": lambda: settings_now().batch.max_pairs,
        "MODEL_NAME": lambda: full_name(settings_now().model.model),
        "DEVICE": _device,
    }
)


def _value(name: str) -> Any:
    return _constants.value(name)


class _Module(ModuleType):
    """This module's class: some of its names are made at each look-up."""

    rerank_latencies = property(lambda module: Latencies(), doc="The last 1,000 latencies in ms.")
    rerank_skips_total = property(lambda module: _summary.skipped_total, doc="Answers in retrieval order.")


for _name, _property in _constants.properties().items():
    setattr(_Module, _name, _property)
sys.modules[__name__].__class__ = _Module
