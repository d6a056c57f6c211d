"""Every dialect gets its own form of the same answer, also when nothing could be scored."""

import math
from typing import Any

import pytest

from rerankd.core.cascade import CascadePolicy
from rerankd.core.flag import Flag, Mode
from tests.http.service import BEST, QUERY, TEXTS, raising, service
from tests.test_refining import MIXED, a_cascade


def body_for(path: str, **more: Any) -> dict[str, Any]:
    if path.startswith("/tei"):
        return {"query": QUERY, "texts": TEXTS, **more}
    if path.endswith("ranking"):
        return {
            "query": {"text": QUERY},
            "passages": [{"text": text} for text in TEXTS],
            "model": "m",
            **more,
        }
    if path == "/api/v1/rerank":
        return {"query": QUERY, "candidates": TEXTS, **more}
    return {"query": QUERY, "documents": TEXTS, "model": "somebody-elses", **more}


PATHS = [
    "/api/v1/rerank",
    "/tei/rerank",
    "/v2/rerank",
    "/cohere/v2/rerank",
    "/cohere/v1/rerank",
    "/jina/v1/rerank",
    "/vllm/rerank",
    "/vllm/v1/rerank",
    "/vllm/v2/rerank",
    "/infinity/rerank",
    "/voyage/v1/rerank",
    "/v1/ranking",
    "/nim/v1/ranking",
    "/rerank",
    "/v1/rerank",
]


def order_of(answer: Any) -> list[tuple[int, float | None]]:
    if isinstance(answer, list):
        return [(each["index"], each["score"]) for each in answer]
    if "rankings" in answer:
        return [(each["index"], each["logit"]) for each in answer["rankings"]]
    if "outcome" in answer:
        return [(each["id"], each["score"]) for each in answer["results"]]
    rows = answer["data"] if "data" in answer else answer["results"]
    return [(each["index"], each["relevance_score"]) for each in rows]


@pytest.mark.parametrize("path", PATHS)
async def test_every_route_gives_the_best_order(path: str) -> None:
    async with service() as client:
        answer = await client.post(path, json=body_for(path))
    assert answer.status_code == 200, answer.text
    assert [index for index, _ in order_of(answer.json())] == BEST
    assert answer.headers["x-rerank-outcome"] == "reranked"
    assert answer.headers["x-rerank-depth"] == "4/4"
    assert answer.headers["x-rerank-model"] == "fake"
    assert float(answer.headers["x-rerank-elapsed-ms"]) >= 0
    assert "inference;dur=" in answer.headers["server-timing"]
    assert "x-rerank-reason" not in answer.headers


@pytest.mark.parametrize("path", PATHS)
async def test_a_broken_model_gives_the_retrieval_order_with_scores_that_fall(path: str) -> None:
    async with service(raising) as client:
        answer = await client.post(path, json=body_for(path))
    assert answer.status_code == 200
    order = order_of(answer.json())
    assert [index for index, _ in order] == [0, 1, 2, 3]
    if path == "/api/v1/rerank":
        assert [score for _, score in order] == [None] * 4
    else:
        assert [score for _, score in order] == [1.0, 0.75, 0.5, 0.25]
    assert answer.headers["x-rerank-outcome"] == "skipped"
    assert answer.headers["x-rerank-reason"] == "model_error"


@pytest.mark.parametrize("path", [path for path in PATHS if path != "/api/v1/rerank"])
async def test_scores_of_a_partial_answer_never_rise(path: str) -> None:
    def nan_for_pears(pair: Any) -> float:
        return math.nan if "pear" in pair.text else float("apple" in pair.text)

    async with service(nan_for_pears) as client:
        answer = await client.post(path, json=body_for(path))
    assert answer.headers["x-rerank-outcome"] == "partial"
    order = order_of(answer.json())
    # the pear keeps its slot, the first
    assert [index for index, _ in order] == [0, 1, 2, 3]
    scores = [score for _, score in order]
    assert scores == sorted(scores, reverse=True)  # type: ignore[type-var]


@pytest.mark.parametrize("path", PATHS)
async def test_nothing_in_is_nothing_out_except_where_the_dialect_refuses_it(path: str) -> None:
    body = body_for(path)
    field = next(name for name in ("texts", "documents", "candidates", "passages") if name in body)
    async with service() as client:
        answer = await client.post(path, json=body | {field: []})
    if path == "/tei/rerank":
        assert answer.status_code == 400
        assert answer.json()["error_type"] == "empty"
    else:
        assert answer.status_code == 200
        assert order_of(answer.json()) == []
        assert answer.headers["x-rerank-outcome"] == "reranked"


async def test_a_limit_to_the_answer_is_called_by_its_own_name() -> None:
    async with service() as client:
        for path, field in (
            ("/api/v1/rerank", "top_k"),
            ("/v2/rerank", "top_n"),
            ("/jina/v1/rerank", "top_n"),
            ("/vllm/rerank", "top_n"),
            ("/infinity/rerank", "top_n"),
            ("/voyage/v1/rerank", "top_k"),
            ("/rerank", "top_n"),
            ("/v1/rerank", "top_k"),
        ):
            answer = await client.post(path, json=body_for(path, **{field: 2}))
            assert [index for index, _ in order_of(answer.json())] == BEST[:2], path


async def test_texts_come_back_where_the_dialect_gives_them() -> None:
    async with service() as client:

        async def first(path: str, **more: Any) -> Any:
            answer = (await client.post(path, json=body_for(path, **more))).json()
            return (answer if isinstance(answer, list) else answer.get("results") or answer["data"])[0]

        best = TEXTS[BEST[0]]
        assert (await first("/tei/rerank", return_text=True))["text"] == best
        assert "text" not in await first("/tei/rerank")
        assert (await first("/jina/v1/rerank"))["document"] == {"text": best}
        assert "document" not in await first("/jina/v1/rerank", return_documents=False)
        assert (await first("/cohere/v1/rerank", return_documents=True))["document"] == {"text": best}
        assert "document" not in await first("/v2/rerank", return_documents=True)
        assert (await first("/vllm/rerank"))["document"] == {"text": best, "multi_modal": None}
        assert (await first("/infinity/rerank", return_documents=True))["document"] == best
        assert (await first("/infinity/rerank"))["document"] is None
        assert (await first("/voyage/v1/rerank", return_documents=True))["document"] == best
        assert "document" not in await first("/voyage/v1/rerank")
        assert (await first("/rerank", return_documents=True))["document"] == {"text": best}
        assert "document" not in await first("/rerank", return_documents=None)
        assert (await first("/api/v1/rerank"))["text"] == best


async def test_raw_scores_are_logits_and_the_others_are_from_0_to_1() -> None:
    async with service() as client:
        for path in ("/tei/rerank", "/infinity/rerank", "/rerank"):
            raw = order_of((await client.post(path, json=body_for(path, raw_scores=True))).json())
            usual = order_of((await client.post(path, json=body_for(path))).json())
            assert [score for _, score in raw] == [2.0, 1.0, 0.0, 0.0]
            assert [score for _, score in usual] == pytest.approx([0.8808, 0.7311, 0.5, 0.5], abs=1e-4)
        logits = order_of((await client.post("/v1/ranking", json=body_for("/v1/ranking"))).json())
        assert [score for _, score in logits] == [2.0, 1.0, 0.0, 0.0]


async def test_shared_routes_see_the_dialect_by_the_body() -> None:
    async with service() as client:
        for path in ("/rerank", "/v1/rerank"):
            tei = await client.post(path, json={"query": QUERY, "texts": TEXTS})
            assert [each["index"] for each in tei.json()] == BEST
            voyage = await client.post(
                path, json={"query": QUERY, "documents": TEXTS, "model": "v", "truncation": True}
            )
            assert voyage.json()["object"] == "list"
            assert len(voyage.json()["data"]) == 4
            other = await client.post(path, json={"query": QUERY, "documents": TEXTS})
            assert set(other.json()) >= {"id", "model", "results", "usage", "meta"}


@pytest.mark.parametrize("path", ["/cohere/v1/rerank", "/v1/rerank"])
async def test_cohere_1_joins_the_fields_that_it_is_asked_to_look_at(path: str) -> None:
    documents = [
        {"title": "a pear", "body": "green"},
        {"title": "an apple", "body": "red", "n": 1},
        "red apple",
    ]
    async with service() as client:
        answer = await client.post(
            path,
            json={
                "query": QUERY,
                "documents": documents,
                "rank_fields": ["title", "body"],
                "return_documents": True,
            },
        )
        results = answer.json()["results"]
        assert [each["index"] for each in results] == [1, 2, 0]
        assert results[0]["document"] == {"text": "an apple\nred"}
        plain = await client.post(path, json={"query": QUERY, "documents": documents})
    assert plain.status_code == 422
    assert plain.json()["message"].startswith("documents[0]: must be a string, or an object")


async def test_foreign_dialects_echo_any_model_and_ignore_what_they_do_not_know() -> None:
    async with service() as client:
        answer = await client.post(
            "/jina/v1/rerank", json=body_for("/jina/v1/rerank", late_chunking=True, embedding_type="float")
        )
    assert answer.json()["model"] == "somebody-elses"
    assert answer.headers["x-rerank-model"] == "fake"
    assert answer.json()["usage"]["total_tokens"] > 0


async def test_the_flag_turned_off_shows_in_the_headers_alone() -> None:
    async with service(initial_flag=Flag(Mode.OFF)) as client:
        answer = await client.post("/v2/rerank", json=body_for("/v2/rerank"))
    assert answer.status_code == 200
    assert answer.headers["x-rerank-reason"] == "disabled"
    assert [index for index, _ in order_of(answer.json())] == [0, 1, 2, 3]


async def test_a_document_s_field_that_is_named_twice_is_read_once() -> None:
    async with service() as client:
        body = {"query": QUERY, "documents": [{"a": "red apple"}], "rank_fields": ["a"] * 100}
        answer = await client.post("/cohere/v1/rerank", json=body | {"return_documents": True})
        assert answer.json()["results"][0]["document"] == {"text": "red apple"}
        more = await client.post("/cohere/v1/rerank", json=body | {"rank_fields": ["a"] * 101})
    assert more.status_code == 422
    assert more.json()["message"].startswith("rank_fields: ")


@pytest.mark.parametrize("depth", [0, 2])
@pytest.mark.parametrize("path", [path for path in PATHS if path != "/api/v1/rerank"])
async def test_a_cascade_s_scores_never_rise_in_anybody_s_dialect(path: str, depth: int) -> None:
    body = body_for(path, **({"raw_scores": True} if path == "/tei/rerank" else {}))
    field = next(name for name in ("texts", "documents", "passages") if name in body)
    texts = [{"text": text} for text in MIXED] if field == "passages" else MIXED
    async with service(reranker=a_cascade(cascade=CascadePolicy(depth=depth))) as client:
        answer = await client.post(path, json=body | {field: texts})
        direct = await client.reranker.arerank(QUERY, MIXED, budget_ms=None)  # type: ignore[attr-defined]
    assert answer.headers["x-rerank-model"] == "small+large"
    order = order_of(answer.json())
    assert [index for index, _ in order] == [each.id for each in direct]
    scores = [score for _, score in order]
    assert scores == sorted(scores, reverse=True)  # type: ignore[type-var]
    told = [each.score for each in direct]
    assert depth == 0 or told != sorted(told, reverse=True), "as the models gave them they would rise"
