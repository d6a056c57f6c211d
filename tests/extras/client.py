"""With httpx: the clients, and a server's model as a scorer, against a server that is not there."""

import os
import tempfile

os.environ["RERANKD_DATA_DIR"] = tempfile.mkdtemp()
os.environ["RERANKD_API_KEY"] = "a-key"

import rerankd

TEXTS = ["a text", "another"]
NOWHERE = "http://127.0.0.1:9"

with rerankd.Client(NOWHERE) as client:
    ranking = client.rerank("a question", TEXTS, budget_ms=2_000)
assert (ranking.outcome, ranking.reason) == ("skipped", "model_unavailable"), ranking
assert [candidate.text for candidate in ranking] == TEXTS

os.environ["RERANKD_REMOTE_URL"] = NOWHERE
with rerankd.open() as reranker:
    ranking = reranker.rerank("a question", TEXTS, budget_ms=2_000)
assert (ranking.outcome, ranking.reason) == ("skipped", "model_error"), ranking
