"""python -m benchmarks.peers: all contenders, one interleaved run, one at a time."""

import argparse
import importlib.metadata
import json
import os
import platform
import subprocess
import sys
import time
from itertools import islice
from typing import Any

from benchmarks.peers.contenders import CONTENDERS
from benchmarks.peers.files import ARTEFACTS, checkpoint
from benchmarks.peers.quiet import OtherLoad, Patience
from benchmarks.peers.report import Row, as_json, markdown, rows
from benchmarks.peers.turn import Turn
from benchmarks.peers.workloads import CANDIDATES, WORKLOADS, Request, Workload, requests

__all__: list[str] = []

SETTLE_SECONDS = 0.05
"""Between two turns: thread pools that spin after a run have gone to sleep by then."""
WARM_UP = 2
BUSY = 0.05
TRIES = 3
PACKAGES = (
    "rerankd",
    "onnxruntime",
    "tokenizers",
    "flashrank",
    "fastembed",
    "sentence-transformers",
    "torch",
)


class Process:
    """A contender in its own process, so that no library's threads or memory get in another's way."""

    def __init__(self, name: str, cores: int) -> None:
        environment = {**os.environ, "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "true"}
        self._process = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-m", "benchmarks.peers.worker", name, str(cores)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )
        self.name = name
        ready = self._answer()
        self.settings: str = ready["settings"]
        self.load_seconds: float = ready["load_seconds"]

    def ask(self, request: Request, cores: int) -> Turn:
        assert self._process.stdin is not None
        line = json.dumps({"query": request.query, "texts": request.texts})
        others = OtherLoad(cores)
        print(line, file=self._process.stdin, flush=True)
        answer = self._answer()
        return Turn(
            ms=answer["ms"],
            others=others.share(answer["cpu_ms"] / 1e3),
            cpu_ms=answer["cpu_ms"],
            logits=answer["logits"],
        )

    def close(self) -> None:
        self._process.communicate(timeout=30)

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit(f"the process of {self.name} ended with status {self._process.wait()}")
        answer: dict[str, Any] = json.loads(line)
        return answer


def measure(
    workload: Workload, processes: list[Process], rounds: int, seed: int, cores: int, patience: Patience
) -> list[Row]:
    turns: dict[str, list[Turn]] = {process.name: [] for process in processes}
    for number, request in enumerate(islice(requests(workload, seed), WARM_UP + rounds)):
        # Another one begins each time, so that nobody always follows the same neighbour.
        shift = number % len(processes)
        for process in processes[shift:] + processes[:shift]:
            turn = undisturbed(process, request, cores, patience)
            if number >= WARM_UP:
                turns[process.name].append(turn)
        _say(f"\r{workload.name}: {max(0, number + 1 - WARM_UP)}/{rounds} rounds", end="")
    _say("")
    return rows(workload, turns)


def undisturbed(process: Process, request: Request, cores: int, patience: Patience) -> Turn:
    """A turn during which the others took less than `BUSY`; after `TRIES` the least disturbed one."""
    turns: list[Turn] = []
    while not turns or (turns[-1].others > BUSY and len(turns) < TRIES):
        time.sleep(SETTLE_SECONDS)
        patience.wait(BUSY)
        turns.append(process.ask(request, cores))
    return min(turns, key=lambda turn: turn.others)


def main() -> None:
    parser = argparse.ArgumentParser(prog="benchmarks.peers", description=__doc__)
    parser.add_argument("--rounds", type=int, default=20, help="requests a workload, each to every contender")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--patience",
        type=float,
        default=300,
        help="seconds in all to wait for others to leave the machine alone",
    )
    parser.add_argument("--only", action="append", choices=CONTENDERS, help="a contender; may be repeated")
    parser.add_argument("--workload", action="append", choices=[each.name for each in WORKLOADS])
    arguments = parser.parse_args()
    names = [name for name in CONTENDERS if not arguments.only or name in arguments.only]
    workloads = [each for each in WORKLOADS if not arguments.workload or each.name in arguments.workload]
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1

    if any(name.startswith("sentence-transformers") for name in names):
        _say("Preparing the fp32 checkpoint (once) ...")
        checkpoint()
    processes = []
    for name in names:
        _say(f"Loading {name} ...")
        processes.append(Process(name, cores))
    machine = {
        "processor": _processor(),
        "cores": cores,
        "python": platform.python_version(),
        **{package: importlib.metadata.version(package) for package in PACKAGES},
        "request": f"{CANDIDATES} candidates",
        "rounds": arguments.rounds,
        "load average before": f"{os.getloadavg()[0]:.2f}",
    }
    patience = Patience(arguments.patience, cores)
    settings = {process.name: process.settings for process in processes}
    found: list[Row] = []
    ARTEFACTS.mkdir(parents=True, exist_ok=True)
    for number, workload in enumerate(workloads, 1):
        found += measure(workload, processes, arguments.rounds, arguments.seed, cores, patience)
        # After each one, so that an interrupted run leaves what it has measured.
        table = markdown(workloads[:number], found, settings, machine)
        (ARTEFACTS / "peers.md").write_text(table, encoding="utf-8")
        told = json.dumps(as_json(found, settings, machine), indent=1)
        (ARTEFACTS / "peers.json").write_text(told, encoding="utf-8")
    for process in processes:
        process.close()
    print(table)
    _say("Written to artefacts/peers/peers.md and peers.json.")


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:
            return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def _say(text: str, end: str = "\n") -> None:
    print(text, end=end, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
