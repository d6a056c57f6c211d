"""What is measured, one function a section. Each returns what goes into the JSON and the Markdown."""

import asyncio
import importlib.metadata
import math
import os
import platform
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch

from benchmarks.gpu.models import Forms
from rerankd.backends.devices import CPU, Device
from rerankd.bench.arrivals import Arrivals, Closed, Open
from rerankd.bench.load import fire
from rerankd.bench.report import summarise
from rerankd.core.answer import Ranking
from rerankd.core.ports import Scorer
from rerankd.core.types import Outcome, Text
from rerankd.doctor.check import Profile
from rerankd.doctor.examine import examine
from rerankd.engine.stop import StopSignal
from rerankd.errors import BackendError, DeviceLost
from rerankd.nvml import NoGpu, Nvml
from rerankd.reranker import Reranker
from rerankd.sample.workload import requests
from rerankd.settings import Settings

__all__ = [
    "Plan",
    "arrivals",
    "doctor",
    "lost",
    "memory",
    "nvml_under",
    "parity",
    "speed",
    "throughput",
    "versions",
]

Rows = list[dict[str, Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How much is measured."""

    device: Device
    forms: Forms
    queries: int
    lengths: Sequence[int]
    budgets: Sequence[int]
    pairs: int
    """Scored for each length and budget."""
    requests: int
    """Of each open-arrival load."""

    @property
    def scorers(self) -> dict[str, Callable[[], Scorer]]:
        """The two back ends, as they would run on this device."""
        return {
            "PyTorch": lambda: self.forms.torch(self.device),
            "ONNX Runtime": lambda: self.forms.onnx(self.device),
        }


def versions(plan: Plan) -> Rows:
    def version(package: str) -> str:
        try:
            return importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            return "not installed"

    packages = ("rerankd", "torch", "transformers", "onnxruntime", "onnxruntime-gpu", "onnx", "tokenizers")
    rows = [{"what": name, "version": version(name)} for name in (*packages, "nvidia-ml-py")]
    rows += [
        {"what": "Python", "version": platform.python_version()},
        {"what": "system", "version": platform.platform()},
        {"what": "CPUs", "version": str(os.cpu_count())},
        {"what": "CUDA of PyTorch", "version": str(torch.version.cuda)},
    ]
    if plan.device.kind == "cuda":
        cudnn = torch.backends.cudnn.version()  # type: ignore[no-untyped-call]
        name = str(plan.device)
        capability = ".".join(map(str, torch.cuda.get_device_capability(name)))
        rows += [
            {"what": "cuDNN", "version": str(cudnn)},
            {
                "what": "device",
                "version": f"{torch.cuda.get_device_name(name)}, compute capability {capability}",
            },
        ]
    return rows


def doctor(plan: Plan, settings: Settings) -> Rows:
    """`rerankd doctor --profile gpu`, or the other profile where the CPU is measured."""
    profile = Profile.GPU if plan.device.kind == "cuda" else Profile.CPU
    on = replace(settings, model=replace(settings.model, device=str(plan.device)))
    checks = examine(on, profile, queries=plan.queries)
    return [{**asdict(check), "status": check.status.value} for check in checks]


def parity(plan: Plan) -> Rows:
    """The largest difference of a logit from the fp32 graph on the CPU, over pairs of mixed length in one run."""
    query, passages = next(requests(24))
    encoded = plan.forms.tokenizer().encode(query, [Text(each.text) for each in passages], max_tokens=512)
    pairs = [only for (only,) in encoded]
    expected = plan.forms.onnx(CPU, full=True).score(pairs, StopSignal())
    half = f"PyTorch fp16 on {plan.device}"
    forms: tuple[tuple[str, float | None, Callable[[], Scorer]], ...] = (
        ("PyTorch fp32 on cpu", 1e-4, lambda: plan.forms.torch(CPU, full=True)),
        (half, 2e-2, lambda: plan.forms.torch(plan.device, dtypes=(torch.float16,))),
        (f"ONNX Runtime fp16 on {plan.device}", 2e-2, lambda: plan.forms.onnx(plan.device)),
        (
            f"PyTorch bf16 on {plan.device}",
            None,
            lambda: plan.forms.torch(plan.device, dtypes=(torch.bfloat16,)),
        ),
        ("the carried int8 file on cpu", None, plan.forms.carried),
    )
    rows: Rows = []
    for name, tolerance, load in forms:
        try:
            loaded = load()
        except BackendError as error:
            rows.append({"form": name, "allowed": tolerance, "note": _not_usable(error)})
            continue
        with _closing(loaded) as scorer:
            together = list(scorer.score(pairs, StopSignal()))
            alone = [scorer.score([pair], StopSignal())[0] for pair in pairs[:8]]
        worst = max(abs(a - b) for a, b in zip(together, expected, strict=True))
        company = max(abs(a - b) for a, b in zip(together, alone, strict=False))
        rows.append(
            {
                "form": name,
                "largest difference": round(worst, 5),
                "alone against together": round(company, 5),
                "allowed": tolerance,
                "good": tolerance is None or (worst <= tolerance and math.isfinite(worst)),
            }
        )
    return rows


def speed(plan: Plan) -> Rows:
    """Pairs a second of the scorer alone, over lengths and token budgets of a batch."""
    rows = []
    for budget in plan.budgets:
        with _closing(plan.forms.torch(plan.device, tokens=budget)) as scorer:
            for length in plan.lengths:
                pairs = plan.forms.pairs(length, plan.pairs)
                seconds = _seconds(lambda scorer=scorer, pairs=pairs: scorer.score(pairs, StopSignal()))  # type: ignore[misc]
                rows.append(
                    {
                        "tokens a pair": length,
                        "tokens a batch": budget,
                        "pairs a batch": max(1, budget // length),
                        "pairs a second": round(plan.pairs / seconds, 1),
                    }
                )
    return rows


def throughput(plan: Plan) -> Rows:
    """24 candidates of mixed length without a deadline: one caller's latency, and what eight callers get done."""
    rows: Rows = []
    for name, load in plan.scorers.items():
        for callers in (1, 8):
            with ExitStack() as stack:
                try:
                    reranker = stack.enter_context(_reranker(plan, load))
                except BackendError as error:
                    rows.append({"back end": name, "callers": callers, "note": _not_usable(error)})
                    continue
                report = _fire(reranker, plan.queries, Closed(concurrency=callers), budget_ms=None)
            rows.append(
                {
                    "back end": name,
                    "callers": callers,
                    **{key: round(report.latency_ms[key], 2) for key in ("p50", "p95", "p99")},
                    "queries a minute": round(report.throughput * 60),
                    "pairs a second": round(report.pairs_per_second, 1),
                }
            )
    return rows


def arrivals(plan: Plan, capacity: float) -> Rows:
    """Independent callers with a budget of 250 ms, at shares of the rate that eight closed callers got done."""
    if capacity <= 0:  # at the least rate this would take hours
        raise BackendError(
            "the rate of eight closed callers is not known, so there is none to take shares of"
        )
    rows = []
    for share in (0.5, 0.8, 1.0, 4.0):
        with _reranker(plan, plan.scorers["PyTorch"]) as reranker:
            report = _fire(reranker, plan.requests, Open(rate=max(0.1, capacity * share)), budget_ms=250)
        rows.append(
            {
                "load": f"{share:.0%}",
                "queries a second": round(capacity * share, 1),
                **{key: round(report.latency_ms[key], 2) for key in ("p50", "p95", "p99")},
                "depth of 24": round(report.depth, 1),
                **{outcome.value: round(report.outcomes[outcome.value], 3) for outcome in Outcome},
                "generator late, p99 ms": round(report.late_ms, 2),
            }
        )
    return rows


def memory(plan: Plan) -> Rows:
    """Too little memory for a batch: whether all scores come all the same, from which budget, and back to which."""
    scorer = plan.forms.torch(plan.device, tokens=max(plan.budgets))
    pairs = plan.forms.pairs(128, 64)
    expected = scorer.score(pairs, StopSignal())
    before = scorer._budget.tokens
    with _scarce(plan, scorer) as how:
        seen = scorer.score(pairs, StopSignal())
        smaller = scorer._budget.tokens
    rounds = 0
    while scorer._budget.tokens < before and rounds < 1_000:
        scorer.score(pairs[:1], StopSignal())
        rounds += 1
    worst = max((abs(a - b) for a, b in zip(seen, expected, strict=False)), default=math.inf)
    return [
        {
            "how memory was made scarce": how,
            "scored": f"{len(seen)} of {len(pairs)}",
            "largest difference": round(worst, 5),
            "budget before": before,
            "budget then": smaller,
            "good batches until it was back": rounds,
            "good": len(seen) == len(pairs) and worst <= 2e-2 and smaller < before and rounds < 1_000,
        }
    ]


def lost(plan: Plan) -> Rows:
    """A CUDA error at run time, simulated: how long until requests are reranked again, and where."""
    broken = plan.forms.torch(plan.device)
    launch = broken._launch
    fails = threading.Event()

    def launched(*arguments: Any) -> Any:
        if fails.is_set():
            raise DeviceLost("CUDA error: simulated by the report")
        return launch(*arguments)

    broken._launch = launched  # type: ignore[method-assign, assignment]
    models = [plan.forms.model(broken)]
    with Reranker(
        lambda: models.pop() if models else plan.forms.model(plan.forms.carried()), name="lost"
    ) as reranker:
        query, passages = next(requests(24))
        fails.set()
        began = time.perf_counter()
        during = reranker.rerank(query, passages, budget_ms=250)
        answer = during
        while answer.outcome is not Outcome.RERANKED and time.perf_counter() - began < 60:
            time.sleep(0.02)
            answer = reranker.rerank(query, passages, budget_ms=None)
        seconds = time.perf_counter() - began
        return [
            {
                "answer meanwhile": f"{during.outcome}/{during.reason}",
                "seconds until reranked": round(seconds, 2),
                "then on": reranker.status().device,
                "good": answer.outcome is Outcome.RERANKED and during.outcome is not Outcome.RERANKED,
            }
        ]


@contextmanager
def nvml_under(seconds: float = 0.25) -> Iterator[Rows]:
    """Reads NVML all the while; the list has the figures when the block has ended."""
    nvml, rows, over = Nvml(), [], threading.Event()  # type: ignore[var-annotated]
    seen: list[Any] = []

    def look() -> None:
        while not over.wait(seconds):
            found = nvml.read()
            seen.append(found)

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield rows
    finally:
        over.set()
        thread.join()
        last = nvml.read()
        nvml.close()
        if isinstance(last, NoGpu):
            rows.append({"device": f"none: {last.cause}"})
        else:
            readings = [each for each in seen if not isinstance(each, NoGpu)] or [last]
            rows += [_figures([reading[at] for reading in readings]) for at in range(len(last))]


def _figures(readings: Sequence[Any]) -> dict[str, Any]:
    def most(values: Sequence[float | None]) -> float | None:
        return max((value for value in values if value is not None), default=None)

    return {
        "device": readings[-1].name,
        "driver": readings[-1].driver,
        "most used": most([each.utilisation for each in readings]),
        "most memory, GB": round(
            (readings[-1].memory_bytes - min(each.free_bytes for each in readings)) / 1e9, 2
        ),
        "most power, W": most([each.power_watts for each in readings]),
        "warmest, °C": most([each.temperature_celsius for each in readings]),
        "readings": len(readings),
    }


@contextmanager
def _scarce(plan: Plan, scorer: Any) -> Iterator[str]:
    """On CUDA the process is left little memory; elsewhere the network says that there is none."""
    if plan.device.kind == "cuda":
        torch.cuda.empty_cache()
        _, total = torch.cuda.mem_get_info(str(plan.device))
        held = torch.cuda.memory_allocated(str(plan.device))
        torch.cuda.set_per_process_memory_fraction((held + 64e6) / total, str(plan.device))
        try:
            yield "the process may have 64 MB beside the weights"
        finally:
            torch.cuda.set_per_process_memory_fraction(1.0, str(plan.device))
        return
    network = scorer._network

    def refusing(**feed: Any) -> Any:
        if feed["input_ids"].numel() > 512:
            raise RuntimeError("CUDA out of memory, simulated by the report")
        return network(**feed)

    scorer._network = refusing
    try:
        yield "simulated: no batch of more than 512 tokens fits"
    finally:
        scorer._network = network


@contextmanager
def _closing(scorer: Any) -> Iterator[Any]:
    try:
        yield scorer
    finally:
        scorer.close()


@contextmanager
def _reranker(plan: Plan, load: Callable[[], Scorer]) -> Iterator[Reranker]:
    with Reranker(lambda: plan.forms.model(load()), name="report", require_model=True) as reranker:
        yield reranker


def _fire(reranker: Reranker, count: int, how: Arrivals, *, budget_ms: float | None) -> Any:
    asked = requests(24)

    async def ask(number: int) -> Ranking:
        query, candidates = next(asked)
        return await reranker.arerank(query, candidates, budget_ms=budget_ms)

    return summarise(asyncio.run(fire(ask, count, how, warm_up=2)))


def _not_usable(error: BackendError) -> str:
    return f"not usable: {error}"


def _seconds(act: Callable[[], Any]) -> float:
    """The best of three, after one that is not counted."""
    act()
    taken = []
    for _ in range(3):
        began = time.perf_counter()
        act()
        taken.append(time.perf_counter() - began)
    return min(taken)
