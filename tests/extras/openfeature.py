"""With the OpenFeature SDK: a provider of the host's decides the flag."""

import os
import tempfile

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["RERANKD_DATA_DIR"] = tempfile.mkdtemp()

from openfeature import api
from openfeature.provider.in_memory_provider import InMemoryFlag, InMemoryProvider

import rerankd

os.environ["RERANKD_FLAG_OPENFEATURE_KEY"] = "rerank"
api.set_provider(InMemoryProvider({"rerank": InMemoryFlag("off", {"on": "on", "off": "off"})}))
with rerankd.open() as reranker:
    assert reranker.status().flag_source == "openfeature", reranker.status()
    ranking = reranker.rerank("a question", ["a text"])
    assert (ranking.outcome, ranking.reason) == ("skipped", "disabled"), ranking
