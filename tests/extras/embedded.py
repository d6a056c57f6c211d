"""With the carried model: real scores, within a budget and without a network."""

import os
import tempfile

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["RERANKD_DATA_DIR"] = tempfile.mkdtemp()

import rerankd

texts = [
    "Our office is closed on Sunday.",
    "Send it back within 30 days and you get your money back.",
    "Hello!",
]
with rerankd.open(require_model=True) as reranker:
    ranking = reranker.rerank("how do i get a refund", texts, budget_ms=None)
    assert ranking.outcome == "reranked", ranking
    assert ranking[0].id == 1, [candidate.id for candidate in ranking]
    assert sorted(candidate.id for candidate in ranking) == [0, 1, 2]
