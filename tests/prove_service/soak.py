"""Row 18: after many requests of every kind, and callers that go away, the service holds no more than before."""

import asyncio
import itertools
from collections.abc import Iterator

import httpx

from tests.prove.line import Line
from tests.prove.rss import Held
from tests.prove_service.held import held_by
from tests.prove_service.load import BODIES, ask, client, until_ready
from tests.running import Running

__all__ = ["measure"]

_MEMORY_MB = 10.0
_AT_ONCE = 16


def measure(quick: bool) -> Iterator[Line]:
    count = 200 if quick else 60_000
    with Running(RERANKD_HTTP_HEADER_TIMEOUT_MS="1000") as service:
        before, after = asyncio.run(_soak(service, count))
        service.end()
        wrong = [line for line in service.said if "never retrieved" in line or "Traceback" in line]
    yield Line(
        18,
        "held by the service's process after a soak, against after a tenth of it",
        f"threads and descriptors equal, memory within {_MEMORY_MB:.0f} MB",
        f"threads {before.threads} → {after.threads}, descriptors {before.descriptors} → {after.descriptors},"
        f" memory {before.resident_mb:.0f} → {after.resident_mb:.0f} MB over {count:,} requests",
        after.threads <= before.threads
        and after.descriptors <= before.descriptors
        and (quick or after.resident_mb - before.resident_mb <= _MEMORY_MB),
    )
    yield Line(18, "unretrieved exceptions and tracebacks in its log", "0", str(len(wrong)), not wrong)


async def _soak(service: Running, count: int) -> tuple[Held, Held]:
    pid = service.process.pid
    async with client(service.url) as http:
        await until_ready(http)
        # every kind of thread and connection that there may be has been there once
        await _requests(service.url, max(_AT_ONCE * 4, count // 10))
        before = await _settled(http, pid)
        await _requests(service.url, count)
        after = await _settled(http, pid)
    return before, after


async def _settled(http: httpx.AsyncClient, pid: int) -> Held:
    await asyncio.sleep(2)
    await http.get("/health")
    return held_by(pid)


async def _requests(url: str, count: int) -> None:
    numbers = iter(range(count))

    async def caller(seat: int) -> None:
        async with client(url) as http:
            for number in numbers:
                match number % 10:
                    case 7:
                        await _leave(url)
                    case 8:
                        await http.post("/v2/rerank", content=b"{", headers={"authorization": "Bearer no"})
                    case 9:
                        await http.get("/metrics")
                    case _:
                        await ask(http, number)

    await asyncio.gather(*map(caller, range(_AT_ONCE)))


async def _leave(url: str) -> None:
    """Ask, and go away before the answer."""
    address, body = httpx.URL(url), next(_TURN)
    _, writer = await asyncio.open_connection(address.host, address.port)
    head = (
        "POST /v2/rerank HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
        f"content-length: {len(body)}"
    )
    writer.write(head.encode() + b"\r\n\r\n" + body)
    await writer.drain()
    await asyncio.sleep(0.01)
    writer.close()


_TURN = itertools.cycle(BODIES)
