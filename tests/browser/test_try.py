"""Try it: both orders with lines between them, scores, outcome, reason, depth, and time by stage."""

from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import Running, opened, picture
from tests.http.service import BEST, QUERY, TEXTS, raising


def ask(page: Page, query: str = QUERY, texts: list[str] = TEXTS) -> None:
    # the samples arrive on their own, and fill the fields once
    expect(page.locator("#sample option")).not_to_have_count(0)
    page.get_by_label("Query").fill(query)
    page.get_by_label("Candidates in retrieval order").fill("\n".join(texts))
    # a busy machine may need longer than 250 ms even for a fake
    page.locator("#budget").press("End")
    page.get_by_role("button", name="Rerank").click()


def shown(page: Page, name: str) -> list[str]:
    return page.get_by_role("list", name=name, exact=True).locator(".words").all_inner_texts()


def test_both_orders_are_shown_with_lines_scores_depth_and_times(
    browser: Browser, running: Running, look: str
) -> None:
    with opened(browser, running, look) as page:
        ask(page)
        expect(page.locator("#verdict .outcome b")).to_have_text("reranked")
        expect(page.locator("#verdict")).to_contain_text("4 of 4")
        expect(page.locator("#verdict")).to_contain_text("no limit")
        assert shown(page, "New order") == [TEXTS[place] for place in BEST]
        lines = page.locator("#order svg.lines path")
        expect(lines).to_have_count(4)
        assert [path.get_attribute("class") for path in lines.all()] == ["up", "same", "down", "same"]
        best = page.get_by_role("list", name="New order").get_by_role("button").first
        expect(best).to_have_accessible_name("1, up 2 from 3, score 0.881: a red apple")
        stages = page.get_by_role("img", name="Time by stage")
        expect(stages).to_be_visible()
        assert all(
            word in str(stages.get_attribute("aria-label")) for word in ("queue", "inference", "order")
        )
        if look != "narrow":  # there the old ranks stand for their texts
            assert shown(page, "Retrieval order") == TEXTS
        picture(page, f"try-{look}")


def test_lines_end_at_the_rows_that_they_join(page: Page) -> None:
    ask(page)
    expect(page.locator("#order svg.lines path.up")).to_have_count(1)
    ends = page.evaluate(
        """() => {
          const find = (what) => document.querySelector(`#order svg.lines${what}`);
          const [lines, up] = [find(""), find(" path.up")];
          const middle = (row) => { const box = row.getBoundingClientRect(); return box.top + box.height / 2; };
          const rows = [...document.querySelectorAll("#order ol")].map((list) => list.children);
          const top = lines.getBoundingClientRect().top;
          const [, start, , end] = up.getAttribute("d").match(/^M0 (\\S+) (C.* )(\\S+)$/);
          return [top + Number(start) - middle(rows[0][2]), top + Number(end) - middle(rows[1][0])];
        }"""
    )
    assert all(abs(off) < 3 for off in ends)


def test_before_a_first_answer_the_retrieval_order_is_there(page: Page) -> None:
    expect(page.locator("#order .ghost").first).to_have_text("Rerank shows it here")
    assert len(shown(page, "Retrieval order")) == 12


def test_a_sample_fills_query_and_candidates(page: Page) -> None:
    page.get_by_label("Sample", exact=True).select_option(index=3)
    chosen = page.locator("#sample option").nth(3).inner_text()
    expect(page.get_by_label("Query")).to_have_value(chosen)
    assert page.get_by_label("Candidates in retrieval order").input_value().count("\n") == 11


def test_the_slider_is_the_budget_and_moving_it_asks_again(page: Page) -> None:
    slider = page.get_by_label("Budget").locator("visible=true")
    expect(slider).to_have_attribute("aria-valuetext", "250 ms")
    ask(page)
    expect(page.locator("#verdict .outcome b")).to_have_text("reranked")
    with page.expect_request("**/api/v1/rerank") as sent:
        slider.press("ArrowLeft")
    assert sent.value.post_data_json["budget_ms"] == 1_000
    expect(slider).to_have_attribute("aria-valuetext", "1000 ms")
    expect(page.locator("#verdict")).to_contain_text("of 1000 ms")
    slider.press("Home")
    expect(page.locator("#budget-field output")).to_have_text("10 ms")


def test_a_row_lights_up_with_its_line_and_opens_to_its_whole_text(page: Page) -> None:
    ask(page, texts=[*TEXTS[:3], "red " + "very long " * 80])
    best = page.get_by_role("list", name="New order").get_by_role("button").first
    best.hover()
    expect(page.locator("#order .hot")).to_have_count(3)
    long = page.locator("#order ol").last.get_by_role("button").filter(has_text="very long")
    before = long.bounding_box()
    long.click()
    expect(long).to_have_attribute("aria-expanded", "true")
    after = long.bounding_box()
    assert before is not None
    assert after is not None
    assert after["height"] > 3 * before["height"]


def test_step_by_step_ends_in_the_same_order(page: Page) -> None:
    page.get_by_label("Query").fill(QUERY)
    page.get_by_label("Candidates in retrieval order").fill("\n".join(TEXTS))
    page.locator("#budget").press("End")
    with page.expect_response("**/api/v1/rerank") as answer:
        page.get_by_role("button", name="Step by step").click()
    assert answer.value.headers["content-type"].startswith("text/event-stream")
    expect(page.locator("#verdict .outcome b")).to_have_text("reranked")
    assert shown(page, "New order")[0] == "a red apple"


def test_a_broken_model_is_shown_as_such_with_the_retrieval_order(browser: Browser, tmp_path: Path) -> None:
    with Running(tmp_path, raising, memory=False) as service, opened(browser, service) as page:
        ask(page)
        expect(page.locator("#verdict .outcome")).to_contain_text("skipped")
        expect(page.locator("#verdict .outcome")).to_contain_text("the model failed")
        expect(page.locator("#order .score").first).to_have_text("not scored")
        assert shown(page, "New order") == TEXTS
        picture(page, "try-broken")


def test_a_refusal_is_said_in_the_service_s_words(page: Page) -> None:
    ask(page, query="q" * 8_001)
    expect(page.get_by_role("status").filter(has_text="query: at most 8000 characters")).to_be_visible()


@pytest.mark.parametrize("label", ["Query", "Candidates in retrieval order"])
def test_nothing_is_sent_without_a_query_and_candidates(page: Page, label: str) -> None:
    sent: list[str] = []
    page.on("request", lambda request: sent.append(request.method))
    page.get_by_label(label).fill("")
    page.get_by_role("button", name="Rerank").click()
    expect(page.get_by_label(label)).to_be_focused()
    assert "POST" not in sent
