"""Prometheus metrics, in base units, made of core events and of what the reranker says of itself."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from typing import Self, TypeVar, get_args

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from rerankd.core.events import (
    STAGES,
    CircuitChanged,
    CircuitState,
    Event,
    FlagChanged,
    LossCause,
    MemoryFailed,
    MemoryQueried,
    ModelChanged,
    RecordsRejected,
    RunEnded,
    RunResult,
    ScorerLost,
    Settled,
    Shadow,
)
from rerankd.core.flag import Flag, Mode
from rerankd.core.ports import Clock
from rerankd.core.status import Status
from rerankd.core.types import Outcome, Reason
from rerankd.errors import ConfigError
from rerankd.gpu_gauges import GpuGauges

__all__ = ["LoopLag", "PrometheusObserver"]

LATENCY = (0.005, 0.01, 0.025, 0.05, 0.1, 0.15, 0.2, 0.225, 0.25, 0.26, 0.275, 0.3, 0.4, 0.5, 1.0, 2.5, 10.0)
"""Seconds. Close together around the usual target (200 ms) and budget (250 ms), and just behind the budget,
where an overshoot would show."""
STAGE = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.15, 0.2, 0.25, 0.5, 1.0, 2.5)
LAG = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0)
RATIO = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.99, 1.0)
TOKENS = (32, 64, 128, 256, 512, 1_024, 2_048, 4_096, 8_192, 16_384, 32_768)

MEMORY_STAGES = ("embed", "store", "rank", "open", "rerank")

Kind = TypeVar("Kind", bound=Collector)

NO_REASON = "none"
"""The label `reason` of a request that was reranked. Prometheus takes an empty label for a missing one."""
CIRCUIT: dict[CircuitState, int] = {"closed": 0, "half_open": 1, "open": 2}


class PrometheusObserver:
    """Counts and measures what happens. Safe to call from any thread.

    Each observer has a registry of its own, so that two rerankers in one process do not clash; hand in
    `prometheus_client.REGISTRY` to have the metrics beside the host's. A registry takes one observer:
    `ConfigError` otherwise.
    """

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self.registry = CollectorRegistry() if registry is None else registry
        self._collectors: list[Collector] = []
        try:
            self._requests = self._counter("requests", "Requests answered", "outcome", "reason")
            self._skipped = self._counter("skipped", "Requests answered in retrieval order")
            self._pairs = self._counter("pairs", "Pairs by what became of them", "result")
            self._lost = self._counter(
                "scorer_restarts", "Processes of the isolated scorer that were lost and replaced", "cause"
            )
            self._latency = self._histogram("latency_seconds", "From the call to the answer", LATENCY)
            self._stage = self._histogram("stage_seconds", "Where a request's time went", STAGE, "stage")
            self._depth = self._histogram("depth_ratio", "Scored share of the candidates", RATIO)
            self._refined = self._histogram(
                "refined_ratio", "Share of the candidates that a cascade's larger model rescored", RATIO
            )
            self._tokens = self._histogram("batch_tokens", "Tokens in a run, padding included", TOKENS)
            self._padding = self._histogram("padding_ratio", "Padding's share of a run's tokens", RATIO)
            self._lag = self._histogram("event_loop_lag_seconds", "How late the event loop wakes", LAG)
            self._shadows = self._counter(
                "shadow_requests", "What shadowed requests would have got", "outcome", "reason"
            )
            self._shadow_latency = self._histogram(
                "shadow_latency_seconds", "From the call to the answer that was not given", LATENCY
            )
            self._shadow_depth = self._histogram(
                "shadow_depth_ratio", "Scored share of the candidates", RATIO
            )
            self._shadow_overlap = self._histogram(
                "shadow_overlap_ratio", "Share of the first candidates that both orders have there", RATIO
            )
            self._shadow_moved = self._histogram(
                "shadow_moved_ratio", "Share of the candidates that would have stood elsewhere", RATIO
            )
            self._memory_queries = self._counter(
                "memory_queries", "Questions that the memory answered", "outcome", "reason"
            )
            self._memory_latency = self._histogram(
                "memory_latency_seconds", "From a question to its memories", LATENCY
            )
            self._memory_stage = self._histogram(
                "memory_stage_seconds", "Where a question's time went", STAGE, "stage"
            )
            self._memory_failures = self._counter(
                "memory_failures", "Calls of the memory that failed, by error", "call", "error"
            )
            self._memory_rejected = self._counter(
                "memory_rejected_records",
                "Sealed records that did not open in their place: damage, or an attack",
            )
            self._gauges = self._register(_Gauges())
            self._register(GpuGauges())
        except ValueError:
            self.close()
            raise ConfigError("metrics: this registry holds a reranker's metrics already") from None
        self._start_at_zero()

    def bind(self, status: Callable[[], Status] | None) -> None:
        """Read the gauges from here at every scrape; without it they show what the last events said."""
        self._gauges.status = status

    def on(self, event: Event) -> None:
        match event:
            case Settled():
                self._settled(event)
            case RunEnded():
                self._pairs.labels(event.result).inc(event.pairs)
                if event.result in ("scored", "failed") and event.padded_tokens > 0:
                    self._tokens.observe(event.padded_tokens)
                    self._padding.observe(1 - event.tokens / event.padded_tokens)
            case ScorerLost():
                self._lost.labels(event.cause).inc()
            case CircuitChanged() | ModelChanged() | FlagChanged():
                self._gauges.on(event)
            case MemoryQueried():
                self._queried(event)
            case MemoryFailed():
                self._memory_failures.labels(event.call, event.error).inc()
            case RecordsRejected():
                self._memory_rejected.inc(event.records)

    def render(self) -> bytes:
        """All metrics of the registry in Prometheus' text format, as UTF-8."""
        return generate_latest(self.registry)

    def loop_lag(self, clock: Clock, *, every_s: float = 0.1) -> "LoopLag":
        """A probe for `rerank_event_loop_lag_seconds`; start it in the loop that is to be watched."""
        return LoopLag(self._lag.observe, clock, every_s=every_s)

    def close(self) -> None:
        """Take the metrics out of the registry again."""
        while self._collectors:
            self.registry.unregister(self._collectors.pop())

    def _settled(self, event: Settled) -> None:
        self._requests.labels(event.outcome.value, _reason(event.reason)).inc()
        if event.outcome is Outcome.SKIPPED:
            self._skipped.inc()
        # Nothing was asked of the reranker: such answers would only water the figures of the others down.
        if event.reason is Reason.DISABLED or event.candidates == 0:
            return
        self._latency.observe(event.elapsed_ms / 1000)
        for stage in STAGES:
            spent_ms = getattr(event.timings, stage)
            if spent_ms > 0:  # else the request never came that far
                self._stage.labels(stage).observe(spent_ms / 1000)
        if event.reason is not Reason.SHADOW:
            self._depth.observe(event.depth / event.candidates)
            if event.refined_depth is not None:
                self._refined.observe(event.refined_depth / event.candidates)
        elif event.shadow is not None:
            self._shadowed(event.shadow, event.candidates)

    def _shadowed(self, shadow: Shadow, candidates: int) -> None:
        self._shadows.labels(shadow.outcome.value, _reason(shadow.reason)).inc()
        self._shadow_latency.observe(shadow.elapsed_ms / 1000)
        self._shadow_depth.observe(shadow.depth / candidates)
        self._shadow_overlap.observe(shadow.overlap)
        self._shadow_moved.observe(shadow.moved / candidates)

    def _queried(self, event: MemoryQueried) -> None:
        self._memory_queries.labels(event.outcome.value, _reason(event.reason)).inc()
        self._memory_latency.observe(event.elapsed_ms / 1000)
        for stage in MEMORY_STAGES:
            spent_ms = getattr(event, f"{stage}_ms")
            if spent_ms > 0:
                self._memory_stage.labels(stage).observe(spent_ms / 1000)

    def _start_at_zero(self) -> None:
        """Show the series before their first event: a rate misses the event with which a series begins."""
        self._requests.labels(Outcome.RERANKED.value, NO_REASON)
        for reason in Reason:
            self._requests.labels(Outcome.SKIPPED.value, reason.value)
        for reason in (Reason.OVERLOADED, Reason.MODEL_ERROR, Reason.NONFINITE_SCORE, Reason.DEADLINE):
            self._requests.labels(Outcome.PARTIAL.value, reason.value)
        for result in get_args(RunResult):
            self._pairs.labels(result)
        for stage in STAGES:
            self._stage.labels(stage)
        for cause in get_args(LossCause):
            self._lost.labels(cause)
        self._memory_queries.labels(Outcome.RERANKED.value, NO_REASON)
        for stage in MEMORY_STAGES:
            self._memory_stage.labels(stage)
        for error in ("StoreError", "SealError", "BackendError"):
            self._memory_failures.labels("query", error)

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return self._register(Counter(f"rerank_{name}", text, labels, registry=None))

    def _histogram(self, name: str, text: str, buckets: tuple[float, ...], *labels: str) -> Histogram:
        return self._register(Histogram(f"rerank_{name}", text, labels, buckets=buckets, registry=None))

    def _register(self, collector: Kind) -> Kind:
        self.registry.register(collector)
        self._collectors.append(collector)
        return collector


class _Gauges(Collector):
    """What holds now, made at the scrape: a label that no longer applies is gone and not left standing."""

    def __init__(self) -> None:
        self.status: Callable[[], Status] | None = None
        self._flag = Flag()
        self._circuits: dict[str, CircuitState] = {}
        self._models: dict[str, ModelChanged] = {}
        """The last of each model, the one that makes the first pass first."""

    def on(self, event: CircuitChanged | ModelChanged | FlagChanged) -> None:
        match event:
            case CircuitChanged():
                self._circuits = self._circuits | {
                    event.scorer: event.state
                }  # a scrape may be reading the old
            case ModelChanged():
                self._models = self._models | {event.model: event}
            case FlagChanged():
                self._flag = event.flag

    def describe(self) -> Iterator[Metric]:
        """The names alone: asked at registration, when there is nothing to tell yet."""
        return iter((*_gauges().values(), _lookups()))

    def collect(self) -> Iterator[Metric]:
        gauges = _gauges()
        lookups = _lookups()
        status = self.status() if self.status is not None else None
        if status is not None:
            self._of_status(gauges, status)
        else:
            self._of_events(gauges)
        if status is not None and status.cache is not None:
            lookups.add_metric(("hit",), status.cache.hits)
            lookups.add_metric(("miss",), status.cache.misses)
        return iter((*gauges.values(), lookups))

    def _of_status(self, gauges: dict[str, GaugeMetricFamily], status: Status) -> None:
        gauges["queue_pairs"].add_metric((), status.queue_pairs)
        gauges["enabled"].add_metric((), status.enabled)
        gauges["shadow_enabled"].add_metric((), status.enabled and status.flag.mode is Mode.SHADOW)
        if status.cache is not None:
            gauges["cache_entries"].add_metric((), status.cache.entries)
            gauges["cache_bytes"].add_metric((), status.cache.size_bytes)
        if status.model is not None:
            loaded = status.model_state == "ready"
            scorer = status.scorer or status.model
            gauges["model_loaded"].add_metric((scorer, status.device or ""), loaded)
            gauges["circuit_state"].add_metric((scorer,), CIRCUIT[status.circuit])
        if status.refiner is not None and status.refiner_circuit is not None:
            loaded = status.refiner_state == "ready"
            gauges["model_loaded"].add_metric((status.refiner, status.refiner_device or ""), loaded)
            gauges["circuit_state"].add_metric((status.refiner,), CIRCUIT[status.refiner_circuit])

    def _of_events(self, gauges: dict[str, GaugeMetricFamily]) -> None:
        for scorer, state in self._circuits.items():
            gauges["circuit_state"].add_metric((scorer,), CIRCUIT[state])
        for model in self._models.values():
            gauges["model_loaded"].add_metric((model.model, model.device or ""), model.state == "ready")
        first = next(iter(self._models.values()), None)
        if first is not None:
            enabled = first.state == "ready" and self._flag.mode is not Mode.OFF and self._flag.percent > 0
            gauges["enabled"].add_metric((), enabled)
            gauges["shadow_enabled"].add_metric((), enabled and self._flag.mode is Mode.SHADOW)


def _gauges() -> dict[str, GaugeMetricFamily]:
    kinds: dict[str, tuple[str, tuple[str, ...]]] = {
        "queue_pairs": ("Pairs that nobody has begun to score", ()),
        "circuit_state": ("0 closed, 1 half-open, 2 open", ("scorer",)),
        "enabled": ("1 where the flag is not off and the model is there", ()),
        "shadow_enabled": ("1 where that is so in shadow mode: answers are in retrieval order", ()),
        "model_loaded": ("1 where the model is ready", ("model", "device")),
        "cache_entries": ("Scores that are kept", ()),
        "cache_bytes": ("About what they take in memory", ()),
    }
    return {
        name: GaugeMetricFamily(f"rerank_{name}", text, labels=labels)
        for name, (text, labels) in kinds.items()
    }


def _lookups() -> CounterMetricFamily:
    return CounterMetricFamily(
        "rerank_cache_lookups",
        "Candidates by whether their score was kept from before",
        labels=("result",),
    )


def _reason(reason: Reason | None) -> str:
    return NO_REASON if reason is None else reason.value


class LoopLag:
    """Sleeps again and again in an event loop and measures how late it is woken.

    Started explicitly, by whoever owns the loop: `async with observer.loop_lag(clock): ...`.
    """

    def __init__(
        self,
        observe: Callable[[float], None],
        clock: Clock,
        *,
        every_s: float = 0.1,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """`observe` gets the seconds; `every_s` is how long it sleeps each time."""
        self._observe = observe
        self._clock = clock
        self._every = every_s
        self._sleep = sleep
        self._task: asyncio.Task[None] | None = None

    async def run(self) -> None:
        """Measure until cancelled."""
        while True:
            due = self._clock.now() + self._every
            await self._sleep(self._every)
            self._observe(max(0.0, self._clock.now() - due))

    def start(self) -> None:
        """Begin, in the running event loop. Once is enough: a second call changes nothing."""
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self.run(), name="rerankd-loop-lag")

    async def stop(self) -> None:
        """End, and wait until it has ended."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def __aenter__(self) -> Self:
        self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()
