"""The page as a whole: by keyboard alone, with a screen reader, in both colour schemes, on a small screen."""

import re

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import Running, opened, picture
from tests.http.service import QUERY, TEXTS

TABS = ("Try it", "Live", "Memory")
WORST = """() => {
  const linear = (part) => (part /= 255, part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4);
  const light = (colour) => {
    const [red, green, blue] = colour.match(/[\\d.]+/g).map(Number).map(linear);
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
  };
  const probe = document.body.appendChild(document.createElement("i"));
  const value = (name) => (probe.style.color = `var(--${name})`, getComputedStyle(probe).color);
  const inks = ["ink", "soft", "faint", "accent", "up", "down", "gold"];
  const pairs = inks.flatMap((ink) => [[ink, "card"], [ink, "paper"]]);
  pairs.push(["up", "up-soft"], ["down", "down-soft"], ["accent-ink", "accent"]);
  return pairs.map(([ink, paper]) => {
    const [high, low] = [light(value(ink)), light(value(paper))].sort((one, other) => other - one);
    return [`${ink} on ${paper}`, (high + 0.05) / (low + 0.05)];
  }).sort((one, other) => one[1] - other[1])[0];
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_from_what_is_behind_it(browser: Browser, running: Running, scheme: str) -> None:
    """At least 4.5 to 1, as WCAG 2.2 asks of text of any size (1.4.3)."""
    with opened(browser, running, scheme) as page:
        name, contrast = page.evaluate(WORST)
    assert contrast >= 4.5, name


def test_the_two_schemes_differ(browser: Browser, running: Running) -> None:
    papers = []
    for scheme in ("light", "dark"):
        with opened(browser, running, scheme) as page:
            papers.append(page.evaluate("() => getComputedStyle(document.documentElement).backgroundColor"))
    assert papers[0] != papers[1]


def test_everything_can_be_done_by_keyboard_alone(page: Page, running: Running) -> None:
    expect(page.locator("#sample option")).not_to_have_count(0)
    keyboard = page.keyboard
    keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    keyboard.press("Tab")
    expect(page.get_by_role("tab", name="Try it")).to_be_focused()
    keyboard.press("ArrowRight")
    expect(page.get_by_role("tab", name="Live")).to_be_focused()
    expect(page.get_by_role("tabpanel", name="Live")).to_be_visible()
    expect(page.get_by_role("tabpanel", name="Try it")).to_be_hidden()
    keyboard.press("End")
    expect(page.get_by_role("tabpanel", name="Memory")).to_be_visible()
    keyboard.press("ArrowRight")
    expect(page.get_by_role("tabpanel", name="Try it")).to_be_visible()
    until_focused(page, "#sample")
    keyboard.press("ArrowDown")
    keyboard.press("Tab")
    expect(page.get_by_label("Query")).to_be_focused()
    keyboard.press("ControlOrMeta+a")
    keyboard.type(QUERY)
    keyboard.press("Tab")
    keyboard.press("ControlOrMeta+a")
    keyboard.insert_text("\n".join(TEXTS))
    keyboard.press("Tab")
    expect(page.locator("#budget")).to_be_focused()
    keyboard.press("End")
    keyboard.press("Tab")
    keyboard.press("Enter")
    expect(page.locator("#verdict .outcome b")).to_have_text("reranked")
    until_focused(page, "#order ol:last-of-type button")
    first, second, *_ = page.get_by_role("list", name="New order").get_by_role("button").all()
    expect(first).to_be_focused()
    keyboard.press("ArrowDown")
    expect(second).to_be_focused()
    expect(page.locator("#order li.hot")).to_have_count(2)
    keyboard.press("Enter")
    expect(second).to_have_attribute("aria-expanded", "true")
    picture(page, "keyboard")


def until_focused(page: Page, selector: str) -> None:
    for _ in range(20):
        if page.evaluate("(selector) => document.activeElement.matches(selector)", selector):
            return
        page.keyboard.press("Tab")
    raise AssertionError(f"{selector} is not reached")


@pytest.mark.parametrize("tab", TABS)
def test_every_control_and_picture_has_a_name(page: Page, tab: str) -> None:
    page.get_by_role("tab", name=tab).click()
    if tab == "Live":
        expect(page.locator("#circuit svg")).to_be_visible()
    tree = page.locator("body").aria_snapshot()
    nameless = re.findall(
        r"^\s*- (?:button|textbox|combobox|slider|radio|spinbutton|img|tab|link)(?: \[.*)?:?$", tree, re.M
    )
    assert nameless == []
    assert tree.count("- tabpanel") == 1


@pytest.mark.parametrize("tab", TABS)
def test_nothing_sticks_out_of_a_small_screen(browser: Browser, running: Running, tab: str) -> None:
    with opened(browser, running, "narrow") as page:
        page.set_viewport_size({"width": 340, "height": 700})
        page.get_by_role("tab", name=tab).click()
        if tab == "Live":
            expect(page.locator("#circuit svg")).to_be_visible()
        wide = page.evaluate("() => document.documentElement.scrollWidth")
    assert wide <= 340


def test_the_page_opens_at_the_tab_that_its_address_names(browser: Browser, running: Running) -> None:
    with opened(browser, running, at="/#live") as page:
        expect(page.get_by_role("tabpanel", name="Live")).to_be_visible()


def test_a_key_outlives_a_reload_and_is_sent(page: Page, running: Running) -> None:
    page.locator(".key summary").click()
    page.locator("#key").fill("rk_wrong")
    page.locator("#key").press("Enter")
    expect(page.locator("#pill")).to_have_text("needs a key")
    page.reload()
    expect(page.locator("#pill")).to_have_text("needs a key")
    assert page.locator("#key").input_value() == "rk_wrong"


def test_the_description_of_the_api_lists_every_route(browser: Browser, running: Running, look: str) -> None:
    with opened(browser, running, look, at="/docs") as page:
        entry = page.locator("summary", has_text="/api/v1/memory/query")
        entry.click()
        expect(page.get_by_text("half_life_days")).to_be_visible()
        assert page.locator("details").count() >= 20
        picture(page, f"docs-{look}")
