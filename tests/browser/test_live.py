"""Live: percentiles and histogram, outcomes, depth, queue, circuit, model and device, and the flag."""

from itertools import pairwise
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, Page, expect

from rerankd.core.events import CircuitChanged, CircuitState
from rerankd.core.flag import Flag, Mode
from rerankd.testing import word_overlap
from tests.browser.conftest import Running, opened, picture
from tests.http.service import QUERY, TEXTS


@pytest.fixture(scope="module")
def busy(running: Running) -> Running:
    """A service that has answered: some in full, some not at all."""
    with httpx.Client(base_url=running.url) as client:
        for number in range(30):
            budget = 0 if number % 3 == 0 else 10_000
            client.post("/api/v1/rerank", json={"query": QUERY, "candidates": TEXTS, "budget_ms": budget})
    return running


def live(page: Page) -> Page:
    page.get_by_role("tab", name="Live").click()
    expect(page.locator("#state .tile")).to_have_count(6)
    return page


def said(page: Page, place: str) -> str:
    return str(page.locator(f"#{place} svg").get_attribute("aria-label"))


def test_how_the_service_is_doing_is_said_and_drawn(browser: Browser, busy: Running, look: str) -> None:
    with opened(browser, busy, look) as page:
        live(page)
        tiles = page.locator("#state")
        for words in ("fake", "ready on", "p50", "p95", "p99", "pairs waiting", "closed", "on"):
            expect(tiles).to_contain_text(words)
        assert said(page, "latency").startswith("Latency: p50 ")
        assert page.locator("#latency .percentile").count() == 3
        assert page.locator("#latency rect.bar").count() == 18
        outcomes = said(page, "outcomes")
        assert "reranked" in outcomes
        assert "skipped" in outcomes
        assert page.locator("#outcomes rect.reranked").count() > 0
        assert page.locator("#outcomes rect.skipped").count() > 0
        assert said(page, "depth").startswith("Depth: ")
        assert page.locator("#depth path.trace").count() > 0
        assert said(page, "queue").startswith("Pairs waiting: ")
        assert said(page, "circuit").startswith("Circuit: closed now")
        picture(page, f"live-{look}")


def test_it_is_drawn_anew_while_it_is_looked_at_and_not_otherwise(page: Page, busy: Running) -> None:
    live(page)
    with page.expect_response("**/api/v1/live"):
        pass
    page.get_by_role("tab", name="Try it").click()
    asked: list[str] = []
    page.wait_for_timeout(100)
    page.on("request", lambda request: asked.append(request.url))
    page.wait_for_timeout(2_300)
    assert asked == []


def test_the_circuit_s_states_are_drawn_as_they_followed_each_other(browser: Browser, tmp_path: Path) -> None:
    with Running(tmp_path, word_overlap, memory=False) as service:
        states: list[CircuitState] = ["closed", "open", "half_open", "closed"]
        for previous, state in pairwise(states):
            service.live.on(CircuitChanged(scorer="fake", previous=previous, state=state, bad=5, calls=10))
        with opened(browser, service) as page:
            live(page)
            drawn = [bar.get_attribute("class") for bar in page.locator("#circuit rect").all()]
            assert drawn == ["closed", "open", "half_open", "closed"]
            assert said(page, "circuit") == "Circuit: closed now, 3 changes in ten minutes"


def test_the_flag_is_set_with_an_admin_key_and_with_no_other(browser: Browser, tmp_path: Path) -> None:
    with Running(tmp_path, word_overlap, memory=False) as service, opened(browser, service) as page:
        live(page)
        expect(page.locator("#flag-now")).to_have_text("on for 100 % now")
        page.get_by_label("shadow").check()
        page.get_by_label("for", exact=True).fill("25")
        page.get_by_label("Admin key").fill(service.memory_key)
        page.get_by_role("button", name="Set the flag").click()
        expect(page.locator("#flag-said")).to_contain_text("scope admin")
        assert service.reranker.status().flag == Flag(Mode.ON)
        page.get_by_label("Admin key").fill(service.admin_key)
        page.get_by_role("button", name="Set the flag").click()
        expect(page.locator("#flag-said")).to_have_text("The flag is shadow for 25 % now.")
        expect(page.locator("#flag-now")).to_have_text("shadow for 25 % now")
        assert service.reranker.status().flag == Flag(Mode.SHADOW, 25)
