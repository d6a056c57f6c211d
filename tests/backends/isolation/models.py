"""Models that a test's scorer process loads by name. What a text says is what the scorer does."""

import os
import re
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any

from rerankd.core.ports import Model, Stop
from rerankd.core.types import Pair
from rerankd.errors import BackendError, ConfigError, DeviceLost, OutOfMemory
from rerankd.testing import FakeScorer, FakeTokenizer, word_overlap

HERE = "tests.backends.isolation.models:"


class Obedient(FakeScorer):
    """Does to its callers what their texts say."""

    def score(self, pairs: Sequence[Pair], stop: Stop) -> Sequence[float]:
        word = str(pairs[0].text).split(" ")[0] if pairs and pairs[0].ids is None else ""
        if word == "hang":
            threading.Event().wait()
        if word == "lock":
            re.match(r"(a+)+$", "a" * 60 + "b")  # holds the interpreter lock for longer than anybody lives
        if word == "wait":
            stopped = threading.Event()
            stop.on_stop(stopped.set)
            stopped.wait()
            raise RuntimeError("stopped")
        if word == "die":
            os._exit(3)
        if word == "memory":
            raise OutOfMemory("a run of 1 pair(s) failed")
        if word == "lost":
            raise DeviceLost("CUDA error: unspecified launch failure")
        if word == "raise":
            raise ValueError(f"quoting {pairs[0].text}")
        if word == "ours":
            raise BackendError("a run of 1 pair(s) failed: node 7")
        if word == "panic":
            raise SystemExit(str(pairs[0].text))
        if word == "short":
            return [0.0] * (len(pairs) - 1)
        if word == "pid":
            return [float(os.getpid())]
        if word == "nice":
            return [float(os.nice(0))]
        if word == "oom":
            with open("/proc/self/oom_score_adj") as file:
                return [float(file.read())]
        return [word_overlap(pair) for pair in pairs]


class Slow(FakeTokenizer):
    def encode(self, query: Any, texts: Any, *, max_tokens: int, max_chunks: int = 1) -> Any:
        if texts and texts[0].startswith("hang"):
            threading.Event().wait()
        return super().encode(query, texts, max_tokens=max_tokens, max_chunks=max_chunks)


def plain(spec: Mapping[str, Any]) -> Model:
    """Takes texts as they are."""
    import logging

    logging.getLogger("rerankd.fake").warning("loaded as %s", spec.get("name", "fake"))
    logging.getLogger("elsewhere").warning("somebody else's line")
    traits = {"model": spec.get("name", "fake"), "concurrency": spec.get("concurrency", 2)}
    return Model(scorer=Obedient(**traits), tokenizer=None, max_tokens=512, digest=spec.get("digest", ""))


def encoding(spec: Mapping[str, Any]) -> Model:
    """Wants its texts encoded."""
    scorer = FakeScorer(lambda pair: float(pair.tokens), interruptible=True)
    return Model(scorer=scorer, tokenizer=Slow(), max_tokens=64)


def changing(spec: Mapping[str, Any]) -> Model:
    """Is another model each time."""
    counter = spec["file"]
    with open(counter, "a+") as file:
        file.write("x")
        file.seek(0)
        count = len(file.read())
    if count == 2 and spec.get("second") == "fails":
        raise BackendError("model.onnx: is missing")
    name = f"fake-{count}" if spec.get("second") == "differs" else "fake"
    return Model(scorer=Obedient(model=name), tokenizer=None, max_tokens=512)


def broken(spec: Mapping[str, Any]) -> Model:
    raise {"config": ConfigError("DEVICE: wrong"), "backend": BackendError("model.onnx: is missing")}.get(
        spec["how"], ValueError("odd")
    )


def dying(spec: Mapping[str, Any]) -> Model:
    os._exit(1)


def endless(spec: Mapping[str, Any]) -> Model:
    time.sleep(3600)
    raise AssertionError
