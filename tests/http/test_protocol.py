"""A client that is slow to send is let go; one that is idle between requests, or waits for us, is not."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from rerankd.engine.clock import SystemClock
from rerankd.http.access import OpenAccess
from rerankd.http.app import create_app
from rerankd.http.policy import HttpPolicy
from rerankd.http.server import Server
from rerankd.testing import fake_reranker
from tests.http.service import QUERY, TEXTS, Hanging

BODY = json.dumps({"query": QUERY, "documents": TEXTS}).encode()
HEAD = b"POST /v2/rerank HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
WHOLE = HEAD + b"content-length: %d\r\n\r\n" % len(BODY) + BODY


@asynccontextmanager
async def listening(scorer=None, **policy) -> AsyncIterator[int]:
    """A server on a free port; its port."""
    limits = HttpPolicy(listen_port=0, **policy)
    reranker = fake_reranker() if scorer is None else fake_reranker(scorer)
    server = Server(create_app(reranker, policy=limits, access=OpenAccess()), limits, SystemClock())
    async with reranker:
        serving = asyncio.create_task(server._serve())  # without its handlers of signals
        await server.listening(serving)
        try:
            yield server.port
        finally:
            server.stop()
            await serving


async def connect(port):
    return await asyncio.open_connection("127.0.0.1", port)


async def answer_of(reader) -> tuple[int, dict[str, str], bytes]:
    head = (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)).decode("ascii")
    first, *lines = head.strip().split("\r\n")
    headers = dict(line.split(": ", 1) for line in lines)
    return int(first.split()[1]), headers, await reader.readexactly(int(headers.get("content-length", 0)))


async def test_a_request_that_comes_in_small_pieces_in_time_is_answered():
    async with listening() as port:
        reader, writer = await connect(port)
        for at in range(0, len(WHOLE), 40):
            writer.write(WHOLE[at : at + 40])
            await writer.drain()
            await asyncio.sleep(0)
        status, headers, _ = await answer_of(reader)
        writer.close()
    assert status == 200
    assert headers["x-rerank-depth"] == "4/4"


async def test_headers_that_do_not_come_in_time_end_the_connection():
    async with listening(header_timeout_ms=150) as port:
        reader, writer = await connect(port)
        writer.write(HEAD)
        status, headers, body = await answer_of(reader)
        assert status == 408
        assert headers["connection"] == "close"
        assert "headers did not arrive in time" in json.loads(body)["detail"]
        assert await asyncio.wait_for(reader.read(), 10) == b""
        writer.close()


async def test_a_connection_on_which_nothing_is_asked_ends():
    async with listening(header_timeout_ms=150) as port:
        reader, writer = await connect(port)
        assert (await answer_of(reader))[0] == 408
        writer.close()


async def test_a_body_that_does_not_come_in_time_ends_the_connection():
    async with listening(body_timeout_ms=150) as port:
        reader, writer = await connect(port)
        writer.write(WHOLE[:-5])
        status, _, body = await answer_of(reader)
        assert status == 408
        assert "body did not arrive in time" in json.loads(body)["detail"]
        writer.close()


async def test_waiting_for_our_answer_is_not_the_client_s_delay():
    hanging = Hanging()
    async with listening(hanging, header_timeout_ms=100, body_timeout_ms=100) as port:
        hanging.hangs = True
        reader, writer = await connect(port)
        body = json.dumps({"query": QUERY, "documents": TEXTS, "budget_ms": 400}).encode()
        writer.write(HEAD + b"content-length: %d\r\n\r\n" % len(body) + body)
        status, headers, _ = await answer_of(reader)
        hanging.let_go.set()
        assert status == 200
        assert headers["x-rerank-outcome"] == "skipped"
        writer.close()


async def test_a_connection_is_kept_between_requests_and_each_has_its_own_time():
    async with listening(header_timeout_ms=200) as port:
        reader, writer = await connect(port)
        for _ in range(3):
            writer.write(WHOLE)
            assert (await answer_of(reader))[0] == 200
            await asyncio.sleep(0.15)
        await asyncio.sleep(0.2)  # idle for longer than headers may take
        writer.write(WHOLE)
        assert (await answer_of(reader))[0] == 200
        writer.write(HEAD)
        assert (await answer_of(reader))[0] == 408
        writer.close()


async def test_a_hundred_slow_clients_hold_nobody_up():
    async with listening(header_timeout_ms=5_000) as port:
        slow = [await connect(port) for _ in range(100)]
        for _, writer in slow:
            writer.write(b"POST /v2/rerank HTTP/1.1\r\nhost: loc")
        reader, writer = await connect(port)
        writer.write(WHOLE)
        assert (await answer_of(reader))[0] == 200
        for _, each in (*slow, (reader, writer)):
            each.close()


async def test_what_is_no_http_is_refused():
    async with listening() as port:
        reader, writer = await connect(port)
        writer.write(b"\x16\x03\x01 not http\r\n\r\n")
        assert (await answer_of(reader))[0] == 400
        writer.close()


async def test_headers_that_have_no_end_are_not_kept():
    async with listening(max_header_bytes=2_000) as port:
        reader, writer = await connect(port)
        writer.write(HEAD + b"x-long: " + b"a" * 4_000)
        status, headers, body = await answer_of(reader)
        assert status == 431
        assert headers["connection"] == "close"
        assert json.loads(body)["detail"].startswith("headers: at most 2000 bytes are allowed, got ")
        writer.close()


async def test_a_body_and_a_long_connection_are_not_counted_as_headers():
    async with listening(max_header_bytes=1_000) as port:
        reader, writer = await connect(port)
        for _ in range(8):
            for at in range(0, len(WHOLE), 50):
                writer.write(WHOLE[at : at + 50])
                await writer.drain()
                await asyncio.sleep(0)
            assert (await answer_of(reader))[0] == 200
        large = json.dumps({"query": QUERY, "documents": TEXTS * 100}).encode()
        writer.write(HEAD + b"content-length: %d\r\n\r\n" % len(large))
        for at in range(0, len(large), 500):
            writer.write(large[at : at + 500])
            await writer.drain()
            await asyncio.sleep(0)
        assert (await answer_of(reader))[0] == 200
        writer.close()
