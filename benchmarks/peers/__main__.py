"""python -m benchmarks.peers: all contenders, one interleaved run, one at a time.

Writes artefacts/benchmarks/peers.json, workload by workload; what an earlier run on the same machine has of other
workloads stays in it. `python -m benchmarks.page` makes docs/benchmarks.md of it.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import Any

from benchmarks.machine import RESULTS, machine, save
from benchmarks.others import Others, cores
from benchmarks.peers.contenders import CONTENDERS, WRONG, environment
from benchmarks.peers.files import prepare
from benchmarks.peers.quiet import Patience
from benchmarks.peers.report import SCHEMA, Row, rows, verdicts
from benchmarks.peers.turn import Turn
from benchmarks.workloads import MIXED, Request, Workload, add_arguments, chosen, requests, token_lengths

__all__: list[str] = []

SETTLE_SECONDS = 0.05
"""Between two turns: thread pools that spin after a run have gone to sleep by then."""
WARM_UP = 1
BUSY = 0.05
ROUNDS = {"mixed": 6, "equal-20": 12, "equal-55": 10, "equal-106": 6, "equal-310": 3}
"""A padded batch of the longest takes seconds, and there are a dozen contenders."""
_ROOT = Path(__file__).resolve().parents[2]


class Process:
    """A contender in its own process, so that no library's threads or memory get in another's way."""

    def __init__(self, name: str, cores: int) -> None:
        variables = {
            **os.environ,
            "HF_HUB_OFFLINE": "1",
            "TOKENIZERS_PARALLELISM": "true",
            "DO_NOT_TRACK": "1",
        }
        variables["INFINITY_ANONYMOUS_USAGE_STATS"] = "0"
        elsewhere = environment(name)
        python = sys.executable if elsewhere is None else str(_ROOT / elsewhere / "bin" / "python")
        self._process = subprocess.Popen(
            [python, "-W", "ignore", "-m", "benchmarks.peers.worker", name, str(cores)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL if elsewhere else None,
            text=True,
            env=variables,
            cwd=_ROOT,
        )
        self.name = name
        ready = self._answer()
        self.settings: str = ready["settings"]
        self.weights: str = ready["weights"]
        self.versions: dict[str, str] = ready["versions"]
        self.load_seconds: float = ready["load_seconds"]

    def ask(self, request: Request, cores: int) -> Turn:
        others = Others()
        answer = self._told({"query": request.query, "texts": request.texts})
        return Turn(
            ms=answer["ms"],
            others=others.share(answer["cpu_ms"] / 1e3),
            cpu_ms=answer["cpu_ms"],
            rss_mb=answer["rss_mb"],
            logits=answer["logits"],
        )

    def tune(self, request: Request) -> int:
        """Let it choose its batch size by this request."""
        size: int = self._told({"query": request.query, "texts": request.texts, "tune": True})["batch_size"]
        return size

    def close(self) -> None:
        try:
            self._process.communicate(timeout=30)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _told(self, message: dict[str, Any]) -> dict[str, Any]:
        assert self._process.stdin is not None
        print(json.dumps(message), file=self._process.stdin, flush=True)
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit(f"the process of {self.name} ended with status {self._process.wait()}")
        answer: dict[str, Any] = json.loads(line)
        return answer


class Table:
    """Who is measured, and how."""

    def __init__(self, processes: Sequence[Process], cores: int, patience: Patience, tries: int) -> None:
        self._processes = list(processes)
        self._cores, self._patience, self._tries = cores, patience, tries

    def parity(self) -> list[Row]:
        """The scores of one mixed request, before anything is timed."""
        request = next(requests(MIXED))
        turns = {process.name: [process.ask(request, self._cores)] for process in self._processes}
        return rows(MIXED, turns)

    def measure(self, workload: Workload, rounds: int, seed: int) -> list[Row]:
        """Every contender gets each request in turn; another one begins each time, so that nobody always follows
        the same neighbour."""
        first = next(requests(workload, seed))
        sizes = {
            process.name: process.tune(first)
            for process in self._processes
            if process.name.endswith("+tuned")
        }
        turns: dict[str, list[Turn]] = {process.name: [] for process in self._processes}
        for number, request in enumerate(islice(requests(workload, seed), WARM_UP + rounds)):
            shift = number % len(self._processes)
            for process in self._processes[shift:] + self._processes[:shift]:
                turn = self._undisturbed(process, request)
                if number >= WARM_UP:
                    turns[process.name].append(turn)
            _say(f"\r{workload.name}: {max(0, number + 1 - WARM_UP)}/{rounds} rounds", end="")
        _say("")
        return rows(workload, turns, sizes)

    def _undisturbed(self, process: Process, request: Request) -> Turn:
        """A turn during which the others took less than `BUSY`; after all tries the least disturbed one."""
        turns: list[Turn] = []
        while not turns or (turns[-1].others > BUSY and len(turns) < self._tries):
            time.sleep(SETTLE_SECONDS)
            self._patience.wait(BUSY)
            turns.append(process.ask(request, self._cores))
        return min(turns, key=lambda turn: turn.others)


def main() -> None:
    parser = argparse.ArgumentParser(prog="benchmarks.peers", description=(__doc__ or "").splitlines()[0])
    add_arguments(parser)
    parser.add_argument("--rounds", type=int, help=f"requests to every contender; {ROUNDS}, of a file 5")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--patience",
        type=float,
        default=300,
        help="seconds in all to wait for others to leave the machine alone",
    )
    parser.add_argument(
        "--tries", type=int, default=3, help="of a turn in which others took part of the machine"
    )
    parser.add_argument("--only", action="append", choices=CONTENDERS, help="a contender; may be repeated")
    parser.add_argument("--parity", action="store_true", help="compare the scores, and time nothing")
    parser.add_argument("--out", type=Path, default=RESULTS / "peers.json")
    arguments = parser.parse_args()
    names = [name for name in CONTENDERS if not arguments.only or name in arguments.only]
    _say("Preparing the weights for each library (once) ...")
    prepare()
    processes = []
    for name in names:
        _say(f"Loading {name} ...")
        processes.append(Process(name, cores()))
    table = Table(processes, cores(), Patience(arguments.patience, cores()), arguments.tries)
    _say(f"\nScores of one request beside those of {names[0]}:")
    for row in table.parity():
        note = WRONG.get(row.contender, "")
        _say(
            f"  {row.contender:<38} at most {row.largest_logit_difference:.2f} apart,"
            f" {row.same_top_8:.0%} of the best 8 {note and f'({note})'}"
        )
    if not arguments.parity:
        report = _report(processes)
        for workload in chosen(arguments):
            rounds = arguments.rounds or ROUNDS.get(workload.name, 5)
            found = [asdict(row) for row in table.measure(workload, rounds, arguments.seed)]
            lengths = token_lengths(workload)
            told = {
                "name": workload.name,
                "title": workload.title,
                "tokens": {"mean": sum(lengths) / len(lengths), "most": max(lengths)},
                "rounds": rounds,
                "rows": found,
            }
            # After each one, so that an interrupted run leaves what it has measured.
            report = _merged(arguments.out, report, told)
            save(arguments.out, report)
            for each in found:
                _say(f"  {each['contender']:<38} {each['median_ms']:7.0f} ms  ours × {each['ratio']:.2f}")
        _say(f"Written to {arguments.out}. `python -m benchmarks.page` writes the page of it.")
    for process in processes:
        process.close()


def _report(processes: Sequence[Process]) -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        "machine": machine(),
        "contenders": {
            process.name: {
                "settings": process.settings,
                "weights": process.weights,
                "versions": process.versions,
                "load_seconds": round(process.load_seconds, 2),
                "wrong": WRONG.get(process.name),
            }
            for process in processes
        },
        "workloads": [],
        "figures": [],
    }


def _merged(path: Path, report: dict[str, Any], told: dict[str, Any]) -> dict[str, Any]:
    """The report with this workload, and with those of an earlier run of the same contenders on this machine."""
    before: list[dict[str, Any]] = report["workloads"]
    if not before and path.exists():
        earlier = json.loads(path.read_text(encoding="utf-8"))
        keys = ("schema", "machine", "contenders")
        if all(_steady(earlier.get(key)) == _steady(report[key]) for key in keys):
            before = earlier["workloads"]
    kept = [each for each in before if each["name"] != told["name"]]
    found = [*kept, told]
    return {
        **report,
        "workloads": found,
        "figures": verdicts(row for each in found for row in each["rows"]),
    }


def _steady(told: Any) -> Any:
    """Without what differs between two runs of the same."""
    if not isinstance(told, dict):
        return told
    varying = ("date", "load average", "load_seconds")
    return {key: _steady(value) for key, value in told.items() if key not in varying}


def _say(text: str, end: str = "\n") -> None:
    print(text, end=end, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
