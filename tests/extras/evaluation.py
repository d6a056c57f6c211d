"""With the measures: a collection of three documents is evaluated, and the command says what it lacks."""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["RERANKD_DATA_DIR"] = tempfile.mkdtemp()

from rerankd.evaluation.collection import read_collection
from rerankd.evaluation.evaluate import evaluate
from rerankd.evaluation.run import choose_run, read_run
from rerankd.testing import fake_reranker

folder = Path("collection")
(folder / "qrels").mkdir(parents=True)
(folder / "runs").mkdir()
rows = [{"_id": f"d{number}", "title": "", "text": f"text number {number}"} for number in range(3)]
(folder / "corpus.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
(folder / "queries.jsonl").write_text(json.dumps({"_id": "q", "text": "number 2"}) + "\n", encoding="utf-8")
(folder / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\nq\td2\t1\n", encoding="utf-8")
run = "".join(f"q Q0 d{place} {place + 1} {3 - place} bm25\n" for place in range(3))
(folder / "runs" / "bm25.trec").write_text(run, encoding="utf-8")

collection = read_collection(folder)
with fake_reranker() as reranker:  # scores by common words; no model is installed here
    found = evaluate(collection, read_run(choose_run(folder), collection), reranker).as_json()
assert abs(found["retrieval"]["mrr@10"] - 1 / 3) < 1e-4, found
assert found["reranked"]["mrr@10"] == 1.0, found

command = Path(sys.executable).with_name("rerankd")
done = subprocess.run([command, "evaluate", str(folder)], capture_output=True, text=True, check=False)
assert done.returncode == 1, done.stdout + done.stderr
assert "unavailable" in done.stderr, done.stderr
