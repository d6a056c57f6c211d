"""A streamed answer begins with the retrieval order and ends with the body of a plain one."""

import json
from typing import Any

from tests.http.service import BEST, QUERY, TEXTS, Hanging, raising, service

OWN = "/api/v1/rerank"


def events(text: str) -> list[tuple[str, dict[str, Any]]]:
    found = []
    for block in text.strip().split("\n\n"):
        name, data = block.split("\n")
        found.append((name.removeprefix("event: "), json.loads(data.removeprefix("data: "))))
    return found


def ids(order: dict[str, Any]) -> list[int]:
    return [each["id"] for each in order["results"]]


async def test_the_retrieval_order_comes_first_and_the_answer_last() -> None:
    async with service() as client:
        answer = await client.post(OWN, json={"query": QUERY, "candidates": TEXTS, "stream": True})
    assert answer.headers["content-type"].startswith("text/event-stream")
    told = events(answer.text)
    assert told[0][0] == "order"
    assert ids(told[0][1]) == [0, 1, 2, 3]
    assert told[0][1]["depth"] == 0
    assert told[-1][0] == "answer"
    assert ids(told[-1][1]) == BEST
    assert told[-1][1]["outcome"] == "reranked"


async def test_a_better_order_comes_when_the_head_is_scored() -> None:
    hanging = Hanging()

    def score(pair: Any) -> float:
        return hanging(pair) if "late" in pair.text else float("apple" in pair.text)

    texts = ["a pear"] * 11 + ["an apple"] + ["late"] * 6
    async with service(score) as client:
        hanging.hangs = True
        try:
            body = {"query": QUERY, "candidates": texts, "stream": True, "budget_ms": 300}
            told = events((await client.post(OWN, json=body)).text)
        finally:
            hanging.let_go.set()
    assert [name for name, _ in told] == ["order", "order", "answer"]
    assert told[1][1]["depth"] >= 12
    assert ids(told[1][1])[0] == 11
    assert told[2][1]["outcome"] == "partial"


async def test_a_broken_model_ends_in_the_retrieval_order() -> None:
    async with service(raising) as client:
        told = events(
            (await client.post(OWN, json={"query": QUERY, "candidates": TEXTS, "stream": True})).text
        )
    assert told[-1][1]["reason"] == "model_error"
    assert ids(told[-1][1]) == [0, 1, 2, 3]


async def test_wrong_arguments_are_refused_before_the_first_event() -> None:
    rows = [{"id": 1, "text": "a"}, {"id": 1, "text": "b"}]
    async with service() as client:
        answer = await client.post(OWN, json={"query": QUERY, "candidates": rows, "stream": True})
    assert answer.status_code == 422
    assert answer.json()["error"]["param"] == "candidates[1].id"


async def test_only_our_own_dialect_streams() -> None:
    async with service() as client:
        answer = await client.post("/v2/rerank", json={"query": QUERY, "documents": TEXTS, "stream": True})
    assert answer.headers["content-type"] == "application/json"
