"""The reranker: what a host holds. It owns the parts, their life, and what is told of them."""

import asyncio
import logging
import math
import random
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from types import TracebackType
from typing import Any, Self

from rerankd.caching import Caching
from rerankd.circuit import Circuit
from rerankd.core.answer import Progress, Ranking
from rerankd.core.batch import BatchPolicy
from rerankd.core.breaker import BreakerPolicy
from rerankd.core.cache import CachePolicy
from rerankd.core.cascade import CascadePolicy
from rerankd.core.estimate import EstimatePolicy
from rerankd.core.events import CircuitChanged, Event, ModelChanged
from rerankd.core.flag import Flag, Mode
from rerankd.core.ports import Clock, FlagSource, Model, Observer
from rerankd.core.request import RerankPolicy
from rerankd.core.status import Status
from rerankd.core.types import Activation, LongText, OnDeadline, Outcome
from rerankd.core.watch import WatchPolicy
from rerankd.engine.clock import SystemClock
from rerankd.engine.engine import Engine
from rerankd.engine.fork import after_fork_in_child
from rerankd.engine.ticket import wait, wait_async
from rerankd.engine.workers import ALL_HANG
from rerankd.errors import BackendError
from rerankd.flags.memory import MemoryFlag
from rerankd.refining import Refining
from rerankd.serving import UNSET, Serving, Unset
from rerankd.switch import Switch

__all__ = ["UNSET", "Reranker", "Unset"]

_log = logging.getLogger(__name__)

_FLAG_SECONDS = 1.0
"""How long entering the context waits for the flag's source; after that the initial flag holds for now."""


class Reranker:
    """Reorders candidates within a budget. Thread-safe; works on any event loop, and after `fork`.

    Use it as a context manager, sync or async: entering loads the model, leaving ends its threads. Whatever
    the model does, `rerank` and `arerank` return in time; only a wrong argument raises.
    """

    def __init__(
        self,
        load: Callable[[], Model],
        *,
        name: str,
        policy: RerankPolicy | None = None,
        breaker: BreakerPolicy | None = None,
        batch: BatchPolicy | None = None,
        estimate: EstimatePolicy | None = None,
        watch: WatchPolicy | None = None,
        cascade: CascadePolicy | None = None,
        cache: CachePolicy | None = None,
        flag: FlagSource | None = None,
        initial_flag: Flag | None = None,
        flag_poll_ms: float = 500.0,
        retry_ms: float = 1_000.0,
        retry_max_ms: float = 60_000.0,
        clock: Clock | None = None,
        observers: Sequence[Observer] = (),
        wait: bool = True,
        require_model: bool = False,
        engine: Callable[..., Engine] = Engine,
    ) -> None:
        """`load` is called on a thread of its own, again after each failure; `name` is the id until then.

        `wait`: entering the context waits for the first attempt to load; else answers fall open until then.
        `require_model`: entering raises `BackendError` when that attempt fails. `engine`: what runs the jobs;
        the simulation puts one of virtual time here.
        """
        self.policy = policy or RerankPolicy()
        self._clock: Clock = clock or SystemClock()
        self._observers = tuple(observers)
        self._wait = wait
        self._require_model = require_model
        self._known_model: Model | None = None
        self._random = random.Random()
        self._engine = engine(
            load,
            name=name,
            batch=batch or BatchPolicy(),
            estimate=estimate or EstimatePolicy(),
            watch=watch or WatchPolicy(),
            clock=self._clock,
            emit=self._hear,
            retry_ms=retry_ms,
            retry_max_ms=retry_max_ms,
        )
        self._circuit = Circuit(
            breaker or BreakerPolicy(),
            clock=self._clock,
            emit=self._emit,
            name=lambda: self._serving.scorer_name() or name,
            probe=self._engine.probe,
            call_at=self._engine.call_at,
            draw=lambda: self._random.random(),
        )
        self._caching = Caching(cache or CachePolicy())
        self._refining = Refining(
            cascade or CascadePolicy(),
            self._engine,
            breaker=breaker or BreakerPolicy(),
            clock=self._clock,
            emit=self._emit,
            draw=lambda: self._random.random(),
            caching=self._caching,
        )
        initial = initial_flag or Flag()
        self._switch = Switch(
            flag or MemoryFlag(initial),
            initial=initial,
            poll_seconds=flag_poll_ms / 1000,
            emit=self._emit,
        )
        self._serving = Serving(
            self.policy,
            name=name,
            engine=self._engine,
            circuit=self._circuit,
            refining=self._refining,
            caching=self._caching,
            switch=self._switch,
            clock=self._clock,
            emit=self._emit,
            draw=lambda: self._random.random(),
            waits=wait,
        )
        after_fork_in_child(self._forked)

    def _forked(self) -> None:
        # threads and locks of the parent are of no use here, and its random numbers would repeat
        self._random = random.Random()
        self._known_model = None
        self._circuit.reset(remote=False)
        self._refining.circuit.reset(remote=False)
        self._caching.reset()
        self._switch.reset()
        self._engine.forked()

    # -- life -------------------------------------------------------------------------------------------

    def start(self) -> Self:
        """Begin to load the model; returns at once."""
        self._engine.start()
        self._switch.start()
        return self

    def __enter__(self) -> Self:
        try:
            for done, seconds in self._awaited():
                wait(done, seconds)
            return self._check_required()
        except BaseException:
            self.close()
            raise

    async def __aenter__(self) -> Self:
        try:
            for done, seconds in self._awaited():
                await wait_async(done, seconds)
            return self._check_required()
        except BaseException:
            # not awaited: this task may be in the middle of being cancelled
            asyncio.get_running_loop().run_in_executor(None, self.close)
            raise

    def _awaited(self) -> list[tuple[Future[None], float]]:
        """What entering the context waits for, and how many seconds at most."""
        loader, poller = self._engine.start(), self._switch.start()
        awaited = [] if poller is None else [(poller.asked, _FLAG_SECONDS)]
        if self._wait or self._require_model:
            awaited.append((loader.tried, math.inf))
        return awaited

    def _check_required(self) -> Self:
        if self._require_model and self._engine.state() != "ready":
            raise BackendError(self._engine.error or "the model is not available")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # joining threads takes a moment, which is not the event loop's to spend
        await asyncio.get_running_loop().run_in_executor(None, self.close)

    def wait_ready(self, timeout_s: float | None = None) -> bool:
        """Block until the model is loaded, however many attempts that takes, or the time is over; can it score?"""
        wait(self._engine.start().ended, math.inf if timeout_s is None else timeout_s)
        return self._engine.state() == "ready"

    def close(self) -> None:
        """End the threads and free the model. Whoever still waits is answered. Later calls fall open."""
        self._switch.close()
        self._engine.close()

    @property
    def clock(self) -> Clock:
        """What `arrived` is read from."""
        return self._clock

    # -- reranking --------------------------------------------------------------------------------------

    def rerank(
        self,
        query: str,
        candidates: Iterable[Any],
        *,
        budget_ms: float | Unset | None = UNSET,
        top_k: int | None = None,
        min_score: float | None = None,
        on_deadline: OnDeadline | None = None,
        long_text: LongText | None = None,
        text: Callable[[Any], str] | None = None,
        flag_key: str | None = None,
        tenant: str | None = None,
        rate_limited: bool = False,
    ) -> Ranking:
        """Reorder candidates, best first, within `budget_ms` milliseconds from now.

        `query`: not empty. `candidates`: strings, objects or rows in retrieval order; `text` takes the text
        out of one, else its `text` is used. `budget_ms`: left out, the policy's (250); None, no limit.
        `top_k`: how many to return; None, all. `min_score`: drop scored candidates below it, from 0 to 1.
        `on_deadline="retrieval"`: all scored or the retrieval order. `long_text`: `truncate`, `chunk`, `fit`.
        `flag_key`: requests with the same key fall on the same side of the flag's percentage. `tenant`: on whose
        behalf this is; scores are kept (`RERANKD_CACHE_SCORES`) for a caller that names one, and found by it alone.
        `rate_limited`: the edge refused this caller the scorer; answer in retrieval order.

        Raises `InvalidRequest`, before anything is queued, naming the argument; and what the caller's own
        `text` or iterable raises. Nothing else.
        """
        return self._serving.serve(
            self._serving.receive(
                query,
                candidates,
                budget_ms,
                flag_key=flag_key,
                tenant=tenant,
                rate_limited=rate_limited,
                top_k=top_k,
                min_score=min_score,
                on_deadline=on_deadline,
                long_text=long_text,
                text=text,
            )
        )

    async def arerank(
        self,
        query: str,
        candidates: Iterable[Any],
        *,
        budget_ms: float | Unset | None = UNSET,
        top_k: int | None = None,
        min_score: float | None = None,
        on_deadline: OnDeadline | None = None,
        long_text: LongText | None = None,
        text: Callable[[Any], str] | None = None,
        flag_key: str | None = None,
        tenant: str | None = None,
        rate_limited: bool = False,
        arrived: float | None = None,
        progress: Callable[[Progress], None] | None = None,
    ) -> Ranking:
        """`rerank` for the running event loop, which it never blocks. Cancelling it drops its work.

        `arrived`: when the request arrived, by `clock`, where that was before this call: the budget counts from
        then. `progress` is called in the event loop with each order on the way to the answer: with the
        retrieval order at once, with a better one when the head is scored before the rest, and with the first
        pass's when a cascade's larger model goes on from there. In shadow mode
        and with `on_deadline="retrieval"` it never hears of a better one. What it raises, this raises.
        """
        return await self._serving.serve_async(
            self._serving.receive(
                query,
                candidates,
                budget_ms,
                flag_key=flag_key,
                tenant=tenant,
                rate_limited=rate_limited,
                top_k=top_k,
                min_score=min_score,
                on_deadline=on_deadline,
                long_text=long_text,
                text=text,
                arrived=arrived,
            ),
            progress,
        )

    def score(self, query: str, texts: Iterable[str]) -> list[float]:
        """Just the scores, in the order of the texts, without a limit of time.

        Of a cascade those of the small model: a text's score must not depend on what it is scored with.

        Raises `InvalidRequest` for wrong arguments and `BackendError` when not every text could be scored,
        also because the flag is off; in shadow mode they are.
        """
        return _scores(self._serving.serve(self._serving.receive(query, texts, None, scores_only=True)))

    async def ascore(self, query: str, texts: Iterable[str]) -> list[float]:
        """`score` for the running event loop."""
        return _scores(
            await self._serving.serve_async(self._serving.receive(query, texts, None, scores_only=True))
        )

    # -- the flag and the status ------------------------------------------------------------------------

    def set_flag(self, flag: Flag) -> None:
        """Change the in-process flag. Raises `ConfigError` when a file or a provider owns it."""
        self._switch.set(flag)

    def status(self) -> Status:
        """How it is doing now."""
        engine = self._engine
        state, flag = engine.state(), self._switch.now()
        workers, model = engine.workers, engine.model
        waiting, alive, busy, hung = workers.counts() if workers is not None else (0, 0, 0, 0)
        return Status(
            model=self._serving.model_name(),
            device=None if model is None else model.scorer.traits.device,
            model_state=state,
            error=engine.error if workers is None or not workers.exhausted else ALL_HANG,
            load_seconds=engine.load_seconds,
            circuit=self._circuit.state,
            queue_pairs=waiting,
            workers=alive,
            busy=busy,
            hung=hung,
            flag=flag,
            flag_source=self._switch.source,
            enabled=state == "ready" and flag.mode is not Mode.OFF and flag.percent > 0,
            max_tokens=None if model is None else model.max_tokens,
            scorer=self._serving.scorer_name(),
            cache=self._caching.status(),
            **self._refining.status(),
        )

    @property
    def activation(self) -> Activation:
        """What turns the loaded model's raw values into scores; `sigmoid` until it is loaded."""
        return self._serving.activation()

    # -- events -----------------------------------------------------------------------------------------

    def _hear(self, event: Event) -> None:
        """What the engine tells."""
        model = self._engine.model
        if isinstance(event, ModelChanged) and model is not None:
            refiner = model.refiner
            # the same file, loaded anew, may score in another form or on another device
            self._caching.forget()
            if model is not self._known_model:
                self._known_model = model
                self._caching.meet(model)
                self._renew(self._circuit, model)
                if refiner is not None:
                    self._renew(self._refining.circuit, refiner)
            elif event.state == "ready":
                # a process that took the place of another has done nothing wrong yet
                if refiner is not None and event.model == self._refining.name:
                    self._renew(self._refining.circuit, refiner)
                elif model.health is not None:
                    self._renew(self._circuit, model)
        self._emit(event)

    def _renew(self, circuit: Circuit, model: Model) -> None:
        """A scorer that has done nothing yet has a circuit without a memory."""
        was, traits = circuit.state, model.scorer.traits
        circuit.reset(remote=not traits.local)
        if was != "closed":
            self._emit(CircuitChanged(scorer=traits.model, state="closed", previous=was, bad=0, calls=0))

    def _emit(self, event: Event) -> None:
        for observer in self._observers:
            try:
                observer.on(event)
            except Exception as error:  # noqa: BLE001 - the observers' boundary: watching must not break
                _log.warning(
                    "observer %s failed on %s: %s",
                    type(observer).__name__,
                    type(event).__name__,
                    type(error).__name__,
                )


def _scores(ranking: Ranking) -> list[float]:
    if ranking.outcome is not Outcome.RERANKED:
        raise BackendError(
            f"only {ranking.depth} of {ranking.candidates_total} were scored: {ranking.reason}"
        )
    by_position = sorted(ranking, key=lambda candidate: candidate.retrieval_rank)
    return [candidate.score for candidate in by_position if candidate.score is not None]
