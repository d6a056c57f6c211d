"""The service listens before its model is there, and stops when the last request is answered."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import httpx
import pytest

from rerankd.core.ports import Model
from rerankd.engine.clock import SystemClock
from rerankd.http.access import OpenAccess
from rerankd.http.app import create_app
from rerankd.http.policy import HttpPolicy
from rerankd.http.server import Server
from rerankd.http.service import Service
from rerankd.reranker import Reranker
from rerankd.testing import FakeScorer, fake_reranker
from tests.http.service import QUERY, TEXTS, Hanging

COMMAND = str(Path(sys.executable).with_name("rerankd"))
BODY = {"query": QUERY, "documents": TEXTS}


def service_of(reranker, **policy) -> Service:
    limits = HttpPolicy(listen_port=0, **policy)
    clock = SystemClock()
    server = Server(create_app(reranker, policy=limits, access=OpenAccess()), limits, clock)
    return Service(reranker, server, clock=clock)


class Running:
    """A service in a thread with a loop of its own."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self._listening = threading.Event()
        self._thread = threading.Thread(
            target=lambda: asyncio.run(service.run(lambda _: self._listening.set()))
        )

    def __enter__(self) -> str:
        self._thread.start()
        assert self._listening.wait(10)
        return f"http://localhost:{self.service.server.port}"

    def __exit__(self, *_: object) -> None:
        self.service.server.stop()
        self._thread.join(20)
        assert not self._thread.is_alive()


@pytest.mark.threads
def test_it_answers_in_retrieval_order_while_the_model_loads_and_reranks_afterwards():
    loads = threading.Event()
    model = Model(scorer=FakeScorer(), tokenizer=None, max_tokens=512)
    reranker = Reranker(lambda: (loads.wait(10), model)[1], name="fake", wait=False)
    with Running(service_of(reranker)) as url, httpx.Client(base_url=url) as client:
        assert client.get("/health").status_code == 200
        assert client.get("/ready").status_code == 503
        early = client.post("/v2/rerank", json=BODY)
        assert early.status_code == 200
        assert early.headers["x-rerank-reason"] == "model_loading"
        loads.set()
        assert reranker.wait_ready(10)
        assert client.get("/ready").status_code == 200
        assert client.post("/v2/rerank", json=BODY).headers["x-rerank-outcome"] == "reranked"


@pytest.mark.threads
def test_stopping_answers_what_is_in_flight_and_says_first_that_it_is_not_ready():
    hanging = Hanging()
    service = service_of(fake_reranker(hanging, wait=False))
    with Running(service) as url, httpx.Client(base_url=url) as client, httpx.Client(base_url=url) as other:
        assert service.reranker.wait_ready(10)
        other.get("/health")
        hanging.hangs = True
        answers: list[httpx.Response] = []
        asking = threading.Thread(
            target=lambda: answers.append(client.post("/v2/rerank", json=BODY | {"budget_ms": 1_500}))
        )
        asking.start()
        while service.reranker.status().busy == 0:
            time.sleep(0.01)
        service.server.stop()
        asking.join(20)
        hanging.let_go.set()
        assert answers[0].status_code == 200
        assert answers[0].headers["x-rerank-outcome"] == "skipped"
        with pytest.raises(httpx.TransportError):
            httpx.post(f"{url}/v2/rerank", json=BODY)


@pytest.mark.threads
@pytest.mark.parametrize("sign", [signal.SIGTERM, signal.SIGINT])
def test_the_command_serves_and_ends_at_a_signal(tmp_path: Path, sign: signal.Signals):
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("RERANK", "OTEL"))},
        "RERANKD_DATA_DIR": str(tmp_path),
        "RERANK_ENABLED": "false",
        "RERANKD_HTTP_ISOLATED": "false",
        "HF_HUB_OFFLINE": "1",
        "RERANKD_LOG_FORMAT": "json",
        "PYTHONUNBUFFERED": "1",
    }
    command = [COMMAND, "serve", "--port", "0", "--model", str(tmp_path / "none")]
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr is not None
            line = ""
            while "listening on" not in line:
                line = process.stderr.readline()
                assert line, "it ended without listening"
            url = line.split("listening on ")[1].split()[0]
            answer = httpx.post(f"{url}/v2/rerank", json=BODY)
            assert answer.headers["x-rerank-reason"] == "disabled"
            process.send_signal(sign)
            _, rest = process.communicate(timeout=20)
        finally:
            process.kill()
    assert process.returncode == 0
    access = [json.loads(each) for each in rest.splitlines() if '"rerankd.access"' in each]
    assert [(each["route"], each["status"]) for each in access] == [("/v2/rerank", 200)]
    assert "Traceback" not in rest


@pytest.mark.threads
@pytest.mark.parametrize("sign", [signal.SIGTERM, signal.SIGINT])
def test_what_runs_beside_the_server_is_closed_after_a_signal(tmp_path: Path, sign: signal.Signals):
    """The command in small: the signal must not end the process before the service is over."""
    script = tmp_path / "service.py"
    script.write_text(
        "import asyncio\n"
        "from rerankd.engine.clock import SystemClock\n"
        "from rerankd.http.access import OpenAccess\n"
        "from rerankd.http.app import create_app\n"
        "from rerankd.http.policy import HttpPolicy\n"
        "from rerankd.http.server import Server\n"
        "from rerankd.http.service import Service\n"
        "from rerankd.testing import FakeScorer, fake_reranker\n"
        "reranker, policy = fake_reranker(FakeScorer(), wait=False), HttpPolicy(listen_port=0)\n"
        "server = Server(create_app(reranker, policy=policy, access=OpenAccess()), policy, SystemClock())\n"
        "at_end = (lambda: print('closed', flush=True),)\n"
        "service = Service(reranker, server, clock=SystemClock(), at_end=at_end)\n"
        "asyncio.run(service.run(lambda _: print('listening', flush=True)))\n",
        encoding="utf-8",
    )
    with subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "listening\n"
            process.send_signal(sign)
            rest, _ = process.communicate(timeout=20)
        finally:
            process.kill()
    assert rest == "closed\n"
    assert process.returncode == 0


def test_an_address_that_is_taken_is_one_line_before_anything_is_started(tmp_path: Path):
    environment = {**os.environ, "RERANKD_DATA_DIR": str(tmp_path), "HF_HUB_OFFLINE": "1"}
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        command = [COMMAND, "serve", "--port", str(port)]
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, check=False, timeout=60
        )
    assert done.returncode == 1
    said = [line for line in done.stderr.splitlines() if line]
    assert said == [f"rerankd: cannot listen on 127.0.0.1, port {port}: Address already in use"]


def test_the_command_refuses_to_be_open_to_the_world_without_a_key(tmp_path: Path):
    environment = {**os.environ, "RERANKD_DATA_DIR": str(tmp_path)}
    command = [COMMAND, "serve", "--host", "0.0.0.0", "--port", "0"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 2
    assert "there is no API key" in done.stderr
    assert "rerankd keys create" in done.stderr
