"""With Haystack: the ranker runs in a pipeline, is saved and loaded, and falls open."""

import asyncio
import json
import os
import warnings

os.environ["HAYSTACK_TELEMETRY_ENABLED"] = "false"

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # its own imports' affair
    from haystack import Document, Pipeline
    from haystack.utils import Secret

    from rerankd.integrations.haystack import RerankdRanker
from rerankd.errors import ConfigError
from rerankd.testing import fake_reranker

TEXTS = ["a green pear", "an apple", "a red apple"]
documents = [Document(content=text, meta={"place": place}) for place, text in enumerate(TEXTS)]


def places(answer):
    return [each.meta["place"] for each in answer["documents"]]


with fake_reranker() as reranker:
    pipeline = Pipeline()
    pipeline.add_component("ranker", RerankdRanker(reranker=reranker, budget_ms=None))
    answer = pipeline.run({"ranker": {"query": "red apple", "documents": documents}})["ranker"]
    assert places(answer) == [2, 1, 0], answer
    scores = [each.score for each in answer["documents"]]
    assert scores == sorted(scores, reverse=True), scores
    assert documents[2].score is None
    ranker = RerankdRanker(reranker=reranker, budget_ms=None)
    assert places(asyncio.run(ranker.run_async("red apple", documents, top_k=1))) == [2]
    assert ranker.run("red apple", [])["documents"] == []
    try:
        ranker.to_dict()
    except ConfigError:
        pass
    else:
        raise AssertionError("a reranker that is open was written down")

heard = []
key = Secret.from_env_var("RERANKD_API_KEY", strict=False)
saved = RerankdRanker("http://127.0.0.1:9", api_key=key, top_k=2, budget_ms=5_000).to_dict()
loaded = RerankdRanker.from_dict(json.loads(json.dumps(saved)))
assert (loaded.url, loaded.api_key, loaded.top_k, loaded.budget_ms) == ("http://127.0.0.1:9", key, 2, 5_000)
loaded.on_ranking = heard.append
# nobody listens there
assert places(loaded.run("red apple", documents)) == [0, 1]
assert [(each.outcome, each.reason) for each in heard] == [("skipped", "model_unavailable")], heard
loaded.close()
