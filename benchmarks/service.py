"""The service under load, beside Infinity with the same weights, and what HTTP and JSON cost.

python -m benchmarks.service                        all of it: about half an hour, two cores
python -m benchmarks.service --seconds 10 --only rerankd
python -m benchmarks.service --file FOLDER/mixed.jsonl    your own requests, as benchmarks.workloads describes them

Open arrivals at 50, 100, 200 and 400 % of what rerankd can score here, a budget of 250 ms, 24 candidates of mixed
length unless told otherwise. At each load the servers take turns, and another one begins each time, so that a
machine that slows down slows all of them. Each runs alone and is started anew for its turn: one that was asked for
too much would still be at it while the next is measured. Latency is counted from the moment at which a request was
meant to be sent. A caller of Infinity, which knows no budget, waits up to 10 s; what takes longer than the budget
and 25 ms is late. Writes artefacts/benchmarks/service.json; `python -m benchmarks.page` makes a section of it.
"""

import argparse
import asyncio
import itertools
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import IO

import httpx

from benchmarks.machine import RESULTS, machine, save
from benchmarks.others import Others
from benchmarks.service_levels import BUDGET_MS, GRACE_MS, HEAD, Level, Turn, judge, level, line
from benchmarks.workloads import MIXED, Workload, add_arguments, chosen, requests
from rerankd.bench.arrivals import Open
from rerankd.bench.percentiles import percentile

__all__ = ["SERVERS", "main"]

SCHEMA = 1
CANDIDATES = 24
SHARES = (0.5, 1.0, 2.0, 4.0)
_PATIENCE_S = 10.0
_LOADS_S = 180.0
_ROOT = Path(__file__).resolve().parents[1]
_INFINITY = _ROOT / ".venv-infinity"
SERVERS = ("rerankd", "infinity-torch", "infinity-optimum")


def main() -> int:
    parser = argparse.ArgumentParser(prog="benchmarks.service", description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=30, help="how long each turn goes on")
    parser.add_argument("--turns", type=int, default=2, help="of each server at each load")
    parser.add_argument("--only", action="append", choices=SERVERS, help="only this server")
    add_arguments(parser)
    parser.add_argument("--output", type=Path, default=RESULTS / "service.json")
    arguments = parser.parse_args()
    wanted = [server for server in SERVERS if not arguments.only or server in arguments.only]
    workload, *more = chosen(arguments, [MIXED])
    if more:
        parser.error("one workload at a time")
    about = machine()
    print(f"load average {about['load average']:.1f} on {about['cores']} cores", flush=True)
    with serving("rerankd") as url:
        pairs = asyncio.run(_capacity(url, workload, min(10.0, arguments.seconds)))
    if pairs < workload.candidates:
        print("this machine is too busy to measure anything on: less than one request a second")
        return 1
    asked = pairs / workload.candidates
    print(
        f"{workload.title}: rerankd scores {pairs:.0f} pairs a second here, {asked:.2f} requests", flush=True
    )
    print(HEAD, flush=True)
    levels, not_measured = _levels(wanted, workload, asked, arguments.seconds, arguments.turns)
    overhead = _overhead()
    print(
        f"HTTP and JSON for 24 candidates of 500 characters, flag off: p50 {overhead['p50_ms']:.2f} ms,"
        f" p99 {overhead['p99_ms']:.2f} ms of {overhead['requests']} requests",
        flush=True,
    )
    rules = judge(levels, overhead["p50_ms"])
    report = {
        "schema": SCHEMA,
        "machine": about,
        "infinity": _infinity_version(),
        "workload": workload.name,
        "title": workload.title,
        "candidates": workload.candidates,
        "budget_ms": BUDGET_MS,
        "seconds": arguments.seconds,
        "turns": arguments.turns,
        "pairs_per_second": pairs,
        "levels": list(map(asdict, levels)),
        "not_measured": not_measured,
        "overhead": overhead,
        "rules": list(map(asdict, rules)),
    }
    save(arguments.output, report)
    missed = [f"{rule.what}: {rule.measured} [{rule.wanted}]" for rule in rules if not rule.held]
    print("figures missed: " + "; ".join(missed) if missed else "all figures hold")
    return 1 if missed else 0


def _levels(
    wanted: Sequence[str], workload: Workload, asked: float, seconds: float, turns: int
) -> tuple[list[Level], dict[str, str]]:
    """Each server at each load, and why some were not measured. `asked`: requests a second that ours can score."""
    levels: list[Level] = []
    not_measured: dict[str, str] = {}
    rounds = itertools.count()
    for share in SHARES:
        taken: dict[str, list[Turn]] = {server: [] for server in wanted if server not in not_measured}
        for number in range(turns):
            # another one begins each time
            place = next(rounds) % len(wanted)
            for server in (*wanted[place:], *wanted[:place]):
                if server in not_measured:
                    continue
                try:
                    taken[server].append(_turn(server, workload, share * asked, seconds, seed=number + 1))
                except UnreadyError as error:
                    if server == "rerankd":
                        raise
                    # a peer that does not run here says nothing of ours
                    print(f"{server:<17} not measured: {error}", flush=True)
                    not_measured[server] = _in_short(error)
        for server, its in taken.items():
            # one that failed at this load has no figures of it
            if server not in not_measured:
                levels.append(level(server, share, share * asked, its))
                print(line(levels[-1]), flush=True)
    return levels, not_measured


def _turn(server: str, workload: Workload, rate: float, seconds: float, seed: int) -> Turn:
    """It begins with a server that has nothing left to do."""
    watch = Others()
    with serving(server) as url:
        turn = asyncio.run(_asked(server, url, workload, rate, seconds, seed))
    # the time that it took itself is known only now that it has ended
    turn.others = watch.share()
    return turn


def _in_short(error: "UnreadyError") -> str:
    """What failed and the last line of the log, without where this checkout lies: the report is kept."""
    first, *more = str(error).replace(f"{_ROOT}/", "").splitlines()
    return f"{first}: {more[-1].strip()}" if more else first


def _infinity_version() -> str:
    """As it is pinned, which is what `make` installs."""
    pins = (_ROOT / "benchmarks" / "infinity" / "requirements.txt").read_text(encoding="utf-8")
    (version,) = re.findall(r"^infinity-emb\S*==(\S+)", pins, re.MULTILINE)
    return str(version)


class UnreadyError(RuntimeError):
    """A server that could not be measured, and the end of what it said."""


@contextmanager
def serving(server: str) -> Iterator[str]:
    """The server, ready; its URL. Raises `UnreadyError` with the end of its log where it does not come so far."""
    port = _free_port()
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryFile() as log:
        environment = {**os.environ, "RERANKD_DATA_DIR": folder, "HF_HUB_OFFLINE": "1", "DO_NOT_TRACK": "1"}
        environment["RERANKD_CACHE_SCORES"] = "0"
        environment["INFINITY_ANONYMOUS_USAGE_STATS"] = "0"
        try:
            command = _command(server, port)
        except subprocess.CalledProcessError as error:
            raise UnreadyError(f"it could not be installed: {error}") from None
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
        url = f"http://127.0.0.1:{port}"
        try:
            why = _await_ready(url, server, process)
            if why is not None:
                raise UnreadyError("\n  ".join([why, *_tail(log)]))
            yield url
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _command(server: str, port: int) -> Sequence[str | Path]:
    if server == "rerankd":
        return [Path(sys.executable).with_name("rerankd"), "serve", "--port", str(port)]
    engine = server.removeprefix("infinity-")
    python = _infinity()
    return [
        *(python.with_name("infinity_emb"), "v2", "--model-id", _weights(), "--engine", engine),
        *(
            "--port",
            str(port),
            "--host",
            "127.0.0.1",
            "--device",
            "cpu",
            "--no-bettertransformer",
            "--no-model-warmup",
        ),
        *("--served-model-name", "reranker", "--log-level", "error"),
    ]


def _infinity() -> Path:
    """Its interpreter; installed when there is none yet."""
    stamp = _INFINITY / ".installed"
    subprocess.run(["make", "--no-print-directory", stamp.relative_to(_ROOT)], cwd=_ROOT, check=True)
    return _INFINITY / "bin" / "python"


def _weights() -> Path:
    """The carried weights where both engines find them: an fp32 checkpoint, and beside it the carried int8 file."""
    from benchmarks.peers.files import carried, checkpoint

    folder = checkpoint()
    graph = folder / "onnx" / "model.onnx"
    if not graph.exists():
        graph.parent.mkdir(exist_ok=True)
        shutil.copyfile(carried() / "model.onnx", graph)
    return folder


def _free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def _await_ready(url: str, server: str, process: "subprocess.Popen[bytes]") -> str | None:
    """Why it did not become ready; None: it did."""
    path = "/ready" if server == "rerankd" else "/health"
    ends = time.monotonic() + _LOADS_S
    while time.monotonic() < ends and process.poll() is None:
        try:
            if httpx.get(url + path, timeout=2).status_code == 200:
                return None
        except httpx.TransportError:
            pass
        time.sleep(0.1)
    status = process.poll()
    return (
        f"it was not ready after {_LOADS_S:.0f} s"
        if status is None
        else f"it ended with status {status} before it was ready"
    )


def _tail(log: IO[bytes], lines: int = 20) -> list[str]:
    """The last lines that a server wrote."""
    log.seek(0)
    said = log.read().decode("utf-8", "replace").splitlines()
    return [line for line in said if line.strip()][-lines:]


def _bodies(server: str, workload: Workload, budget_ms: float = BUDGET_MS) -> list[tuple[bytes, int]]:
    """What is sent, and how many candidates are in it."""
    others = {"model": "reranker"} | ({"budget_ms": budget_ms} if server == "rerankd" else {})
    return [
        (json.dumps({"query": each.query, "documents": each.texts, **others}).encode(), len(each.texts))
        for each in itertools.islice(requests(workload), 40)
    ]


def _route(server: str) -> str:
    return "/infinity/rerank" if server == "rerankd" else "/rerank"


def _http(url: str) -> httpx.AsyncClient:
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=256)
    headers = {"content-type": "application/json"}
    return httpx.AsyncClient(base_url=url, limits=limits, timeout=_PATIENCE_S, headers=headers)


async def _capacity(url: str, workload: Workload, seconds: float) -> float:
    """Pairs a second, with four callers that ask again as soon as they are answered."""
    # nothing is left out for want of time
    bodies, scored = _bodies("rerankd", workload, budget_ms=10_000), 0
    async with _http(url) as http:

        async def caller(first: int, ends: float) -> None:
            nonlocal scored
            for number in itertools.count(first):
                if time.monotonic() >= ends:
                    return
                body, _ = bodies[number % len(bodies)]
                answer = await http.post(_route("rerankd"), content=body)
                scored += int(answer.headers["x-rerank-depth"].split("/")[0])

        await asyncio.gather(*(caller(each * 10, time.monotonic() + 2) for each in range(4)))
        began, scored = time.monotonic(), 0
        await asyncio.gather(*(caller(each * 10, began + seconds) for each in range(4)))
        return scored / (time.monotonic() - began)


async def _asked(server: str, url: str, workload: Workload, rate: float, seconds: float, seed: int) -> Turn:
    """Requests as they arrive; servers that are asked with the same seed are asked the same at the same moments."""
    bodies, route, turn = _bodies(server, workload), _route(server), Turn()
    async with _http(url) as http:
        for number in range(5):
            await http.post(route, content=bodies[number][0])
        began = time.monotonic()

        async def ask(number: int, meant: float) -> None:
            turn.late.append((time.monotonic() - meant) * 1000)
            body, candidates = bodies[number % len(bodies)]
            try:
                answer = await http.post(route, content=body)
                good = answer.status_code == 200
            except httpx.TransportError:
                answer, good = None, False
            ms = (time.monotonic() - meant) * 1000
            turn.latencies.append(ms)
            turn.seen["unanswered"] += not good
            if answer is not None and good and ms <= BUDGET_MS + GRACE_MS:
                turn.seen["in time"] += 1
                depth = answer.headers.get("x-rerank-depth", str(candidates))
                turn.seen["scored"] += int(depth.split("/")[0])

        tasks = []
        times = itertools.takewhile(lambda at: at < seconds, Open(rate=rate, seed=seed).times())
        for number, at in enumerate(times):
            await asyncio.sleep(began + at - time.monotonic())
            tasks.append(asyncio.create_task(ask(number, began + at)))
        await asyncio.gather(*tasks)
    return turn


def _overhead(count: int = 2_000) -> dict[str, float]:
    """A request on a kept connection with the flag off: everything but the model. The client's part is in it."""
    import http.client

    port = _free_port()
    texts = [("lorem ipsum dolor " * 40)[:500] for _ in range(CANDIDATES)]
    body = json.dumps({"query": "what does it cost", "documents": texts, "model": "m"}).encode()
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryFile() as log:
        environment = {
            **os.environ,
            "RERANKD_DATA_DIR": folder,
            "RERANK_ENABLED": "false",
            "RERANKD_CACHE_SCORES": "0",
            "HF_HUB_OFFLINE": "1",
        }
        process = subprocess.Popen(_command("rerankd", port), env=environment, stdout=log, stderr=log)
        try:
            _await_health(port, process)
            connection = http.client.HTTPConnection("127.0.0.1", port)
            taken = []
            for _ in range(count + 100):
                began = time.perf_counter()
                connection.request("POST", "/v2/rerank", body, {"content-type": "application/json"})
                answer = connection.getresponse().read()
                taken.append((time.perf_counter() - began) * 1000)
            assert len(json.loads(answer)["results"]) == CANDIDATES
            connection.close()
        finally:
            process.terminate()
            process.wait()
    measured = taken[100:]
    return {"p50_ms": percentile(measured, 50), "p99_ms": percentile(measured, 99), "requests": count}


def _await_health(port: int, process: "subprocess.Popen[bytes]") -> None:
    while process.poll() is None:
        try:
            httpx.get(f"http://127.0.0.1:{port}/health", timeout=2)
            time.sleep(4)  # until the model has been loaded beside it
            return
        except httpx.TransportError:
            time.sleep(0.1)
    raise RuntimeError("rerankd ended")


if __name__ == "__main__":
    sys.exit(main())
