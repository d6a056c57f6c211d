"""With Ray: bulk work gives the rows of one process, and the service answers on scorers of a cluster."""

import json
import os
import socket
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["RERANKD_DATA_DIR"] = tempfile.mkdtemp()
os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
sys.path.pop(0)  # this script is called as what it imports
warnings.simplefilter("ignore")  # Ray warns of its own future

import httpx
import ray
from ray import serve

import rerankd
from rerankd.backends.replicas_policy import ReplicasPolicy
from rerankd.bulk.job import Job
from rerankd.bulk.plan import plan
from rerankd.bulk.run import run
from rerankd.core.ports import Model
from rerankd.errors import BackendError
from rerankd.models.policy import ModelPolicy
from rerankd.scale.cluster import connect
from rerankd.scale.data import run_on_ray
from rerankd.scale.replica import Replica
from rerankd.scale.serve import application
from rerankd.settings import Settings
from rerankd.testing import FakeScorer, fake_reranker


def fake_model() -> Model:
    return Model(scorer=FakeScorer(), tokenizer=None, max_tokens=512, digest="d1")


def broken_model() -> Model:
    raise BackendError("model.onnx: is not there")


class FakeReplica(Replica):
    """No model is installed here."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings, fake_reranker(require_model=True))


def refusal(call: Callable[[], object]) -> str:
    try:
        call()
    except BackendError as error:
        return str(error)
    raise AssertionError("it was not refused")


refused = refusal(lambda: connect(ReplicasPolicy(address="127.0.0.1:1")))
assert "the Ray cluster at 127.0.0.1:1 cannot be reached" in refused, refused

ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR")

folder = Path(tempfile.mkdtemp())
rows = [{"query": f"w{n} w{n + 1}", "texts": [f"w{n + k}" for k in range(4)]} for n in range(20)]
(folder / "in.jsonl").write_text("".join(json.dumps(row) + "\n" for row in [*rows, {"query": ""}]))


def job(output: str) -> Job:
    return Job(
        input=str(folder / "in.jsonl"),
        output=str(folder / output),
        query_column="query",
        candidates_column="texts",
        shard_rows=4,
    )


def on_ray(load: Callable[[], Model]) -> object:
    return run_on_ray(
        plan(job("ray")),
        lambda receipt, earlier: None,
        model=ModelPolicy(),
        data_dir=folder,
        policy=ReplicasPolicy(),
        load=load,
    )


def files(output: str) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder / output)): path.read_bytes()
        for path in (folder / output).rglob("*")
        if path.is_file()
    }


refused = refusal(lambda: on_ray(broken_model))
assert refused == "model.onnx: is not there", refused
here = run(plan(job("here")), fake_model())
assert (here.good, here.bad) == (20, 1), here
for _ in range(2):  # the second time there is nothing left to do
    assert on_ray(fake_model) == here
assert files("ray") == files("here")

with socket.socket() as free:
    free.bind(("127.0.0.1", 0))
    port = free.getsockname()[1]
given = {"ray.replicas": 2, "ray.cpus": 0.4, "data_dir": str(folder)}
serve.start(http_options={"host": "127.0.0.1", "port": port})
serve.run(application(Settings.load({}, **given, **{"ray.keyless": True}), FakeReplica), name="rerankd")
url = f"http://127.0.0.1:{port}"
with rerankd.Client(url) as client:
    until = time.monotonic() + 60
    while (ranking := client.rerank("b", ["a", "b"], budget_ms=5_000)).outcome != "reranked":
        assert time.monotonic() < until, ranking
        time.sleep(0.2)
    assert ([each.id for each in ranking], ranking.model) == ([1, 0], "fake"), ranking
    tei = httpx.post(f"{url}/tei/rerank", json={"query": "b", "texts": ["a", "b"]})
    assert [each["index"] for each in tei.json()] == [1, 0], tei.text
    assert httpx.get(f"{url}/ready").json()["ready"] is True
serve.shutdown()
ray.shutdown()
