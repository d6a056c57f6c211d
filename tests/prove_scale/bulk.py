"""200,000 pairs: killed half-way and resumed, beside a run that was left alone; its memory, rate and bad rows.

The model is a stand-in that takes the same time for every pair and lets the interpreter go meanwhile, as ONNX
Runtime does: the figure is about what stands around the model. Texts are short, and really encoded by the carried
model's tokenizer.
"""

import contextlib
import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from rerankd.bulk.job import Job
from rerankd.bulk.plan import plan
from rerankd.bulk.run import run
from rerankd.core.ports import Model, ScorerTraits, Stop
from rerankd.core.types import Pair, Text
from rerankd.engine.stop import StopSignal
from rerankd.errors import BackendError
from rerankd.models.pairs import PairTokenizer
from rerankd.models.policy import ModelPolicy
from rerankd.models.resolve import resolve
from rerankd.wiring import load_model
from tests.prove.line import Line

__all__ = ["measure"]

CANDIDATES = 20
MILLISECOND = 2_200
"""Rounds of a hash that take about so long: a quarter of what the small models take for texts like these."""
QUICK = 220
"""A tenth of it, where no rate is judged: 200,000 pairs twice."""
SHARD = 100
WORDS = [
    "the",
    "of",
    "engine",
    "model",
    "river",
    "mountain",
    "coffee",
    "tea",
    "train",
    "window",
    "market",
    "query",
]


class HashingScorer:
    """Scores by the digest of the pair's ids."""

    traits = ScorerTraits(model="hashing", device="cpu", concurrency=2)

    def __init__(self, rounds: int) -> None:
        self._rounds = rounds

    def score(self, pairs: Sequence[Pair], stop: Stop) -> Sequence[float]:
        return [self._one(pair) for pair in pairs]

    def _one(self, pair: Pair) -> float:
        ids = b"" if pair.ids is None else bytes(memoryview(pair.ids).cast("B"))  # type: ignore[arg-type]
        return int.from_bytes(hashlib.pbkdf2_hmac("sha256", ids, b"", self._rounds)[:2]) / 8_192 - 4

    def close(self) -> None:
        """Nothing is held."""


def hashing_model(rounds: int) -> Model:
    files = resolve(ModelPolicy(model="large"), data_dir=None)
    tokenizer = PairTokenizer(files.tokenizer, max_tokens=files.max_tokens)
    return Model(
        scorer=HashingScorer(rounds), tokenizer=tokenizer, max_tokens=tokenizer.max_tokens, digest="hashing"
    )


def job(source: Path, output: Path) -> Job:
    return Job(
        input=str(source), output=str(output), query_column="q", candidates_column="c", shard_rows=SHARD
    )


def written(path: Path, rows: int) -> int:
    """Good rows, with a bad one after every hundred; returns how many of those there are."""
    draw, bad = random.Random(7), 0
    with path.open("w", encoding="utf-8") as file:
        for number in range(rows):
            texts = [" ".join(draw.choices(WORDS, k=draw.randint(6, 24))) for _ in range(CANDIDATES)]
            file.write(json.dumps({"id": number, "q": " ".join(draw.choices(WORDS, k=5)), "c": texts}) + "\n")
            if number % 100 == 99:
                bad += 1
                file.write(("{broken", '{"q": "", "c": []}', '{"q": "x", "c": [1]}', "[]")[bad % 4] + "\n")
    return bad


def measure(quick: bool) -> Iterator[Line]:
    rows = 1_000 if quick else 10_000
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        bad = written(folder / "in.jsonl", rows)
        seen = _memory(_child(folder, "whole"))
        ended = _child(folder, "ended")
        receipts = folder / "ended" / "_done"
        while not receipts.is_dir() or len(list(receipts.iterdir())) < rows * 1.01 / SHARD / 2:
            assert ended.poll() is None, "it ended by itself"
            time.sleep(0.05)
        ended.send_signal(signal.SIGKILL)
        ended.wait()
        before = len(list(receipts.iterdir()))
        assert _child(folder, "ended").wait() == 0
        yield from _equal(folder, rows, bad, before)
        third = len(seen) // 3
        first, last = max(seen[third // 2 : third]), max(seen[-third:])
        yield Line(
            5,
            f"memory of a run over {rows * CANDIDATES:,} pairs, most in its first and in its last third",
            "grows by at most 5 %",
            f"{first:.0f} and {last:.0f} MB",
            last <= first * 1.05,
            timed=quick,
        )
    yield from _rate(rows)


def _equal(folder: Path, rows: int, bad: int, before: int) -> Iterator[Line]:
    whole, ended = (_files(folder / name) for name in ("whole", "ended"))
    summary = json.loads((folder / "ended" / "_summary.json").read_text())
    yield Line(
        5,
        f"{rows * CANDIDATES:,} pairs, killed after {before} of {summary['shards']} files and resumed, beside a run"
        " that was left alone",
        "equal, byte by byte",
        f"{sum(whole[key] != ended.get(key) for key in whole)} of {len(whole)} files differ",
        whole == ended,
    )
    told = [
        json.loads(line)
        for path in (folder / "ended" / "_bad").iterdir()
        for line in path.read_text().splitlines()
    ]
    good = sum(len(path.read_text().splitlines()) for path in (folder / "ended").glob("part-*"))
    kept = len({each["row"] for each in told}) == bad and good == rows
    yield Line(
        5,
        f"rows: {rows:,} good ones and {bad} bad ones went in",
        "all accounted for",
        f"{good:,} came out with scores, {len(told)} are told with a reason",
        kept and (summary["good"], summary["bad"]) == (rows, bad),
    )


def _rate(rows: int) -> Iterator[Line]:
    yield _share("a stand-in four times as quick as the small model", hashing_model(MILLISECOND), rows // 10)
    if (real := _real_model()) is not None:
        yield _share("the carried model", real, rows // 50)


def _real_model() -> Model | None:
    try:
        return load_model(ModelPolicy(model="large", device="cpu"), None)
    except BackendError:
        return None  # the package that carries it is not installed


def _share(name: str, model: Model, rows: int) -> Line:
    """The pairs alone, encoded before, on as many threads; and the same rows as a job, in this process."""
    with tempfile.TemporaryDirectory() as folder_name:
        folder = Path(folder_name)
        written(folder / "in.jsonl", rows)
        lines = [
            json.loads(line) for line in (folder / "in.jsonl").read_text().splitlines() if '"id"' in line
        ]
        assert model.tokenizer is not None
        pairs = [
            pair
            for line in lines
            for (pair,) in model.tokenizer.encode(
                Text(line["q"]), [Text(text) for text in line["c"]], max_tokens=model.max_tokens
            )
        ]
        stop = StopSignal()
        rates = {"alone": 0.0, "job": 0.0}
        for turn in range(3):  # the better of three each, in turns: others use this machine as well
            began = time.perf_counter()
            with ThreadPoolExecutor(model.scorer.traits.concurrency) as threads:
                list(threads.map(lambda pair: model.scorer.score([pair], stop), pairs))
            rates["alone"] = max(rates["alone"], len(pairs) / (time.perf_counter() - began))
            planned = plan(job(folder / "in.jsonl", folder / f"out{turn}"))
            began = time.perf_counter()
            run(planned, model)
            rates["job"] = max(rates["job"], len(pairs) / (time.perf_counter() - began))
    model.scorer.close()
    share = rates["job"] / rates["alone"]
    return Line(
        5,
        f"pairs a second of a job, beside {name} alone over {len(pairs):,} encoded pairs ({rates['alone']:,.0f})",
        ">= 90 %",
        f"{rates['job']:,.0f}, {share:.1%}",
        share >= 0.9,
        timed=True,
    )


def _files(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def _child(folder: Path, name: str) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-m", "tests.prove_scale.bulk", str(folder / "in.jsonl"), str(folder / name)]
    return subprocess.Popen(command)


def _memory(process: "subprocess.Popen[bytes]") -> list[float]:
    """Megabytes in use, ten times a second until it ends."""
    seen = []
    while process.poll() is None:
        with contextlib.suppress(OSError, IndexError):
            pages = int(Path(f"/proc/{process.pid}/statm").read_text().split()[1])
            seen.append(pages * os.sysconf("SC_PAGE_SIZE") / 1e6)
        time.sleep(0.1)
    assert process.returncode == 0
    return seen


if __name__ == "__main__":
    run(plan(job(Path(sys.argv[1]), Path(sys.argv[2]))), hashing_model(QUICK))
