import pytest

from rerankd.settings import setting_fields

from .conftest import Run


def test_json_lists_every_setting_with_value_source_and_meaning(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RERANK_CIRCUIT_MS", "123")
    rows = {row["name"]: row for row in run("settings", "--json").json}
    assert set(rows) == set(setting_fields())
    assert rows["rerank.budget_ms"]["value"] == 123
    assert rows["rerank.budget_ms"]["source"] == "environment RERANK_CIRCUIT_MS"
    assert all(row["doc"] for row in rows.values())


def test_the_table_can_be_cut_to_a_section_or_to_what_was_changed(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RERANKD_BREAKER_OPEN_MS", "1500")
    section = run("settings", "breaker").out
    assert "breaker.open_ms" in section
    assert "1500 ms" in section
    assert "rerank.budget_ms" not in section
    changed = run("settings", "--changed").out
    assert "breaker.open_ms" in changed
    assert "breaker.window_ms" not in changed


def test_a_key_is_hidden(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RERANKD_API_KEY", "canary-key")
    for done in (run("settings"), run("settings", "--json")):
        assert "canary-key" not in done.out + done.err
        assert "api_key" in done.out


def test_a_variable_that_is_no_setting_is_pointed_out(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RERANKD_RERANK_BUDGTE_MS", "3")
    done = run("settings")
    assert done.status == 0
    assert "did you mean RERANKD_RERANK_BUDGET_MS" in done.err


def test_a_prefix_of_no_setting_is_wrong_use(run: Run) -> None:
    done = run("settings", "nosuch")
    assert (done.status, done.err) == (2, "rerankd: no setting begins with 'nosuch'\n")
