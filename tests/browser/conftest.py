"""The page in Debian's own Chromium, before services around fakes, on loopback."""

import asyncio
import os
import shutil
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("playwright", reason="the dev extra has Playwright")
pytest.importorskip("psycopg", reason="the memory extra is needed for the Memory tab")

from playwright.sync_api import Browser, Page, sync_playwright

from rerankd.core.request import RerankPolicy
from rerankd.core.types import Pair
from rerankd.http.access import KeyAccess
from rerankd.http.app import create_app
from rerankd.http.keyfile import KeyFile
from rerankd.http.live import Live
from rerankd.http.memory.opening import ServedMemory
from rerankd.http.policy import HttpPolicy
from rerankd.http.server import Server
from rerankd.http.service import Service
from rerankd.memory.memory import Memory
from rerankd.memory.testing import InMemoryStore, fake_memory
from rerankd.testing import fake_reranker, word_overlap

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
LOOKS: dict[str, dict[str, Any]] = {
    "light": {"color_scheme": "light", "viewport": {"width": 1280, "height": 860}},
    "dark": {"color_scheme": "dark", "viewport": {"width": 1280, "height": 860}},
    "narrow": {"color_scheme": "light", "viewport": {"width": 390, "height": 844}},
}
PICTURES = Path(__file__).resolve().parents[2] / "artefacts" / "page"


def pytest_collection_modifyitems(items: Sequence[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.browser)
            item.add_marker(pytest.mark.threads)


class Running:
    """A service in a thread, around fakes that a test may reach for."""

    def __init__(self, folder: Path, scorer: Callable[[Pair], Any], *, memory: bool = True) -> None:
        policy = HttpPolicy(listen_port=0)
        self.keys = KeyFile(folder / "keys.json")
        self.memory_key = self.keys.create("chat", ["memory:default"], "d")[1]
        self.admin_key = self.keys.create("ops", ["admin"], "d")[1]
        self.store = InMemoryStore()
        self.reranker = fake_reranker(scorer, policy=RerankPolicy(), wait=False)
        self.live = Live(self.reranker.clock)
        self.reranker._observers = (*self.reranker._observers, self.live)
        self.live.bind(self.reranker.status)
        served = ServedMemory(self._memory) if memory else None
        access = KeyAccess(self.keys, policy, self.reranker.clock, anybody=True)
        app = create_app(self.reranker, policy=policy, access=access, live=self.live, memory=served)
        self._service = Service(
            self.reranker,
            Server(app, policy, self.reranker.clock),
            clock=self.reranker.clock,
            also=() if served is None else (served,),
        )
        self._listening = threading.Event()
        self._thread = threading.Thread(
            target=lambda: asyncio.run(self._service.run(lambda _: self._listening.set()))
        )

    def _memory(self) -> Memory:
        return fake_memory(self.store, reranker=self.reranker, owns_reranker=False)

    @property
    def url(self) -> str:
        return f"http://localhost:{self._service.server.port}"

    def __enter__(self) -> "Running":
        self._thread.start()
        assert self._listening.wait(20)
        assert self.reranker.wait_ready(20)
        return self

    def __exit__(self, *_: object) -> None:
        self._service.server.stop()
        self._thread.join(20)
        assert not self._thread.is_alive()


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """Not of the whole run: while Playwright is there, this thread can run no other event loop."""
    if CHROMIUM is None:
        pytest.skip("no Chromium here: apt-get install chromium (`make test` does it for root)")
    with sync_playwright() as playwright:
        # as root Chromium refuses to start with its sandbox
        arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=arguments)
        yield browser
        browser.close()


@pytest.fixture(scope="package")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with Running(tmp_path_factory.mktemp("service"), word_overlap) as service:
        yield service


@contextmanager
def opened(browser: Browser, service: Running, look: str = "light", at: str = "/") -> Iterator[Page]:
    """The page, which must neither fail nor ask anything of another host while the test looks at it."""
    context = browser.new_context(**LOOKS[look], reduced_motion="reduce")
    context.set_default_timeout(15_000)
    page = context.new_page()
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    # a refused request is told of on the console, too, and is what some tests are about
    page.on(
        "console",
        lambda said: (
            problems.append(said.text) if said.type == "error" and "status of" not in said.text else None
        ),
    )
    page.on(
        "request",
        lambda sent: problems.append(sent.url) if not sent.url.startswith(service.url) else None,
    )
    try:
        page.goto(service.url + at)
        yield page
        assert problems == []
    finally:
        context.close()


@pytest.fixture(params=LOOKS)
def look(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def page(browser: Browser, running: Running) -> Iterator[Page]:
    with opened(browser, running) as page:
        yield page


def picture(page: Page, name: str) -> None:
    """Keep what the page looks like, for people."""
    PICTURES.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=PICTURES / f"{name}.png", full_page=True)
