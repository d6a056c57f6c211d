"""With the measures: a collection of three documents is evaluated."""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["RERANKD_DATA_DIR"] = tempfile.mkdtemp()

folder = Path("collection")
(folder / "qrels").mkdir(parents=True)
(folder / "runs").mkdir()
rows = [{"_id": f"d{number}", "title": "", "text": f"text number {number}"} for number in range(3)]
(folder / "corpus.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
(folder / "queries.jsonl").write_text(json.dumps({"_id": "q", "text": "number two"}) + "\n", encoding="utf-8")
(folder / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\nq\td2\t1\n", encoding="utf-8")
run = "".join(f"q Q0 d{place} {place + 1} {3 - place} bm25\n" for place in range(3))
(folder / "runs" / "bm25.trec").write_text(run, encoding="utf-8")

command = Path(sys.executable).with_name("rerankd")
done = subprocess.run(
    [command, "evaluate", str(folder), "--json"], capture_output=True, text=True, check=False
)
assert done.returncode == 0, done.stdout + done.stderr
found = json.loads(done.stdout)
assert found["queries"] == 1, found
assert abs(found["retrieval"]["mrr@10"] - 1 / 3) < 1e-4, found
# No model is installed here: every query falls open, and the figures say so.
assert found["outcomes"].get("skipped") == 1.0, found
