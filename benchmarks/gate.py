"""The performance gate: how many times as fast as a plain ONNX Runtime loop this is, against the last baseline.

    make perf-gate
    python -m benchmarks.gate [--rounds 12] [--quick] [--json] [--write]

The loop is what one would write without a library: the same file, the pairs tokenised in one call, one pair a run
on a session of as many threads as there are cores. Both get the same requests in turns within one process, so that
a slow or busy machine slows both. A ratio outside the baseline's tolerance, or below its floor, fails; `--quick`
only informs. Where `make bench-peers` has left its report of this machine and these versions, at most 30 days old,
the ratios to the peers are held to the baseline, too. What of the baseline was not measured is listed as such.
"""

import argparse
import datetime
import json
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import groupby, islice
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import onnxruntime as ort  # type: ignore[import-untyped]
from tokenizers import Tokenizer

import rerankd
from benchmarks.machine import RESULTS, machine
from benchmarks.others import cores
from benchmarks.peers.contenders import OURS
from benchmarks.peers.files import carried
from benchmarks.workloads import MIXED, WORKLOADS, Request, Workload, add_arguments, chosen, requests
from rerankd.settings import Settings

__all__ = ["BASELINE", "SCHEMA", "Figure", "judge", "read_baseline"]

SCHEMA = 1
PEERS_SCHEMA = 2
PEERS_DAYS = 30
_SAME = ("processor", "cores", "rerankd", "onnxruntime", "tokenizers")
"""What a report of the peers must have in common with this machine."""
BASELINE = Path(__file__).with_name("baseline.json")
LOOP = "a plain loop"
WARM_UP = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One ratio: how many times as fast as the other this is."""

    workload: str
    against: str
    ratio: float
    baseline: float | None
    """None: nothing to compare with."""
    at_least: float

    @property
    def approved(self) -> bool:
        return self.ratio >= self.at_least


class PlainLoop:
    """The same file without rerankd."""

    def __init__(self, cores: int) -> None:
        options = ort.SessionOptions()
        options.intra_op_num_threads = cores
        folder = carried()
        self._session = ort.InferenceSession(
            str(folder / "model.onnx"), options, providers=["CPUExecutionProvider"]
        )
        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(512, strategy="only_second")

    def run(self, request: Request) -> list[float]:
        scores = []
        for each in self._tokenizer.encode_batch([(request.query, text) for text in request.texts]):
            feed = {
                "input_ids": np.array([each.ids]),
                "attention_mask": np.array([each.attention_mask]),
                "token_type_ids": np.array([each.type_ids]),
            }
            scores.append(float(self._session.run(None, feed)[0][0, 0]))
        return scores


def read_baseline(path: Path = BASELINE) -> dict[str, Any]:
    """The committed figures. Raises `ValueError` for a file of another schema."""
    baseline: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    if baseline.get("schema") != SCHEMA:
        raise ValueError(f"{path}: has schema {baseline.get('schema')!r}, not {SCHEMA}")
    return baseline


def judge(measured: Mapping[tuple[str, str], float], baseline: Mapping[str, Any]) -> list[Figure]:
    """Hold each ratio (by workload and what it is against) to the baseline's, less the tolerance, and its floor."""
    known = {(each["workload"], each["against"]): each for each in baseline["ratios"]}
    figures = []
    for (workload, against), ratio in measured.items():
        before = known.get((workload, against))
        at_least = 0.0 if before is None else before["ratio"] * (1 - baseline["tolerance"])
        figures.append(
            Figure(
                workload=workload,
                against=against,
                ratio=ratio,
                baseline=None if before is None else before["ratio"],
                at_least=max(at_least, 0.0 if before is None else before.get("floor", 0.0)),
            )
        )
    return figures


def measure(
    reranker: rerankd.Reranker,
    loop: PlainLoop,
    workload: Workload,
    rounds: int,
    clock: Any = time.perf_counter,
) -> float:
    """The median over the rounds of the loop's time as a multiple of ours."""
    ratios = []
    for number, request in enumerate(islice(requests(workload), WARM_UP + rounds)):
        taken: dict[bool, float] = {}
        for mine in (True, False) if number % 2 else (False, True):
            begun = clock()
            if mine:
                answer = reranker.rerank(request.query, request.texts, budget_ms=None)
                if answer.outcome != "reranked":
                    raise SystemExit(f"not everything was scored: {answer.outcome}, {answer.reason}")
            else:
                loop.run(request)
            taken[mine] = clock() - begun
        if number >= WARM_UP:
            ratios.append(taken[False] / taken[True])
    return median(ratios)


@dataclass(frozen=True, slots=True)
class Peers:
    """What the last `make bench-peers` has measured."""

    ratios: Mapping[tuple[str, str], float]
    date: str
    why: str
    """Why there is nothing of it; else empty."""


def peers(here: Mapping[str, Any], path: Path | None = None) -> Peers:
    """The ratios of the last `make bench-peers`, if it ran on a machine as `here` and not long ago."""
    path = path or RESULTS / "peers.json"
    if not path.exists():
        return Peers({}, "", "make bench-peers has left no report")
    report = json.loads(path.read_text(encoding="utf-8"))
    if report.get("schema") != PEERS_SCHEMA:
        return Peers({}, "", f"their report has schema {report.get('schema')!r}, not {PEERS_SCHEMA}")
    there = report["machine"]
    if other := [name for name in _SAME if there.get(name) != here[name]]:
        return Peers({}, "", f"their report is of another {', '.join(other)}")
    days = (datetime.date.fromisoformat(here["date"]) - datetime.date.fromisoformat(there["date"])).days
    if not 0 <= days <= PEERS_DAYS:
        return Peers({}, "", f"their report is of {there['date']}")
    rows = [row for workload in report["workloads"] for row in workload["rows"]]
    wrong = {name for name, about in report["contenders"].items() if about["wrong"]}
    ratios = {
        (row["workload"], row["contender"]): row["ratio"]
        for row in rows
        if row["contender"] != OURS and row["contender"] not in wrong
    }
    return Peers(ratios, there["date"], "")


def not_measured(figures: Sequence[Figure], baseline: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Workload and opponent of each of the baseline's ratios that there is no figure for, by workload."""
    there = {(each.workload, each.against) for each in figures}
    named = [(each["workload"], each["against"]) for each in baseline["ratios"]]
    return sorted(each for each in named if each not in there)


def report(
    figures: Sequence[Figure], baseline: Mapping[str, Any], here: Mapping[str, Any], without_peers: str = ""
) -> str:
    """In Markdown, for a reviewer. `without_peers`: why none were measured."""
    lines = [
        ", ".join(f"{name} {value}" for name, value in here.items()) + ".",
        "",
        "| workload | against | times as fast | baseline | at least | |",
        "|---|---|---:|---:|---:|---|",
    ]
    for each in figures:
        before = "none" if each.baseline is None else f"{each.baseline:.2f}"
        verdict = "ok" if each.approved else "SLOWER"
        lines.append(
            f"| {each.workload} | {each.against} | {each.ratio:.2f} | {before} | {each.at_least:.2f} | {verdict} |"
        )
    missing = not_measured(figures, baseline)
    for name, absent in groupby(missing, key=lambda pair: pair[0]):
        lines.append(f"| {name} | {', '.join(against for _, against in absent)} | | | | not measured |")
    slower = [each for each in figures if not each.approved]
    approved = "perf-approved" if not slower else f"not approved: {len(slower)} of {len(figures)} slower"
    if missing:
        approved += f"; {len(missing)} of the baseline's {len(baseline['ratios'])} ratios were not measured"
    if without_peers:
        approved += f" (peers: {without_peers})"
    return "\n".join([*lines, "", f"Tolerance {baseline['tolerance']:.0%}. {approved}"])


def main() -> int:
    parser = argparse.ArgumentParser(prog="benchmarks.gate", description=__doc__)
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--quick", action="store_true", help="few rounds of one workload; never fails")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--write", action="store_true", help="make what is measured the baseline")
    add_arguments(parser)
    arguments = parser.parse_args()
    if arguments.write and arguments.quick:
        parser.error("--write: a few rounds of one workload make no baseline; leave out --quick")
    baseline, here = read_baseline(), machine()
    workloads = chosen(arguments, [MIXED] if arguments.quick else WORKLOADS)
    rounds = 4 if arguments.quick else arguments.rounds
    measured: dict[tuple[str, str], float] = {}
    with tempfile.TemporaryDirectory() as data_dir:
        settings = Settings.load(data_dir=data_dir).uncached()
        with rerankd.open(settings=settings, require_model=True) as reranker:
            loop = PlainLoop(cores())
            for workload in workloads:
                measured[workload.name, LOOP] = measure(reranker, loop, workload, rounds)
    others = Peers({}, "", "not asked for by --quick") if arguments.quick else peers(here)
    figures = judge(measured | dict(others.ratios), baseline)
    approved = all(each.approved for each in figures)
    if arguments.json:
        told = {
            "schema": SCHEMA,
            "approved": approved,
            "machine": here,
            "figures": [asdict(each) for each in figures],
            "not_measured": not_measured(figures, baseline),
            "without_peers": others.why,
        }
        print(json.dumps(told, indent=1))
    else:
        print(report(figures, baseline, here, others.why))
    if arguments.write:
        write(measured, others, here)
    return 0 if approved or arguments.quick else 1


def write(
    measured: Mapping[tuple[str, str], float], others: Peers, here: Mapping[str, Any], path: Path = BASELINE
) -> None:
    """Keeps the tolerance, the floors and what was not measured now; every ratio keeps the day of its own."""
    baseline = read_baseline(path)
    known = {(each["workload"], each["against"]): each for each in baseline["ratios"]}
    for entry in known.values():  # in the baseline's own day, which is about to be replaced
        entry.setdefault("date", baseline["measured"]["date"])
    dated = [(measured, here["date"]), (others.ratios, others.date)]
    for ratios, date in dated:
        for key, ratio in ratios.items():
            entry = known.setdefault(key, {"workload": key[0], "against": key[1]})
            entry |= {"ratio": round(ratio, 2), "date": date}
    baseline["ratios"] = list(known.values())
    baseline["measured"] = {name: value for name, value in here.items() if name != "load average"}
    path.write_text(json.dumps(baseline, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
