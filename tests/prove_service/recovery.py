"""Row 8: the process that scores is killed, stopped or hung, and nobody is late or without an answer."""

import asyncio
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator

import httpx

from tests.prove.line import Line, seconds
from tests.prove_service.load import BUDGET_MS, Seen, capacity, client, open_load, seen_of, until_ready
from tests.running import Running, children

__all__ = ["measure"]

_LATE_MS = 25.0
_BACK_S = 1.0
"""How much longer than loading the model it may take until it reranks again."""
FAULTS: dict[str, Callable[[int], None]] = {
    "killed": lambda pid: os.kill(pid, signal.SIGKILL),
    "stopped": lambda pid: os.kill(pid, signal.SIGSTOP),
    "terminated": lambda pid: os.kill(pid, signal.SIGTERM),
}
"""What is done to the process that scores. The kernel's hunt for memory is a SIGKILL as well."""


def measure(quick: bool) -> Iterator[Line]:
    began = time.monotonic()
    with Running() as service:
        yield from asyncio.run(_measure(service, began, quick))
    yield from asyncio.run(_hung(quick))


async def _measure(service: Running, began: float, quick: bool) -> list[Line]:
    lines = []
    async with client(service.url) as http:
        await until_ready(http)
        loads = time.monotonic() - began
        rate = 0.5 * await capacity(http, 1.0 if quick else 5) / 24
        for name in ("killed",) if quick else FAULTS:
            load = asyncio.create_task(open_load(http, rate, 6 if quick else 15, seed=len(lines)))
            await asyncio.sleep(1)
            for pid in children(service.process.pid):
                FAULTS[name](pid)
            struck = time.monotonic()
            seen = await load
            lines += _judged(name, seen, struck, loads)
    return lines


async def _hung(quick: bool) -> list[Line]:
    """A run that no flag ends: a scorer of the tests' own, in a real process, behind the real service."""
    with Running((sys.executable, "-m", "tests.prove_service.hanging_server")) as service:
        async with client(service.url) as http:
            await until_ready(http)
            before = children(service.process.pid)
            struck = time.monotonic()
            seen = [await _hang(http)]
            seen += await open_load(http, 20, 3 if quick else 8)
            after = children(service.process.pid)
    lines = _judged("hung", seen, struck, 0.5)
    lines.append(
        Line(8, "a process that hung was replaced by another", "yes", f"{before} → {after}", before != after)
    )
    return lines


async def _hang(http: httpx.AsyncClient) -> Seen:
    sent = time.monotonic()
    texts = ["hang", *["a text"] * 23]
    body = {"model": "any", "query": "q", "documents": texts, "budget_ms": BUDGET_MS}
    answer = await http.post("/v2/rerank", json=body)
    ended = time.monotonic()
    return seen_of("hang", sent, ended, 0.0, answer)


def _judged(name: str, seen: list[Seen], struck: float, loads: float) -> list[Line]:
    failed = [each for each in seen if each.status != 200 or not each.complete]
    slowest = max(each.ms for each in seen) - BUDGET_MS
    back = min((each.ended for each in seen if each.sent > struck and each.scored > 0), default=None)
    took = None if back is None else back - struck
    return [
        Line(
            8,
            f"scorer's process {name}: requests without a complete 200",
            "0",
            f"{len(failed)} of {len(seen):,}{_kinds(failed)}",
            not failed,
        ),
        Line(
            8,
            f"scorer's process {name}: latest answer beyond its budget",
            f"nobody is late: ≤ {_LATE_MS:.0f} ms",
            seconds(max(0.0, slowest / 1000)),
            slowest <= _LATE_MS,
            timed=True,
        ),
        Line(
            8,
            f"scorer's process {name}: reranking is back",
            f"within the model's loading ({loads:.1f} s) + {_BACK_S:.0f} s",
            _never(seen, struck) if took is None else seconds(took),
            took is not None and took <= loads + _BACK_S,
            timed=True,
        ),
    ]


def _kinds(failed: list[Seen]) -> str:
    """What the answers were that were no complete 200, the most frequent first."""
    counted = Counter(each.said for each in failed)
    return "".join(f"; {count} × {said}" for said, count in counted.most_common())


def _never(seen: list[Seen], struck: float) -> str:
    """That reranking did not come back; had it worked before, it is the fault's doing."""
    before = [each for each in seen if each.ended <= struck]
    scored = sum(each.scored > 0 for each in before)
    after = Counter(each.reason or each.said for each in seen if each.sent > struck)
    why = ", ".join(f"{count} × {said}" for said, count in after.most_common()) or "nothing was asked"
    return f"not at all; {scored} of the {len(before)} answers before were scored; after: {why}"
