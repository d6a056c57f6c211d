"""A rerank request's way: budgets, limits, refusals in the dialect's words, a client that goes away."""

import asyncio
import json
from contextlib import contextmanager
from typing import Any

import httpx
import pytest

from rerankd.core.cascade import CascadePolicy
from rerankd.core.flag import Flag, Mode
from rerankd.http.access import OpenAccess
from rerankd.http.app import create_app
from rerankd.http.policy import HttpPolicy
from rerankd.testing import FakeScorer, fake_reranker
from tests.http.service import BEST, QUERY, TEXTS, Hanging, service
from tests.http.test_dialects import PATHS, body_for
from tests.test_refining import MIXED, MIXED_ORDER, a_cascade

OWN = "/api/v1/rerank"


async def test_our_own_dialect_says_everything() -> None:
    rows = [
        {"id": f"d{place}", "text": text, "score": 1.5, "metadata": {"n": [place]}}
        for place, text in enumerate(TEXTS)
    ]
    async with service() as client:
        answer = (await client.post(OWN, json={"query": QUERY, "candidates": rows, "top_k": 2})).json()
    assert answer["outcome"] == "reranked"
    assert answer["reason"] is None
    assert (answer["depth"], answer["candidates_total"], answer["model"]) == (4, 4, "fake")
    assert set(answer["timings_ms"]) == {"queue", "tokenize", "inference", "refine", "order"}
    first = answer["results"][0]
    assert (first["id"], first["rank"], first["retrieval_rank"], first["scored"]) == ("d2", 1, 3, True)
    assert (first["scored_by"], answer["refined_depth"]) == ("fake", 0)
    assert first["metadata"] == {"n": [2]}
    assert first["text"] == TEXTS[2]
    assert len(answer["results"]) == 2


async def test_our_own_dialect_says_what_each_model_of_a_cascade_did() -> None:
    async with service(reranker=a_cascade(cascade=CascadePolicy(depth=2))) as client:
        answer = (await client.post(OWN, json=body_for(OWN, candidates=MIXED))).json()
    assert (answer["outcome"], answer["depth"], answer["model"]) == ("reranked", 5, "small+large")
    assert answer["refined_depth"] == 2
    assert [each["text"] for each in answer["results"]] == MIXED_ORDER
    assert [each["scored_by"] for each in answer["results"]] == ["large", "large", "small", "small", "small"]
    assert [each["score"] for each in answer["results"][:2]] == [7, -1], "of the model that decided its place"
    assert answer["timings_ms"]["refine"] > 0


async def test_the_budget_comes_from_the_body_then_the_headers_then_the_policy() -> None:
    hanging = Hanging()
    async with service(hanging, default_budget_ms=250) as client:
        hanging.hangs = True

        async def elapsed(body: dict[str, Any], headers: dict[str, str]) -> float:
            answer = await client.post(OWN, json=body_for(OWN, **body), headers=headers)
            assert answer.json()["outcome"] == "skipped"
            return float(answer.json()["elapsed_ms"])

        try:
            by_body = await elapsed({"budget_ms": 20}, {"x-request-timeout-ms": "90"})
            by_header = await elapsed(
                {}, {"x-request-timeout-ms": "90", "x-envoy-expected-rq-timeout-ms": "1"}
            )
            by_envoy = await elapsed({}, {"x-envoy-expected-rq-timeout-ms": "90"})
            by_default = await elapsed({}, {"x-envoy-expected-rq-timeout-ms": "nonsense"})
        finally:
            hanging.let_go.set()
    # each answer comes at its own deadline: never earlier than it wakes, and far from the next one
    assert 10 <= by_body < 87 <= by_header
    assert by_envoy >= 85
    assert by_default >= 240


async def test_no_caller_gets_more_than_the_server_s_maximum() -> None:
    hanging = Hanging()
    async with service(hanging, policy=HttpPolicy(max_budget_ms=30)) as client:
        hanging.hangs = True
        try:
            answer = await asyncio.wait_for(client.post(OWN, json=body_for(OWN, budget_ms=60_000)), 5)
        finally:
            hanging.let_go.set()
    assert answer.json()["outcome"] == "skipped"


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    ("content", "headers", "status"),
    [
        (b"{", {}, 422),
        (b"[1]", {}, 422),
        (b"\xff\xfe", {}, 422),
        (b'{"query": "\\ud800", "texts": ["a"], "documents": ["a"]}', {}, 422),
        (b'{"query": NaN}', {}, 422),
        (b"{}", {}, 422),
        (b'{"query": 5}', {}, 422),
        (b"[" * 100_000, {}, 422),
        (b"{}", {"content-type": "text/plain"}, 415),
        (b"x" * 2_000_001, {}, 413),
    ],
)
async def test_bad_requests_get_the_dialect_s_own_error(
    path: str, content: bytes, headers: dict[str, str], status: int
) -> None:
    async with service() as client:
        answer = await client.post(
            path, content=content, headers={"content-type": "application/json", **headers}
        )
    assert answer.status_code == status
    said = answer.json()
    assert message_of(path, said)
    assert "x-rerank-outcome" not in answer.headers


def message_of(path: str, said: dict[str, Any]) -> str:
    """What a client of this dialect shows its user."""
    if path.startswith("/tei"):
        assert said["error_type"]
        return str(said["error"])
    if path in ("/rerank", "/v1/rerank"):
        assert said["detail"] == said["message"] == said["error"]["message"]
        return str(said["detail"])
    if path.startswith("/cohere") or path == "/v2/rerank":
        assert "id" in said
        return str(said["message"])
    if path.startswith(("/jina", "/voyage")):
        return str(said["detail"])
    if path.endswith("ranking"):
        assert said["object"] == "error"
        return str(said["message"])
    return str(said["error"]["message"])


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"query": QUERY}, "candidates: is missing"),
        ({"query": " ", "candidates": []}, "query: must not be only white space, got a string of 1"),
        ({"query": 3, "candidates": []}, "query: should be a valid string, got 3"),
        ({"query": QUERY, "candidates": "x"}, "candidates: should be a valid list, got a string of 1"),
        ({"query": QUERY, "candidates": [1]}, "candidates[0]: must be a string, or an object with text"),
        ({"query": QUERY, "candidates": [{"id": 1}]}, "candidates[0].text: is missing"),
        (
            {"query": QUERY, "candidates": [{"text": None}]},
            "candidates[0].text: should be a valid string, got null",
        ),
        ({"query": QUERY, "candidates": ["a"], "top_k": True}, "top_k: should be a valid integer, got true"),
        ({"query": QUERY, "candidates": ["a"], "top_n": 3}, "top_n: is not a field of this request"),
        (
            {"query": QUERY, "candidates": ["a"], "top_k": 0},
            "top_k: should be greater than or equal to 1, got 0",
        ),
        ({"query": QUERY, "candidates": ["a"], "budget_ms": -1}, "budget_ms: should be greater"),
        ({"query": QUERY, "candidates": ["a"], "budget_ms": "9"}, "budget_ms: should be a valid number"),
        (
            {"query": QUERY, "candidates": ["a"], "on_deadline": "never"},
            "on_deadline: should be 'partial' or 'retrieval'",
        ),
        (
            {"query": QUERY, "candidates": [{"id": 1, "text": "a"}, {"id": 1, "text": "b"}]},
            "candidates[1].id: the id of candidates[0] again",
        ),
        ({"query": QUERY, "candidates": ["a"], "model": "other"}, "model: this server serves fake"),
        ({"query": QUERY, "candidates": ["a" * 32_001]}, "candidates[0]: at most 32000 characters"),
        ({"query": "q" * 8_001, "candidates": ["a"]}, "query: at most 8000 characters are allowed, got 8001"),
        (
            {"query": QUERY, "candidates": ["a"] * 1_001},
            "candidates: at most 1000 candidates are allowed, got 1001",
        ),
    ],
)
async def test_our_own_dialect_names_field_limit_and_value(body: dict[str, Any], said: str) -> None:
    async with service() as client:
        answer = await client.post(OWN, json=body)
        assert (await client.get("/api/v1/status")).json()["queue_pairs"] == 0
    assert answer.status_code == 422
    assert answer.json()["error"]["type"] == "validation"
    assert answer.json()["error"]["message"].startswith(said), answer.json()


@pytest.mark.parametrize("stream", [False, True])
async def test_a_number_that_no_answer_can_repeat_is_refused(stream: bool) -> None:
    """`1e999` is JSON, and read as infinity, which is not."""
    asked = {"query": "q", "candidates": [{"text": "a", "metadata": {"n": [0, "HUGE"]}}], "stream": stream}
    body = json.dumps(asked).replace('"HUGE"', "-1e999")
    async with service() as client:
        answer = await client.post(OWN, content=body, headers={"content-type": "application/json"})
    assert answer.status_code == 422
    assert answer.json()["error"]["param"] == "candidates[0].metadata"
    assert answer.json()["error"]["message"].startswith(
        "candidates[0].metadata: must not hold a number that is too large"
    )


@pytest.mark.parametrize(
    ("given", "seen"), [("-1", "-1"), ("soon", "a text of 4 characters"), ("nan", "a text of 3 characters")]
)
async def test_a_budget_in_a_header_that_is_none_is_refused_and_what_was_seen_is_named(
    given: str, seen: str
) -> None:
    async with service() as client:
        answer = await client.post(
            OWN, json={"query": QUERY, "candidates": TEXTS}, headers={"x-request-timeout-ms": given}
        )
    assert answer.status_code == 422
    assert answer.json()["error"]["message"] == (
        f"x-request-timeout-ms: must be a number of at least 0, got {seen}"
    )


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"query": "q", "passages": []}, "query: must be an object with text, got a string of 1 characters"),
        ({"query": {"text": "q"}, "passages": [1]}, "passages[0]: must be an object with text, got 1"),
    ],
)
async def test_a_refusal_names_no_class_of_ours(body: dict[str, Any], said: str) -> None:
    async with service() as client:
        answer = await client.post("/v1/ranking", json=body)
    assert answer.json()["message"] == said


async def test_a_refusal_never_repeats_a_text() -> None:
    secret = "canary-4711"
    async with service() as client:
        for body in (
            {"query": {"a": secret}, "candidates": [secret]},
            {"query": secret, "candidates": [[secret]]},
            {"query": secret, "candidates": [{"text": [secret]}]},
            {"query": secret, "candidates": ["x"], "on_deadline": secret},
        ):
            answer = await client.post(OWN, json=body)
            assert answer.status_code == 422
            assert secret not in answer.text


async def test_a_strict_server_refuses_other_models_in_every_dialect() -> None:
    async with service(policy=HttpPolicy(strict_model=True)) as client:
        answer = await client.post("/v2/rerank", json=body_for("/v2/rerank"))
        assert answer.status_code == 422
        assert answer.json()["message"] == "model: this server serves fake"
        good = await client.post("/v2/rerank", json=body_for("/v2/rerank", model="fake"))
        assert good.status_code == 200


async def test_a_server_that_shuts_down_refuses_with_503() -> None:
    async with service() as client:
        client.app.state.draining = True  # type: ignore[attr-defined]
        answer = await client.post(OWN, json=body_for(OWN))
        assert answer.status_code == 503
        assert answer.json()["error"]["type"] == "shutting_down"
        assert (await client.get("/ready")).status_code == 503
        assert (await client.get("/health")).status_code == 200


async def test_work_of_a_client_that_goes_away_is_dropped() -> None:
    hanging = Hanging()
    async with service(hanging) as client:
        hanging.hangs = True
        app = client.app  # type: ignore[attr-defined]
        body = json.dumps(body_for(OWN, budget_ms=9_000)).encode()
        gone = asyncio.Event()
        received = [{"type": "http.request", "body": body, "more_body": False}]

        async def receive() -> dict[str, Any]:
            if received:
                return received.pop()
            await gone.wait()
            return {"type": "http.disconnect"}

        sent: list[Any] = []

        async def send(message: Any) -> None:
            sent.append(message)

        scope = {
            "type": "http",
            "method": "POST",
            "path": OWN,
            "raw_path": OWN.encode(),
            "query_string": b"",
            "headers": [(b"content-type", b"application/json")],
            "app": app,
            "http_version": "1.1",
            "server": ("service", 80),
            "scheme": "http",
            "root_path": "",
            "state": {},
        }
        task = asyncio.create_task(app(scope, receive, send))
        try:
            while client.reranker.status().busy == 0:  # type: ignore[attr-defined]
                await asyncio.sleep(0)
            gone.set()
            await asyncio.wait_for(task, 5)
            assert client.reranker.status().queue_pairs == 0  # type: ignore[attr-defined]
        finally:
            hanging.let_go.set()


@pytest.mark.parametrize("stream", [False, True])
async def test_a_model_s_name_that_no_header_can_hold_is_shown_as_far_as_it_can(stream: bool) -> None:
    name = "modell-größe\n\N{CJK UNIFIED IDEOGRAPH-6A21}"
    async with service(reranker=fake_reranker(FakeScorer(model=name))) as client:
        answer = await client.post(OWN, json=body_for(OWN, stream=stream))
    assert answer.status_code == 200
    assert answer.headers["x-rerank-model"] == "modell-gr??e??"


async def test_shadow_mode_answers_in_retrieval_order_and_says_so() -> None:
    async with service(initial_flag=Flag(Mode.SHADOW)) as client:
        answer = (await client.post(OWN, json=body_for(OWN))).json()
    assert (answer["outcome"], answer["reason"]) == ("skipped", "shadow")
    assert [each["id"] for each in answer["results"]] == [0, 1, 2, 3]


async def test_unknown_routes_and_methods_get_the_union_of_all_error_bodies() -> None:
    async with service() as client:
        missing = await client.get("/nowhere")
        assert missing.status_code == 404
        assert set(missing.json()) == {"detail", "message", "id", "error"}
        wrong = await client.get(OWN)
        assert wrong.status_code == 405
        assert wrong.headers["allow"] == "POST"


async def test_the_best_order_is_that_of_the_library() -> None:
    async with service() as client:
        answer = (await client.post(OWN, json=body_for(OWN))).json()
        ranking = await client.reranker.arerank(QUERY, TEXTS)  # type: ignore[attr-defined]
    assert [each["id"] for each in answer["results"]] == [each.id for each in ranking] == BEST


async def test_a_request_is_answered_within_the_trace_that_its_headers_name() -> None:
    seen: list[str] = []

    @contextmanager
    def joined(headers: Any) -> Any:
        seen.append(headers["traceparent"])
        yield
        seen.append("left")

    with fake_reranker() as reranker:
        app = create_app(reranker, policy=HttpPolicy(), access=OpenAccess(), joined=joined)
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://service") as client:
            await client.post(OWN, json=body_for(OWN), headers={"traceparent": "00-1-2-01"})
    assert seen == ["00-1-2-01", "left"]
