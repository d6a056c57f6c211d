"""The wheel alone: it imports light, the command answers, and without a model everything falls open."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["RERANKD_DATA_DIR"] = tempfile.mkdtemp()

import rerankd

assert "site-packages" in rerankd.__file__, rerankd.__file__
heavy = {
    "numpy",
    "onnxruntime",
    "tokenizers",
    "huggingface_hub",
    "torch",
    "typer",
    "rich",
    "prometheus_client",
}
assert not heavy & sys.modules.keys(), f"import rerankd imports {heavy & sys.modules.keys()}"

command = Path(sys.executable).with_name("rerankd")
for arguments in (["--help"], ["rerank", "--help"], ["settings"], ["models", "list"]):
    done = subprocess.run([command, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"rerankd {' '.join(arguments)}: {done.stdout}{done.stderr}"

texts = ["the first text", "the second text"]
with rerankd.open(wait=True) as reranker:
    ranking = reranker.rerank("a question", texts, budget_ms=None)
    assert [candidate.text for candidate in ranking] == texts
    assert (ranking.outcome, ranking.reason) == ("skipped", "model_unavailable"), ranking
