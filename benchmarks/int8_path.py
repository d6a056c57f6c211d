"""How many integer operations a second the product's path reaches, in turns with the machine's limit."""

import json
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from random import Random
from statistics import fmean, median
from typing import Any
from unittest.mock import patch

import onnxruntime as ort  # type: ignore[import-untyped]

from benchmarks.int8_limit import SHAPES, Limit
from benchmarks.operations import INTEGER, count, weight_types
from benchmarks.workloads import MIXED, QUERIES, passage, requests
from rerankd.backends.cpu import usable_cores
from rerankd.backends.onnx import OnnxScorer
from rerankd.core.ports import Scorer
from rerankd.core.types import Pair, Text
from rerankd.engine.stop import StopSignal
from rerankd.models.rewriting.model import Model
from rerankd.settings import Settings
from rerankd.wiring import load_model

__all__ = ["LENGTHS", "Course", "measured", "microseconds"]

LENGTHS = (20, 55, 80, 180, 350)
PAIRS = 8
BURSTS = 12
_INT8 = 3
"""ONNX's number of the type."""


# -- the product's path -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Course:
    """A model as the product loads it, the graph that it runs, and the pairs that are timed."""

    alias: str
    name: str
    scorer: Scorer
    graph: Model
    profiled: Callable[[str], Any]
    """The same session again, with ONNX Runtime's profiler writing to this prefix."""
    pairs: Mapping[str, Sequence[Pair]]


def load(alias: str, lengths: Sequence[int]) -> Course:
    wanted: dict[str, Any] = {"model.model": alias}
    settings = Settings.load(**wanted).uncached()
    made, calls = ort.InferenceSession, []

    def session(graph: Any, options: Any, **named: Any) -> Any:
        calls.append((graph, options, named))
        return made(graph, options, **named)

    with patch.object(ort, "InferenceSession", session):
        model = load_model(settings.model, settings.data_dir)
    graph, options, named = calls[-1]  # those before look at parts of the graph
    if not isinstance(graph, bytes):
        raise SystemExit(f"{alias}: does not run in its lean form here; there is nothing to count")
    if weight_types(read := Model(graph)) != {_INT8}:
        raise SystemExit(f"{alias}: its weights are not int8")

    def profiled(prefix: str) -> Any:
        options.enable_profiling, options.profile_file_prefix = True, prefix
        return made(graph, options, **named)

    pairs = {str(tokens): _of_length(model, tokens) for tokens in lengths}
    request = next(iter(requests(MIXED)))
    encoded = model.tokenizer.encode(  # type: ignore[union-attr]
        Text(request.query), list(map(Text, request.texts)), max_tokens=model.max_tokens
    )
    pairs["mixed"] = [pair for (pair,) in encoded]
    return Course(alias, model.scorer.traits.model, model.scorer, read, profiled, pairs)


def _of_length(model: Any, tokens: int) -> list[Pair]:
    """Pairs of exactly so many tokens: a longer text, cut to the window."""
    dice = Random(tokens)
    found = model.tokenizer.encode(
        Text(QUERIES[1]), [Text(passage(dice, tokens)) for _ in range(PAIRS)], max_tokens=tokens
    )
    return [pair for (pair,) in found]


def _timed(scorer: Scorer, pairs: Sequence[Pair], pool: ThreadPoolExecutor | None) -> float:
    """Seconds until all pairs are scored, by this thread alone or by those of the pool."""
    begun = time.perf_counter()
    for _ in (map if pool is None else pool.map)(lambda pair: scorer.score([pair], StopSignal()), pairs):
        pass
    return time.perf_counter() - begun


def microseconds(events: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """What each operator's nodes took together, by the profiler's events; the longest first."""
    spent: dict[str, float] = defaultdict(float)
    for each in events:
        if each.get("cat") == "Node" and each["name"].endswith("_kernel_time"):
            spent[each["args"]["op_name"]] += each["dur"]
    return dict(sorted(spent.items(), key=lambda item: -item[1]))


def _profile(course: Course, turns: int) -> dict[str, float]:
    """Of one turn of the mixed pairs."""
    with tempfile.TemporaryDirectory() as folder:
        session = course.profiled(f"{folder}/profile")
        scorer = OnnxScorer(session, model=course.name)
        for _ in range(turns):
            scorer.score(course.pairs["mixed"], StopSignal())
        events = json.loads(Path(session.end_profiling()).read_text(encoding="utf-8"))
    return {name: taken / turns for name, taken in microseconds(events).items()}


# -- both, in turns ---------------------------------------------------------------------------------------------


def measured(aliases: Sequence[str], rounds: int, *, quick: bool = False) -> dict[str, Any]:
    """The report, but for the machine. A share is the median of the rounds', each by its own round's limit."""
    workers, bursts = usable_cores(), 2 if quick else BURSTS
    limits = [Limit(shape, workers) for shape in SHAPES]
    courses = [load(alias, LENGTHS[:2] if quick else LENGTHS) for alias in aliases]
    counts = {"core": 1, "machine": workers}
    best: dict[tuple[Any, str], list[float]] = defaultdict(list)
    seconds: dict[tuple[str, str, str], list[float]] = defaultdict(list)
    with ThreadPoolExecutor(workers) as pool:
        for number in range(rounds + 1):
            for scope, those in counts.items():
                for limit in limits:
                    best[limit.shape, scope].append(limit.reached(pool, those, bursts))
            for course in courses:
                for name, pairs in course.pairs.items():
                    for scope in counts:
                        taken = _timed(course.scorer, pairs, None if scope == "core" else pool)
                        seconds[course.alias, name, scope].append(taken)
            if not number:  # it warmed up
                best.clear()
                seconds.clear()
    most = {
        scope: [max(each) for each in zip(*(best[shape, scope] for shape in SHAPES), strict=True)]
        for scope in counts
    }
    return {
        "workers": workers,
        "rounds": rounds,
        "limit": {scope: median(each) for scope, each in most.items()},
        "shapes": [
            {"shape": shape, **{scope: median(best[shape, scope]) for scope in counts}} for shape in SHAPES
        ],
        "models": [_told(course, seconds, most, 1 if quick else 6) for course in courses],
    }


def _told(
    course: Course,
    seconds: Mapping[tuple[str, str, str], Sequence[float]],
    most: Mapping[str, Sequence[float]],
    turns: int,
) -> dict[str, Any]:
    rows = []
    for name, pairs in course.pairs.items():
        counted = [count(course.graph, pair.tokens) for pair in pairs]
        integer = sum(each.integer for each in counted) / 1e9
        row: dict[str, Any] = {
            "pairs": name,
            "tokens": fmean(pair.tokens for pair in pairs),
            "integer_gop": integer / len(pairs),
            "float_gop": sum(each.floating for each in counted) / 1e9 / len(pairs),
            "ms": median(seconds[course.alias, name, "core"]) / len(pairs) * 1e3,
        }
        for scope, limits in most.items():
            reached = [integer / each for each in seconds[course.alias, name, scope]]
            shares = [ours / limit for ours, limit in zip(reached, limits, strict=True)]
            row[scope] = {"gops": median(reached), "share": median(shares)}
        rows.append(row)
    spent = _profile(course, turns)
    whole = sum(spent.values())
    products = sum(spent.get(each, 0.0) for each in INTEGER)
    gops = rows[-1]["integer_gop"] * len(course.pairs["mixed"]) / (products / 1e6)
    return {
        "alias": course.alias,
        "model": course.name,
        "rows": rows,
        "operators": {name: taken / whole for name, taken in spent.items()},
        "products": {"time": products / whole, "gops": gops, "share": gops / median(most["core"])},
    }
