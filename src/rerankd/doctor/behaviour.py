"""What has to work when the model does not: the circuit, the switch, the metrics."""

import json
import threading
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

from rerankd.core.flag import Flag, Mode
from rerankd.core.types import Outcome, Pair, Reason
from rerankd.doctor.check import Check
from rerankd.reranker import Reranker
from rerankd.testing import FakeScorer, fake_reranker

__all__ = [
    "METRICS",
    "CircuitTrial",
    "FlagTrial",
    "circuit_check",
    "flag_check",
    "metric_names",
    "metrics_check",
    "summary_check",
    "try_circuit",
    "try_flag",
]

CALLS = 20
"""Within so many bad calls it has to open."""
BUDGET_MS = 80.0
"""Short, and longer than a run has to take before it counts as overrun."""
TEXTS = [f"candidate {number}" for number in range(24)]

METRICS = (
    "rerank_requests",
    "rerank_latency_seconds",
    "rerank_stage_seconds",
    "rerank_depth_ratio",
    "rerank_pairs",
    "rerank_batch_tokens",
    "rerank_padding_ratio",
    "rerank_queue_pairs",
    "rerank_circuit_state",
    "rerank_enabled",
    "rerank_model_loaded",
    "rerank_event_loop_lag_seconds",
    "rerank_skipped",
)
"""Families that dashboards and alerts ask for, as a parser names them (counters without `_total`)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CircuitTrial:
    """How the circuit took a model that had become slow."""

    calls: int
    """Asked before the first answer that did not wait for the model."""
    opened: bool
    kept_order: bool
    """Whether every answer held all candidates in retrieval order."""
    slowest_ms: float


def try_circuit(build: Callable[[FakeScorer], Reranker] = fake_reranker) -> CircuitTrial:
    """Let a fake model hang, and ask until the circuit opens."""
    hangs, released = threading.Event(), threading.Event()

    def score(pair: Pair) -> float:
        if hangs.is_set():
            released.wait()
        return 0.0

    slowest, kept, calls = 0.0, True, 0
    with build(FakeScorer(score)) as reranker:
        hangs.set()
        try:
            while calls <= CALLS:
                answer = reranker.rerank("query", TEXTS, budget_ms=BUDGET_MS)
                kept = kept and [candidate.text for candidate in answer] == TEXTS
                slowest = max(slowest, answer.elapsed_ms)
                if answer.reason is Reason.CIRCUIT_OPEN:
                    return CircuitTrial(calls=calls, opened=True, kept_order=kept, slowest_ms=slowest)
                calls += 1
        finally:
            released.set()
    return CircuitTrial(calls=calls, opened=False, kept_order=kept, slowest_ms=slowest)


def circuit_check(seen: CircuitTrial) -> Check:
    order = "retrieval order kept" if seen.kept_order else "candidates lost or moved"
    when = (
        f"open after {seen.calls} slow calls"
        if seen.opened
        else f"still closed after {seen.calls} slow calls"
    )
    return Check.of(
        "Circuit",
        seen.opened and seen.kept_order,
        f"{when}, {order}, slowest answer {seen.slowest_ms:.0f} ms of {BUDGET_MS:.0f}",
        "this is a fault in rerankd: please report it with the log",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class FlagTrial:
    """What requests got with the switch on, off and on again."""

    outcomes: tuple[tuple[Outcome, Reason | None], ...]


def try_flag(build: Callable[[FakeScorer], Reranker] = fake_reranker) -> FlagTrial:
    """Turn the switch of a fake model's reranker on, off and on."""
    outcomes = []
    with build(FakeScorer()) as reranker:
        for mode in (Mode.ON, Mode.OFF, Mode.ON):
            reranker.set_flag(Flag(mode))
            answer = reranker.rerank("candidate 7", TEXTS, budget_ms=None)
            outcomes.append((answer.outcome, answer.reason))
    return FlagTrial(outcomes=tuple(outcomes))


def flag_check(seen: FlagTrial, in_force: Flag | None, source: str) -> Check:
    """`in_force` is what this host's own source says now; None: it cannot be read."""
    on, off = (Outcome.RERANKED, None), (Outcome.SKIPPED, Reason.DISABLED)
    toggles = seen.outcomes == (on, off, on)
    if in_force is None:
        return Check.of(
            "Flag",
            False,
            f"{source} cannot be read",
            "look at the flag file or provider; `on` counts until then",
        )
    percent = "" if in_force.percent == 100 else f" for {in_force.percent:g} %"
    return Check.of(
        "Flag",
        toggles,
        f"{'toggles' if toggles else 'does not toggle'}; here {in_force.mode.value}{percent} ({source})",
        "this is a fault in rerankd: please report it with the log",
    )


def metric_names(text: str) -> frozenset[str]:
    """The families in Prometheus' text format. Raises `ValueError` for a text that is none."""
    from prometheus_client.parser import text_string_to_metric_families

    return frozenset(family.name for family in text_string_to_metric_families(text))


def metrics_check(seen: Collection[str] | ValueError) -> Check:
    remedy = "install prometheus-client anew; if it stays, report it"
    if isinstance(seen, ValueError):
        return Check.of("Metrics", False, f"cannot be parsed: {seen}", remedy)
    missing = [name for name in METRICS if name not in seen]
    figure = f"{len(seen)} families parse" + (f", missing: {', '.join(missing)}" if missing else "")
    return Check.of("Metrics", not missing, figure, remedy)


def summary_check(seen: Mapping[str, Any]) -> Check:
    """The JSON summary, as `/metrics/rerank` and `get_rerank_metrics` give it."""
    try:
        back = json.loads(json.dumps(seen, allow_nan=False))
    except (TypeError, ValueError) as error:
        return Check.of("Metrics as JSON", False, f"not valid: {error}", "report it")
    wanted = ("rerank_skipped_total", "rerank_latency_ms", "rerank_batch_size", "device")
    missing = [name for name in wanted if name not in back]
    figure = f"{len(back)} figures" + (f", missing: {', '.join(missing)}" if missing else "")
    return Check.of("Metrics as JSON", not missing, figure, "report it")
