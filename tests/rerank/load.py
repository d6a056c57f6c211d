"""What `load_test.sh` runs: the drop-in's own names under the specification's load and a realistic one."""

import asyncio
import itertools
import sys
import time
from collections.abc import Iterable, Iterator, Sequence

from src.memory import rerank as drop_in

from rerankd.bench.percentiles import percentiles
from rerankd.doctor.speed import SLOW_CPU, SLOW_GPU
from rerankd.sample.workload import requests

QUERIES, CANDIDATES = 100, 24

Load = Iterable[tuple[str, list[str]]]


def tiny() -> Iterator[tuple[str, list[str]]]:
    """Texts of two words, as the specification's own script has them."""
    for number in itertools.count():
        yield f"test query {number}", [f"doc {place}" for place in range(CANDIDATES)]


def mixed() -> Iterator[tuple[str, list[str]]]:
    """Support passages of 20 to 300 tokens."""
    for query, passages in requests(CANDIDATES):
        yield str(query), [str(passage.text) for passage in passages]


async def run(name: str, load: Load) -> list[str]:
    """Ask one query after another, print the figures, and say what is wrong with them."""
    skipped = drop_in.rerank_skips_total
    latencies: list[float] = []
    depths: list[int] = []
    for query, candidates in itertools.islice(load, QUERIES):
        began = time.perf_counter()
        answer = await drop_in.rerank(query, candidates)
        latencies.append((time.perf_counter() - began) * 1000)
        depths.append(answer.depth)
        if sorted(result.candidate for result in answer) != sorted(candidates):
            return [f"{name}: candidates were lost"]
    skipped = drop_in.rerank_skips_total - skipped
    p50, p95, p99 = percentiles(latencies).values()
    print(f"{name}: {QUERIES} queries with {CANDIDATES} candidates")
    print(f"   p50: {p50:.1f} ms   p95: {p95:.1f} ms   p99: {p99:.1f} ms")
    print(f"   depth: {sum(depths) / QUERIES:.1f} of {CANDIDATES} in the mean, at least {min(depths)}")
    print(f"   skipped: {skipped}")
    return _problems(name, p95, skipped)


def _problems(name: str, p95: float, skipped: int) -> list[str]:
    found = []
    if p95 > drop_in.RERANK_BUDGET_MS:
        found.append(f"{name}: p95 {p95:.1f} ms is over RERANK_BUDGET_MS={drop_in.RERANK_BUDGET_MS:g}")
    if skipped:
        found.append(f"{name}: {skipped} of {QUERIES} were skipped")
    return found


def main() -> int:
    """0 when both loads are fine, else 1."""
    print(f"Priming {drop_in.MODEL_NAME} ...")
    device = drop_in.get_cross_encoder().model.device
    print(f"Loaded on {device}.")
    problems: Sequence[str] = asyncio.run(run("tiny texts", tiny()))
    wrong_mixed = asyncio.run(run("mixed texts", mixed()))
    for problem in (*problems, *wrong_mixed):
        print(f"FAILED  {problem}", file=sys.stderr)
    if wrong_mixed:
        print(f"Remedy: {SLOW_CPU if device == 'cpu' else SLOW_GPU}.", file=sys.stderr)
    if not problems and not wrong_mixed:
        print("Passed.")
    return 1 if problems or wrong_mixed else 0


if __name__ == "__main__":
    sys.exit(main())
