"""Row 14: a word that is in every text, key and user of a service's requests is found in nothing that it tells."""

import asyncio
import json
import os
import signal
from collections.abc import Iterator
from typing import Any

import httpx

from tests.prove.canary import CANARY
from tests.prove.line import Line
from tests.prove_service.load import client, until_ready
from tests.running import Running, children

__all__ = ["measure"]


def measure(quick: bool) -> Iterator[Line]:
    with Running(RERANKD_LOG_LEVEL="debug") as service:
        told = asyncio.run(_told(service, 2 if quick else 25))
        service.end()
        told["log"] = "".join(service.said)
    hits = {where: text.count(CANARY) for where, text in told.items() if CANARY in text}
    yield Line(
        14,
        "canary hits in a service's log, refusals, metrics and live figures",
        "0",
        f"{sum(hits.values())} {hits or ''} in {sum(map(len, told.values())) / 1e6:.2f} MB",
        not hits and len(told["log"]) > 1_000 and len(told["refusals"]) > 100,
    )


async def _told(service: Running, rounds: int) -> dict[str, str]:
    refusals, telling = [], []
    async with client(service.url) as http:
        await until_ready(http)
        for number in range(rounds):
            if number == rounds // 2:
                for pid in children(service.process.pid):
                    os.kill(pid, signal.SIGKILL)
            for path, body, headers in _requests():
                answer = await http.post(path, content=body, headers=headers)
                if answer.status_code != 200:
                    refusals.append(f"{answer.headers} {answer.text}")
            refusals.append((await http.get(f"/{CANARY}?{CANARY}={CANARY}")).text)
            refusals += await _broken(service.url)
        for path in ("/metrics", "/metrics/rerank", "/api/v1/live", "/api/v1/status", "/info", "/ready"):
            telling.append((await http.get(path)).text)
    return {"refusals": "\n".join(refusals), "figures": "\n".join(telling)}


def _requests() -> Iterator[tuple[str, bytes, dict[str, str]]]:
    good: dict[str, Any] = {"query": CANARY, "candidates": [f"{CANARY} {CANARY}"] * 3}
    for body in (
        good,
        good | {"stream": True},
        good | {"budget_ms": 0},
        good | {"query": {CANARY: CANARY}},
        good | {"candidates": [[CANARY]]},
        good | {"candidates": [{"text": {CANARY: 1}}]},
        good | {"on_deadline": CANARY},
        good | {"model": CANARY},
        good | {"candidates": [CANARY * 9_000]},
    ):
        yield "/api/v1/rerank", json.dumps(body).encode(), {}
    foreign = {"query": CANARY, "documents": [CANARY], "model": CANARY}
    for path in ("/v2/rerank", "/rerank", "/infinity/rerank"):
        yield path, json.dumps(foreign).encode(), {}
        yield (
            path,
            json.dumps(foreign).encode(),
            {"authorization": f"Bearer {CANARY}", "x-request-id": f"{CANARY}!"},
        )
    yield "/v2/rerank", f'{{"{CANARY}": "\\ud800"}}'.encode(), {}
    yield "/v2/rerank", f'{{"{CANARY}": {CANARY}}}'.encode(), {}
    yield "/v2/rerank", CANARY.encode(), {"content-type": f"text/{'x' * 80}"}
    yield "/memory", CANARY.encode(), {"cookie": CANARY, "user-agent": CANARY, "referer": CANARY}


async def _broken(url: str) -> list[str]:
    """What is no HTTP."""
    address = httpx.URL(url)
    reader, writer = await asyncio.open_connection(address.host, address.port)
    writer.write(f"{CANARY} \x01{CANARY}\r\n\r\n".encode())
    said = await reader.read()
    writer.close()
    return [said.decode("latin-1")]
