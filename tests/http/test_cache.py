"""The key of a request says whose scores may be found again; the answer looks the same either way."""

from collections.abc import Mapping

import pytest

from rerankd.core.cache import CachePolicy
from rerankd.core.ports import Model
from rerankd.core.request import RerankPolicy
from rerankd.core.types import Pair
from rerankd.http.access import Caller, OpenAccess
from rerankd.reranker import Reranker
from rerankd.testing import FakeScorer, FakeTokenizer, word_overlap
from tests.http.service import QUERY, service
from tests.http.test_dialects import PATHS, body_for

OWN = "/api/v1/rerank"


class Named(OpenAccess):
    """The header says who it is."""

    def admit(self, headers: Mapping[str, str]) -> Caller:
        return Caller(key_id=headers.get("authorization"), scopes=frozenset({"rerank"}))


def caching(scorer: FakeScorer) -> Reranker:
    model = Model(scorer=scorer, tokenizer=FakeTokenizer(), max_tokens=64, digest="d")
    return Reranker(
        lambda: model, name="fake", cache=CachePolicy(scores=100), policy=RerankPolicy(budget_ms=10_000)
    )


async def test_no_key_finds_what_another_has_left() -> None:
    scored: list[str] = []

    def score(pair: Pair) -> float:
        scored.append(pair.text)
        return word_overlap(pair)

    body = {"query": QUERY, "candidates": ["an apple", "a red apple"]}
    async with service(reranker=caching(FakeScorer(score)), access=Named()) as client:
        scored.clear()
        new = []
        for who in ("a", "a", "b", None, None, "", "b", "a"):
            headers = {} if who is None else {"authorization": who}
            before = len(scored)
            answer = await client.post(OWN, json=body, headers=headers)
            assert answer.json()["outcome"] == "reranked"
            new.append(len(scored) - before)
        assert new == [2, 0, 2, 2, 0, 2, 0, 0]
        figures = (await client.get("/metrics/rerank")).json()["rerank_cache"]
        assert (figures["hits"], figures["misses"], figures["entries"]) == (8, 8, 8)
        assert (await client.get("/api/v1/status")).json()["cache"] == figures
        text = (await client.get("/metrics")).text
    assert 'rerank_cache_lookups_total{result="hit"} 8.0' in text


@pytest.mark.parametrize("path", PATHS)
async def test_every_dialect_gives_the_same_answer_with_known_scores(path: str) -> None:
    async with service(reranker=caching(FakeScorer())) as client:
        answers = [(await client.post(path, json=body_for(path))).json() for _ in range(2)]
        assert client.reranker.status().cache.hits > 0  # type: ignore[attr-defined]
    for answer in answers:
        if isinstance(answer, dict):
            for passing in ("id", "created", "elapsed_ms", "timings_ms"):
                answer.pop(passing, None)
    assert answers[0] == answers[1]
