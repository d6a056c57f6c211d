"""The flag is switched at one of two ingresses; and the load decides how many scorers there are."""

import asyncio
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx

from rerankd.http.keyfile import KeyFile
from rerankd.wiring import keys_path
from tests.prove.line import Line
from tests.prove_scale.cluster import Nodes, nodes, serving, settings
from tests.prove_scale.load import Got, at_rate

__all__ = ["measure_flag", "measure_scaling"]

BUDGET = 0.25
PAIR = 0.01
CANDIDATES = 10
MOST = 3
RATE = 25.0
"""Requests a second; one scorer does ten."""
SECONDS = 90.0
"""Ray Serve looks back half a minute before it adds scorers."""


def measure_flag(quick: bool) -> Iterator[Line]:
    rounds = 4 if quick else 20
    with nodes(workers=1, cpus=2) as cluster, tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        given = settings(cluster.address, "sleep/0_flag", Path(folder), replicas=1, cpus=1.0)
        cluster.deploy(given)
        _, key = KeyFile(keys_path(given)).create("prover", ["admin"], "2026-01-01")
        admin = {"authorization": f"Bearer {key}"}
        here, there = (stack.enter_context(serving(given)) for _ in range(2))
        took = []
        with httpx.Client(timeout=10.0) as client:
            for number in range(rounds):
                mode, wanted = (("off", "skipped"), ("on", "reranked"))[number % 2]
                began = time.monotonic()
                switched = client.put(
                    f"{here}/admin/flag", json={"mode": mode, "percent": 100}, headers=admin
                )
                switched.raise_for_status()
                while _outcome(client, there) != wanted:
                    assert time.monotonic() < began + 10, f"the other ingress is never {mode}"
                    time.sleep(0.01)
                took.append(time.monotonic() - began)
    yield Line(
        6,
        f"the flag, switched {rounds} times at one ingress, until it holds at another",
        "within 1 s",
        f"at most {max(took):.2f} s, {sum(took) / len(took):.2f} s in the mean",
        max(took) <= 1.0,
        timed=True,
    )


def _outcome(client: httpx.Client, url: str) -> str:
    body = {"query": "a question", "candidates": ["text 1", "text 2"], "budget_ms": 1_000}
    return str(client.post(f"{url}/api/v1/rerank", json=body).json()["outcome"])


def measure_scaling(quick: bool) -> Iterator[Line]:
    with nodes(workers=2, cpus=2) as cluster, tempfile.TemporaryDirectory() as folder:
        given = settings(
            cluster.address, f"sleep/{PAIR}_more", Path(folder), min_replicas=1, max_replicas=MOST, cpus=1.0
        )
        cluster.deploy(given)
        before = len(cluster.replicas())
        seen: list[tuple[float, int]] = []
        with serving(given) as url:

            async def count(began: float) -> None:
                while time.monotonic() < began + SECONDS:
                    seen.append((time.monotonic() - began, len(cluster.replicas())))
                    await asyncio.sleep(1.0)

            got = asyncio.run(
                at_rate(url, RATE, SECONDS, candidates=CANDIDATES, budget_ms=BUDGET * 1000, meanwhile=count)
            )
    yield from _scaled(cluster, got, before, seen)


def _scaled(cluster: Nodes, got: list[Got], before: int, seen: list[tuple[float, int]]) -> Iterator[Line]:
    grown = next((at for at, number in seen if number >= MOST), None)
    yield Line(
        7,
        f"scorers when {RATE:.0f} requests a second come to one that does {1 / (PAIR * CANDIDATES):.0f}",
        f"from 1 to {MOST}",
        f"{before}, then {max(number for _, number in seen)}"
        + ("" if grown is None else f" after {grown:.0f} s"),
        before == 1 and grown is not None,
    )
    errors = sum(each.status != 200 for each in got)
    yield Line(7, f"meanwhile: errors of {len(got):,}", "0", f"{errors}", errors == 0)
    late = sum(each.seconds > BUDGET + 0.05 for each in got)
    worst = max(each.seconds for each in got)
    yield Line(
        7,
        "meanwhile: answers later than budget + 50 ms",
        "0",
        f"{late} (the latest after {worst * 1000:.0f} ms)",
        late == 0,
        timed=True,
    )
    first, last = (
        [each for each in got if low <= each.at - got[0].at < low + 15] for low in (0.0, SECONDS - 15)
    )
    yield Line(
        7,
        "reranked whole in the first and in the last 15 s",
        "info",
        " and ".join(
            f"{sum(each.outcome == 'reranked' for each in span) / len(span):.0%}" for span in (first, last)
        ),
        None,
    )
