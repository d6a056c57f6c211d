"""With LangChain: the compressor reorders copies, in threads and event loops, and falls open."""

import asyncio

from langchain_core.documents import Document

from rerankd.integrations.langchain import RerankdCompressor
from rerankd.testing import fake_reranker

TEXTS = ["a green pear", "an apple", "a red apple"]
documents = [Document(text, metadata={"place": place}) for place, text in enumerate(TEXTS)]

with fake_reranker() as reranker:
    compressor = RerankdCompressor(reranker=reranker, budget_ms=None)
    found = compressor.compress_documents(documents, "red apple")
    assert [each.metadata["place"] for each in found] == [2, 1, 0], found
    scores = [each.metadata["relevance_score"] for each in found]
    assert scores == sorted(scores, reverse=True), scores
    assert "relevance_score" not in documents[2].metadata
    best = RerankdCompressor(reranker=reranker, top_n=1, budget_ms=None)
    found = asyncio.run(best.acompress_documents(documents, "red apple"))
    assert [each.page_content for each in found] == ["a red apple"], found
    assert compressor.compress_documents([], "red apple") == []


def broken(pair):
    if "apple" in pair.query:
        raise RuntimeError
    return 0.0


heard = []
with fake_reranker(broken) as reranker:
    compressor = RerankdCompressor(reranker=reranker, budget_ms=5_000, on_ranking=heard.append)
    found = compressor.compress_documents(documents, "red apple")
assert [each.metadata["place"] for each in found] == [0, 1, 2], found
assert [(each.outcome, each.reason) for each in heard] == [("skipped", "model_error")], heard
