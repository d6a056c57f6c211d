"""Several Ray nodes in this machine, the service in front of them as a process of its own, and what is killed."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx

from rerankd.scale.serve import APPLICATION, scorers
from rerankd.settings import Settings
from tests.prove_scale.sleepers import SleepingReplica

__all__ = ["Nodes", "nodes", "serving", "settings"]

REPLICA = f"ray::ServeReplica:{APPLICATION}:"


class Nodes:
    """A head that holds the ingress and the proxies and never dies, and workers that may."""

    def __init__(self, cluster: Any, workers: list[Any]) -> None:
        self._cluster = cluster
        self.workers = workers
        self.address = str(cluster.address)

    def deploy(self, given: Settings, replica: Any = SleepingReplica) -> None:
        """Start scorers, or roll out others in their place; returns when they are there."""
        from ray import serve

        serve.run(scorers(given, replica), name=APPLICATION, route_prefix=None)

    def replicas(self, worker: Any = None) -> list[int]:
        """The processes of the scorers, on one worker or on all."""
        chosen = self.workers if worker is None else [worker]
        raylets = {int(each.process.pid) for node in chosen for each in node.all_processes["raylet"]}
        return [pid for pid, parent, title in _processes() if parent in raylets and title.startswith(REPLICA)]

    def kill_replica(self) -> None:
        os.kill(self.replicas()[0], signal.SIGKILL)

    def kill_node(self) -> None:
        """A worker that has a scorer, as if its cable had been pulled."""
        victim = next(worker for worker in self.workers if self.replicas(worker))
        self.workers.remove(victim)
        self._cluster.remove_node(victim, allow_graceful=False)


def _processes() -> Iterator[tuple[int, int, str]]:
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            with contextlib.suppress(OSError):
                title = (folder / "cmdline").read_bytes().split(b"\0")[0].decode("utf-8", "replace")
                parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
                yield int(folder.name), parent, title


@contextlib.contextmanager
def nodes(workers: int, cpus: int) -> Iterator[Nodes]:
    """A cluster of so many workers with so many cores each, of which Ray is told and the machine is not."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    # Ray lets its workers give way to everything else on a machine: they stand for other machines here, and
    # what starts on them must not take the cores of the ingress and of its callers
    import ray
    from ray import serve
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    try:
        found = [cluster.add_node(num_cpus=cpus) for _ in range(workers)]
        ray.init(address=cluster.address, log_to_driver=False, logging_level="ERROR")
        serve.start(proxy_location="Disabled")
        yield Nodes(cluster, found)
        serve.shutdown()
    finally:
        ray.shutdown()
        cluster.shutdown()


def settings(address: str, model: str, folder: Path, **ray: Any) -> Settings:
    given = {f"ray.{name}": value for name, value in ray.items()}
    loaded = Settings.load({}, **{"ray.address": address, "model.model": model, "data_dir": folder}, **given)
    return replace(loaded, breaker=replace(loaded.breaker, open_max_remote_ms=loaded.breaker.open_max_ms))


@contextlib.contextmanager
def serving(given: Settings, *, ray: bool = True) -> Iterator[str]:
    """The service in a process of its own, with the scorers that are deployed, or with one of its own; its URL.
    It is ready when it is entered."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "tests.prove_scale.service", given.ray.address if ray else "-"]
    process = subprocess.Popen([*command, given.model.model, str(port), str(given.data_dir)])
    url = f"http://127.0.0.1:{port}"
    try:
        until = time.monotonic() + 120
        while not _ready(url):
            assert time.monotonic() < until, "the service is not ready"
            assert process.poll() is None, "the service has ended"
            time.sleep(0.2)
        yield url
    finally:
        process.terminate()
        process.wait(30)


def _ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/ready", timeout=2.0).status_code == 200
    except httpx.HTTPError:
        return False
