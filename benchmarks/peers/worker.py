"""One contender in a process of its own: a request a line in, its time and scores a line out.

A line is `{"query", "texts"}`, which is timed; with `"tune": true` the batch size is chosen by it instead.
"""

import importlib.metadata
import json
import os
import sys
import time
from pathlib import Path

from benchmarks.peers.contenders import PACKAGES, Contender, open_contender

__all__ = ["TUNED_SIZES"]

TUNED_SIZES = (1, 4, 8, 24)


def main(name: str, cores: int) -> None:
    # Libraries print to standard output as they like; the answers go through a copy of it that only we know.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    begun = time.perf_counter()
    contender = open_contender(name, cores)
    ready = {
        "settings": contender.settings,
        "weights": contender.weights,
        "versions": loaded_versions(),
        "load_seconds": time.perf_counter() - begun,
    }
    print(json.dumps(ready), file=answers, flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        query, texts = request["query"], request["texts"]
        told = (
            {"batch_size": tune(contender, query, texts)}
            if "tune" in request
            else timed(contender, query, texts)
        )
        print(json.dumps(told), file=answers, flush=True)
    contender.close()
    os._exit(0)  # some libraries' threads would wait for ever


def loaded_versions() -> dict[str, str]:
    """Of the packages that the contender has imported."""
    modules = {"sentence-transformers": "sentence_transformers", "infinity-emb": "infinity_emb"}
    modules |= {"optimum-onnx": "optimum.onnxruntime", "optimum-intel": "optimum.intel"}
    found = {}
    for package in PACKAGES:
        if modules.get(package, package) in sys.modules:
            try:
                found[package] = importlib.metadata.version(package)
            except importlib.metadata.PackageNotFoundError:
                continue  # optimum.onnxruntime was a part of optimum once
    return found


def timed(contender: Contender, query: str, texts: list[str]) -> dict[str, object]:
    used, begun = time.process_time(), time.perf_counter()
    answer = contender.run(query, texts)
    seconds, used = time.perf_counter() - begun, time.process_time() - used
    return {
        "ms": seconds * 1e3,
        "cpu_ms": used * 1e3,
        "rss_mb": resident_mb(),
        "logits": contender.logits(answer),
    }


def tune(contender: Contender, query: str, texts: list[str]) -> int:
    """Sets and returns the size that was quickest, each tried once after a shorter request for warming up."""
    taken = {}
    for size in TUNED_SIZES:
        contender.set_batch_size(size)
        contender.run(query, texts[:2])
        begun = time.perf_counter()
        contender.run(query, texts)
        taken[size] = time.perf_counter() - begun
    best = min(taken, key=lambda size: taken[size])
    contender.set_batch_size(best)
    return best


def resident_mb() -> float:
    """Linux only: 0 elsewhere."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except OSError:
        return 0.0
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
