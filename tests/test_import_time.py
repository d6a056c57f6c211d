"""`import rerankd` is light: what is heavy is imported when a model loads, a command runs or a page is asked.

How long it takes is printed by `make bench`; a time is no fact that a test can hold on a busy machine.
"""

import json
import subprocess
import sys

import pytest

HEAVY = (
    "fastapi",
    "httpx",
    "huggingface_hub",
    "numpy",
    "onnx",
    "onnxruntime",
    "openfeature",
    "prometheus_client",
    "psycopg",
    "pydantic",
    "rich",
    "tokenizers",
    "torch",
    "transformers",
    "typer",
)


@pytest.mark.parametrize("module", ["rerankd", "rerankd.settings", "rerankd.testing", "rerankd.compat"])
def test_importing_it_imports_nothing_heavy(module: str) -> None:
    program = f"import sys, json, {module}; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert set(json.loads(done.stdout)) & set(HEAVY) == set()


def test_importing_it_starts_no_thread_and_reads_no_setting() -> None:
    program = (
        "import os, threading; os.environ['RERANK_CIRCUIT_MS'] = 'nonsense';"
        "import rerankd; assert threading.active_count() == 1"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
