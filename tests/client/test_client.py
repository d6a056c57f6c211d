"""The client gives what the library gives, and an answer in time whatever the server does."""

import asyncio
import json
import math
from collections.abc import Callable
from typing import Any

import httpx
import pytest

import rerankd
from rerankd.client import AsyncClient, Client
from rerankd.core.cascade import CascadePolicy
from rerankd.errors import BackendError, ConfigError, InvalidRequest
from tests.http.service import BEST, QUERY, TEXTS, service
from tests.test_refining import MIXED, MIXED_ORDER, a_cascade

URL = "http://service"


def answering(handler: Callable[[httpx.Request], Any]) -> AsyncClient:
    """A client of a server that is a function."""
    return AsyncClient(URL, api_key="k", transport=httpx.MockTransport(handler))


async def test_it_gives_the_library_s_answer_over_the_caller_s_own_objects() -> None:
    rows = [{"id": f"d{place}", "text": text, "metadata": {"n": place}} for place, text in enumerate(TEXTS)]
    async with service() as http:
        client = AsyncClient(URL, transport=http._transport)
        ranking = await client.rerank(QUERY, rows, budget_ms=9_000)
        direct = await http.reranker.arerank(QUERY, rows)  # type: ignore[attr-defined]
    assert [each.id for each in ranking] == [f"d{place}" for place in BEST]
    assert [each.item for each in ranking] == [rows[place] for place in BEST]
    assert ranking[0].metadata == {"n": 2}
    assert [each.score for each in ranking] == [each.score for each in direct]
    assert (ranking.outcome, ranking.reason, ranking.depth) == ("reranked", None, 4)
    assert ranking.model == "fake"


async def test_it_gives_what_each_model_of_a_cascade_did() -> None:
    async with service(reranker=a_cascade(cascade=CascadePolicy(depth=2))) as http:
        client = AsyncClient(URL, transport=http._transport)
        ranking = await client.rerank(QUERY, MIXED, budget_ms=9_000)
    assert [each.text for each in ranking] == MIXED_ORDER
    assert (ranking.depth, ranking.refined_depth, ranking.model) == (5, 2, "small+large")
    assert [each.scored_by for each in ranking] == ["large", "large", "small", "small", "small"]


@pytest.mark.parametrize("refined", [None, 5, -1, True, "2"])
async def test_a_refined_depth_that_cannot_be_is_none(refined: Any) -> None:
    said = answer(refined_depth=refined, results=row(scored_by=7))
    ranking = await answering(status(200, said)).rerank(QUERY, TEXTS, budget_ms=9_000)
    assert (ranking.outcome, ranking.refined_depth, ranking[1].scored_by) == ("reranked", 0, None)


async def test_top_k_min_score_and_text_mean_what_they_mean_in_the_library() -> None:
    async with service() as http:
        client = AsyncClient(URL, transport=http._transport)
        two = await client.rerank(
            QUERY, [[text] for text in TEXTS], text=lambda row: row[0], top_k=2, budget_ms=None
        )
        good = await client.rerank(QUERY, TEXTS, min_score=0.6, budget_ms=None)
    assert [each.item for each in two] == [[TEXTS[2]], [TEXTS[1]]]
    assert [each.text for each in good] == [TEXTS[2], TEXTS[1]]


async def test_no_candidates_are_reranked_without_a_server() -> None:
    def unreachable(request: httpx.Request) -> httpx.Response:
        raise AssertionError

    ranking = await answering(unreachable).rerank(QUERY, [])
    assert (ranking.outcome, len(ranking)) == ("reranked", 0)


async def test_wrong_arguments_are_refused_before_anything_is_sent() -> None:
    def unreachable(request: httpx.Request) -> httpx.Response:
        raise AssertionError

    with pytest.raises(InvalidRequest, match="query"):
        await answering(unreachable).rerank("", TEXTS)


def status(code: int, body: Any = None) -> Callable[[httpx.Request], httpx.Response]:
    return lambda request: httpx.Response(code, json=body)


def dropping(request: httpx.Request) -> httpx.Response:
    raise httpx.ConnectError("refused")


def answer(**more: Any) -> dict[str, Any]:
    results = [{"id": place, "score": 0.5, "scored": True} for place in range(4)]
    whole = {"outcome": "reranked", "reason": None, "depth": 4, "candidates_total": 4, "results": results}
    return whole | more


def row(**more: Any) -> list[dict[str, Any]]:
    rows = [{"id": place, "score": 0.5} for place in range(4)]
    rows[1] |= more
    return rows


@pytest.mark.parametrize(
    ("handler", "reason"),
    [
        (dropping, "model_unavailable"),
        (status(503), "model_unavailable"),
        (status(500), "model_error"),
        (status(429), "rate_limited"),
        (status(302), "model_error"),
        (status(200, []), "model_error"),
        (status(200, {}), "model_error"),
        (lambda request: httpx.Response(200, content=b"<html>"), "model_error"),
        (lambda request: httpx.Response(200, content=b"[" * 100_000), "model_error"),
        (status(200, answer(depth=5)), "model_error"),
        (status(200, answer(candidates_total=3)), "model_error"),
        (status(200, answer(results=row()[:3])), "model_error"),
        (status(200, answer(results=row(id=0))), "model_error"),
        (status(200, answer(results=row(id=4))), "model_error"),
        (status(200, answer(results=row(id=True))), "model_error"),
        (status(200, answer(results=row(score="high"))), "model_error"),
        (
            lambda request: httpx.Response(200, content=json.dumps(answer(results=row(score=math.nan)))),
            "model_error",
        ),
    ],
)
async def test_whatever_the_server_does_the_answer_is_the_retrieval_order(handler: Any, reason: str) -> None:
    ranking = await answering(handler).rerank(QUERY, TEXTS, budget_ms=9_000, top_k=None)
    assert (ranking.outcome, ranking.reason) == ("skipped", reason)
    assert [each.text for each in ranking] == TEXTS
    assert all(not each.scored for each in ranking)


async def test_a_late_server_costs_the_order_and_not_the_deadline() -> None:
    async def late(request: httpx.Request) -> httpx.Response:
        await asyncio.sleep(60)
        raise AssertionError

    ranking = await asyncio.wait_for(answering(late).rerank(QUERY, TEXTS, budget_ms=40), 10)
    assert (ranking.outcome, ranking.reason) == ("skipped", "deadline")


async def test_the_server_is_given_what_is_left_of_the_budget_less_the_network_s_reserve() -> None:
    seen: list[Any] = []

    def note(request: httpx.Request) -> httpx.Response:
        seen.append(json.loads(request.content))
        assert request.headers["authorization"] == "Bearer k"
        return httpx.Response(500)

    await answering(note).rerank(QUERY, TEXTS, budget_ms=9_000)
    await answering(note).rerank(QUERY, TEXTS, budget_ms=None)
    assert 8_000 < seen[0]["budget_ms"] <= 8_995
    assert "budget_ms" not in seen[1]
    assert seen[0]["candidates"] == TEXTS


async def test_a_budget_smaller_than_the_reserve_sends_nothing() -> None:
    ranking = await answering(dropping).rerank(QUERY, TEXTS, budget_ms=2)
    assert ranking.reason == "budget_too_small"


async def test_failing_open_can_be_switched_off() -> None:
    client = AsyncClient(URL, fail_open=False, api_key="", transport=httpx.MockTransport(dropping))
    with pytest.raises(BackendError, match="cannot be reached: ConnectError"):
        await client.rerank(QUERY, TEXTS)


@pytest.mark.parametrize("code", [401, 403])
async def test_a_key_that_is_not_accepted_is_never_a_degraded_answer(code: int) -> None:
    with pytest.raises(ConfigError, match="does not accept the API key"):
        await answering(status(code)).rerank(QUERY, TEXTS)


async def test_what_only_the_server_refuses_is_an_invalid_request() -> None:
    body = {
        "error": {"message": "candidates: at most 3 candidates are allowed, got 4", "param": "candidates"}
    }
    with pytest.raises(InvalidRequest, match="at most 3"):
        await answering(status(422, body)).rerank(QUERY, TEXTS)


async def test_a_lone_surrogate_reaches_the_server_as_a_question_mark() -> None:
    async with service() as http:
        client = AsyncClient(URL, transport=http._transport)
        ranking = await client.rerank(QUERY, ["\ud800 red apple", "pear"], budget_ms=None)
    assert ranking.outcome == "reranked"
    assert ranking[0].text == "\ud800 red apple"


def test_an_address_that_is_none_is_refused() -> None:
    with pytest.raises(ConfigError, match="must begin with http"):
        Client("reranker:8000")


def test_the_synchronous_client_has_the_same_answers_and_ends_its_thread() -> None:
    with Client(URL, api_key="k", transport=httpx.MockTransport(status(200, answer()))) as client:
        assert client.rerank(QUERY, TEXTS, budget_ms=9_000).outcome == "reranked"
        thread = client._thread
    assert not thread.is_alive()
    client.close()
    with pytest.raises(BackendError, match="closed"):
        client.rerank(QUERY, TEXTS)


def test_the_key_comes_from_the_environment_where_none_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RERANKD_API_KEY", "from-outside")
    seen: list[str] = []

    def note(request: httpx.Request) -> httpx.Response:
        seen.append(request.headers["authorization"])
        return httpx.Response(500)

    with Client(URL, transport=httpx.MockTransport(note)) as client:
        client.rerank(QUERY, TEXTS, budget_ms=9_000)
    assert seen == ["Bearer from-outside"]


def test_the_package_has_the_clients_by_name() -> None:
    assert rerankd.Client is Client
    assert rerankd.AsyncClient is AsyncClient
