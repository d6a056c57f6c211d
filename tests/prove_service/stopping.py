"""A stop under load leaves no broken answer; a hundred slow clients keep nobody from being served."""

import asyncio
import signal
from collections.abc import Iterator

import httpx

from tests.prove.line import Line, percentile
from tests.prove_service.load import BUDGET_MS, Seen, capacity, client, open_load, until_ready, whose_delay
from tests.running import Running

__all__ = ["measure"]

_SLOW = 100


def measure(quick: bool) -> Iterator[Line]:
    """Not a row of its own: the service's promises on stopping and on slow clients."""
    for sign in (signal.SIGTERM,) if quick else (signal.SIGTERM, signal.SIGINT):
        yield from _stopped(sign, quick)
    with Running() as service:
        yield from asyncio.run(_slow(service.url, quick))


def _stopped(sign: signal.Signals, quick: bool) -> Iterator[Line]:
    with Running() as service:
        seen = asyncio.run(_load_and_signal(service, sign, quick))
        status = service.end()
        log = service.requests()
    accepted = {line["request_id"] for line in log}
    # what the service took on, it has logged; what it never read is refused by the system, and no answer of ours
    broken = [each for each in seen if each.id in accepted and not _whole(each)]
    answered = sum(each.status == 200 for each in seen)
    refused = sum(each.status == 503 for each in seen)
    yield Line(
        8,
        f"broken answers among those accepted, {sign.name} under load",
        "0",
        f"{len(broken)}; {answered} answered, {refused} told 503, {len(seen) - answered - refused} not accepted,"
        f" of {len(seen)}; exit status {status}",
        not broken and answered > 0 and status == 0,
    )
    latest = max((each for each in seen if each.status == 200), key=lambda each: each.ms)
    late = latest.ms - BUDGET_MS
    yield Line(
        8,
        f"latest of the answers around {sign.name}, beyond the budget",
        "≤ 25 ms",
        f"{max(0.0, late):.1f} ms; {whose_delay(latest, log)}",
        late <= 25,
        timed=True,
    )


def _whole(seen: Seen) -> bool:
    return seen.status == 503 or (seen.status == 200 and seen.complete)


async def _load_and_signal(service: Running, sign: signal.Signals, quick: bool) -> list[Seen]:
    async with client(service.url) as http:
        await until_ready(http)
        rate = 2 * await capacity(http, 1.0 if quick else 5) / 24
        load = asyncio.create_task(open_load(http, rate, 3 if quick else 10))
        await asyncio.sleep(1.5 if quick else 5)
        service.process.send_signal(sign)
        return await load


async def _slow(url: str, quick: bool) -> list[Line]:
    address = httpx.URL(url)
    async with client(url) as http:
        await until_ready(http)
        rate = 0.5 * await capacity(http, 1.0 if quick else 5) / 24
        before = await open_load(http, rate, 2 if quick else 20, seed=1)
        slow = [await asyncio.open_connection(address.host, address.port) for _ in range(_SLOW)]
        dripping = [asyncio.create_task(_drip(writer)) for _, writer in slow]
        during = await open_load(http, rate, 2 if quick else 20, seed=1)
        for each in dripping:
            each.cancel()
        for _, writer in slow:
            writer.close()
    failed = [each for each in during if each.status != 200 or not each.complete]
    return [
        Line(
            8,
            f"requests that failed beside {_SLOW} slow connections",
            "0",
            f"{len(failed)} of {len(during)}",
            not failed,
        ),
        Line(
            8,
            f"p99 beside {_SLOW} slow connections, and without them",
            "normal service goes on: within 25 ms of the budget",
            f"{_p99(during):.0f} ms and {_p99(before):.0f} ms",
            _p99(during) <= BUDGET_MS + 25,
            timed=True,
        ),
    ]


async def _drip(writer: asyncio.StreamWriter) -> None:
    """A header that comes a byte at a time, and never ends."""
    writer.write(b"POST /v2/rerank HTTP/1.1\r\nhost: localhost\r\nx-slow: ")
    try:
        while True:
            writer.write(b"a")
            await writer.drain()
            await asyncio.sleep(0.5)
    except ConnectionError:
        return


def _p99(seen: list[Seen]) -> float:
    return percentile([each.ms for each in seen], 0.99)
