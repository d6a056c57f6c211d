"""The edge: ids in and out, host names, safety headers, a log without text, and the last boundary."""

import json
import logging

import httpx
import pytest

from rerankd.http.budget import DEGRADATION_HEADERS
from rerankd.http.dialects.own import Own
from rerankd.http.edge import is_loopback, wrap
from rerankd.http.policy import HttpPolicy
from rerankd.testing import FakeClock
from tests.http.service import QUERY, TEXTS, service


async def hello(scope, receive, send):
    await send(
        {"type": "http.response.start", "status": 200, "headers": [(b"x-rerank-outcome", b"reranked")]}
    )
    await send({"type": "http.response.body", "body": json.dumps(scope["state"]).encode()})


def client_of(app, policy=None, host="localhost:8000"):
    wrapped = wrap(app, policy or HttpPolicy(), FakeClock())
    return httpx.AsyncClient(transport=httpx.ASGITransport(app=wrapped), base_url=f"http://{host}")


async def test_a_given_request_id_comes_back_and_a_strange_one_is_replaced():
    async with client_of(hello) as client:
        answer = await client.get("/", headers={"x-request-id": "abc-1.2_3"})
        assert answer.headers["x-request-id"] == "abc-1.2_3"
        assert answer.json() == {"request_id": "abc-1.2_3"}
        for strange in ("a b", "x" * 65, "<script>", ""):
            answer = await client.get("/", headers={"x-request-id": strange})
            assert answer.headers["x-request-id"] != strange
            assert len(answer.headers["x-request-id"]) == 16


async def test_every_answer_has_the_safety_headers():
    async with client_of(hello) as client:
        headers = (await client.get("/")).headers
    assert headers["x-content-type-options"] == "nosniff"
    assert "default-src 'self'" in headers["content-security-policy"]
    assert "unsafe-inline" not in headers["content-security-policy"]


@pytest.mark.parametrize("host", ["localhost", "localhost:1", "127.0.0.1:8000", "[::1]:8000", "LOCALHOST"])
async def test_on_loopback_its_own_names_are_answered(host):
    async with client_of(hello) as client:
        assert (await client.get("/", headers={"host": host})).status_code == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "localhost.evil.example", "evil.example:8000", "", "[", "127.0.0.1@x"]
)
async def test_on_loopback_other_names_are_turned_away(host):
    async with client_of(hello) as client:
        answer = await client.get("/", headers={"host": host})
    assert answer.status_code == 403
    assert answer.json()["error"]["type"] == "forbidden"


async def test_an_open_address_answers_to_any_name_unless_names_are_set():
    async with client_of(hello, HttpPolicy(listen_host="0.0.0.0")) as client:
        assert (await client.get("/", headers={"host": "api.example"})).status_code == 200
    policy = HttpPolicy(listen_host="0.0.0.0", allowed_hosts=("api.example",))
    async with client_of(hello, policy) as client:
        assert (await client.get("/", headers={"host": "api.example"})).status_code == 200
        assert (await client.get("/", headers={"host": "localhost"})).status_code == 403


async def test_other_origins_may_read_nothing_unless_they_are_named():
    origin = {"origin": "https://app.example"}
    async with client_of(hello) as client:
        assert "access-control-allow-origin" not in (await client.get("/", headers=origin)).headers
    async with client_of(hello, HttpPolicy(cors_origins=("https://app.example",))) as client:
        answer = await client.get("/", headers=origin)
        assert answer.headers["access-control-allow-origin"] == "https://app.example"
        readable = answer.headers["access-control-expose-headers"].split(", ")
        assert {*DEGRADATION_HEADERS, "x-request-id"} <= set(readable)
        other = await client.get("/", headers={"origin": "https://evil.example"})
        assert "access-control-allow-origin" not in other.headers


async def test_what_the_application_raises_is_a_500_that_quotes_nothing(caplog):
    async def broken(scope, receive, send):
        raise RuntimeError("canary")

    async with client_of(broken) as client:
        answer = await client.get("/")
    assert answer.status_code == 500
    assert answer.json()["message"] == "internal error"
    assert "canary" not in caplog.text + answer.text
    assert "RuntimeError" in caplog.text


async def test_a_bug_in_a_handler_is_answered_with_the_union_of_all_error_bodies(monkeypatch, caplog):
    """The framework answers before the edge hears of it, and would do so in plain text."""

    def broken(*_):
        raise RuntimeError("canary")

    monkeypatch.setattr(Own, "write", broken)
    async with service() as inner, client_of(inner.app) as client:
        answer = await client.post("/api/v1/rerank", json={"query": QUERY, "candidates": TEXTS})
    assert answer.status_code == 500
    assert answer.json()["error"] == {
        "message": "internal error",
        "type": "unavailable",
        "param": None,
        "code": None,
    }
    assert answer.json()["id"] == answer.headers["x-request-id"]
    assert "canary" not in caplog.text + answer.text
    assert "RuntimeError" in caplog.text


async def test_an_answer_that_has_begun_is_not_begun_again():
    sent = []

    async def breaks_off(scope, receive, send):
        await hello(scope, receive, send)
        raise RuntimeError

    async def send(message):
        sent.append(message["type"])

    app = wrap(breaks_off, HttpPolicy(), FakeClock())
    await app({"type": "http", "method": "GET", "headers": [(b"host", b"localhost")]}, None, send)
    assert sent == ["http.response.start", "http.response.body"]


async def test_the_log_has_a_line_for_each_request_and_no_text_of_it(caplog):
    caplog.set_level(logging.INFO, "rerankd.access")
    async with service() as inner:
        app = wrap(inner.app, HttpPolicy(), FakeClock())
        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(app=app), base_url="http://localhost"
        ) as client:
            await client.post(
                "/v2/rerank", json={"query": QUERY, "documents": TEXTS}, headers={"authorization": "Bearer k"}
            )
            await client.get("/canary?canary=1")
    first, second = caplog.records
    assert (first.method, first.route, first.status, first.outcome, first.depth) == (
        "POST",
        "/v2/rerank",
        200,
        "reranked",
        "4/4",
    )
    assert (second.route, second.status) == (None, 404)
    for record in caplog.records:
        told = str(vars(record))
        assert not [word for word in ("canary", "apple", "Bearer") if word in told]


def test_loopback_is_what_only_this_machine_reaches():
    assert all(map(is_loopback, ("127.0.0.1", "localhost", "::1", "127.8.8.8")))
    assert not any(map(is_loopback, ("0.0.0.0", "::", "10.0.0.1", "example.org", "127.example.org")))
