"""Memory: add, ask, see which memories moved up; whose they are, and what is said when there are none."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from rerankd.errors import StoreError
from rerankd.testing import word_overlap
from tests.browser.conftest import Running, opened, picture

LONG = (
    "my current address is what I told you last week on the phone, when we came home from a long walk by"
    " the river and it began to rain so hard"
)


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[Running]:
    with Running(tmp_path, word_overlap) as service:
        yield service


def memory(page: Page, service: Running, *, user: str = "ada") -> None:
    page.get_by_role("tab", name="Memory").click()
    page.get_by_label("Key with a memory scope").fill(service.memory_key)
    page.get_by_label("User", exact=True).fill(user)
    page.locator("#memory-budget").press("End")  # a busy machine may need longer than 250 ms


def add(page: Page, *texts: str) -> None:
    page.get_by_label("Memories, one a line").fill("\n".join(texts))
    page.get_by_role("button", name="Add", exact=True).click()
    expect(page.locator("#add-said")).to_contain_text("added")


def ask(page: Page, question: str) -> None:
    page.get_by_label("Question", exact=True).fill(question)
    page.get_by_role("button", name="Ask", exact=True).click()


def test_what_is_added_is_found_and_seen_to_have_moved_up(
    browser: Browser, running: Running, look: str
) -> None:
    with opened(browser, running, look) as page:
        memory(page, running, user=look)
        # the nearest by its vector is the shortest; the reranker counts the words that are in common
        add(
            page,
            "the address is",
            LONG,
            "tea",
        )
        ask(page, "what is my current address")
        expect(page.locator("#memory-verdict .outcome b")).to_have_text("reranked")
        expect(page.locator("#memory-verdict")).to_contain_text("3 of 3")
        expect(page.locator("#recall-said")).to_have_text("1 memory moved up.")
        best = page.get_by_role("list", name="Best").get_by_role("button").first
        expect(best).to_contain_text("my current address")
        expect(best).to_have_accessible_name(f"1, up 1 from 2, score 0.993: {LONG}")
        expect(page.locator("#memory-order path.up")).to_have_count(1)
        expect(page.get_by_role("img", name="Time by stage: embed")).to_be_visible()
        picture(page, f"memory-{look}")


def test_a_sample_conversation_can_be_added_and_asked(browser: Browser, kept: Running) -> None:
    with opened(browser, kept) as page:
        memory(page, kept)
        expect(page.locator("#conversation option")).to_have_count(4)
        page.get_by_label("Or a sample conversation").select_option(index=1)
        page.get_by_role("button", name="Add it").click()
        expect(page.locator("#add-said")).to_contain_text("memories added")
        chip = page.get_by_role("group", name="Sample questions").get_by_role("button").first
        question = chip.inner_text()
        chip.click()
        expect(page.get_by_label("Question", exact=True)).to_have_value(question)
        expect(page.locator("#memory-order ol").last.locator("li")).to_have_count(8)
        expect(page.locator("#memory-verdict")).to_contain_text("of 24")


def test_users_are_apart_and_a_user_can_be_erased(browser: Browser, kept: Running) -> None:
    with opened(browser, kept) as page:
        memory(page, kept)
        add(page, "a red apple")
        page.get_by_label("User", exact=True).fill("bob")
        ask(page, "apple")
        expect(page.locator("#recall-said")).to_have_text("Nothing is known of this user.")
        page.get_by_label("User", exact=True).fill("ada")
        ask(page, "apple")
        expect(page.locator("#memory-order ol").last.locator("li")).to_have_count(1)
        page.get_by_text("Forget this user").click()
        page.get_by_role("button", name="Erase everything of this user").click()
        expect(page.locator("#forget-said")).to_contain_text("1 memory erased. Not final yet")
        ask(page, "apple")
        expect(page.locator("#recall-said")).to_have_text("Nothing is known of this user.")


def test_without_a_key_or_a_database_it_says_what_is_wrong(browser: Browser, kept: Running) -> None:
    with opened(browser, kept) as page:
        memory(page, kept)
        page.get_by_label("Key with a memory scope").fill("")
        ask(page, "apple")
        expect(page.locator("#recall-said")).to_contain_text("memories need an API key")
        page.get_by_label("Key with a memory scope").fill(kept.memory_key)
        kept.store.fails = StoreError("gone")
        ask(page, "apple")
        expect(page.locator("#recall-said")).to_contain_text("the memory's database is not there")


def test_where_no_memory_is_served_the_tab_says_how_to_change_that(browser: Browser, tmp_path: Path) -> None:
    with Running(tmp_path, word_overlap, memory=False) as service, opened(browser, service) as page:
        page.get_by_role("tab", name="Memory").click()
        expect(page.locator("#memory-off")).to_contain_text("rerankd serve --memory")
