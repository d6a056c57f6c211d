"""A constant is read at each look-up; an assigned value holds until the one that it replaced is assigned."""

import unittest.mock
from types import ModuleType
from typing import Any

import pytest

from rerankd.dropin.constants import Constants, full_name, settings_now


class Source:
    """What a reader reads."""

    def __init__(self, value: Any) -> None:
        self.value = value


@pytest.fixture
def source() -> Source:
    return Source("on")


@pytest.fixture
def module(source: Source) -> Any:
    kind = type("Kind", (ModuleType,), Constants({"MODE": lambda: source.value}).properties())
    return kind("host")


def test_a_constant_follows_its_reader(module: Any, source: Source) -> None:
    assert module.MODE == "on"
    source.value = "off"
    assert module.MODE == "off"


def test_an_assigned_value_holds_whatever_the_reader_says(module: Any, source: Source) -> None:
    module.MODE = "shadow"
    source.value = "off"
    assert module.MODE == "shadow"


def test_monkeypatch_leaves_nothing_behind(module: Any, source: Source) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "MODE", "shadow")
        patch.setattr(module, "MODE", "off")
        assert module.MODE == "off"
    assert module.MODE == "on"
    source.value = "off"
    assert module.MODE == "off"


def test_undoing_after_the_environment_has_changed_leaves_nothing_behind(module: Any, source: Source) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "MODE", "shadow")
        source.value = "off"
    assert module.MODE == "off"


def test_mock_patch_leaves_nothing_behind(module: Any, source: Source) -> None:
    with unittest.mock.patch.object(module, "MODE", "shadow"):
        assert module.MODE == "shadow"
    assert module.MODE == "on"
    source.value = "off"
    assert module.MODE == "off"


def test_assigning_what_the_reader_says_assigns_nothing(module: Any, source: Source) -> None:
    module.MODE = "on"
    source.value = "off"
    assert module.MODE == "off"


def test_the_settings_follow_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RERANK_CIRCUIT_MS", "123")
    assert settings_now().rerank.budget_ms == 123
    monkeypatch.setenv("RERANK_CIRCUIT_MS", "124")
    assert settings_now().rerank.budget_ms == 124


def test_one_wrong_variable_does_not_cost_the_others(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("RERANK_CIRCUIT_MS", "123")
    monkeypatch.setenv("RERANK_BATCH_SIZE", "many")
    monkeypatch.setenv("RERANKD_BREAKER_WINDOW_CALLS", "-1")
    assert settings_now().rerank.budget_ms == 123
    assert settings_now().batch.max_pairs == 32
    assert settings_now().breaker.window_calls == 20
    assert caplog.text.count("is ignored") == 2


@pytest.mark.parametrize("text", ["not toml", "[rerank]\nbudget_ms = 'soon'\n"])
def test_a_settings_file_that_makes_no_sense_does_not_cost_the_variables(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any, text: str
) -> None:
    path = tmp_path / "rerankd.toml"
    path.write_text(text)
    monkeypatch.setenv("RERANKD_CONFIG", str(path))
    monkeypatch.setenv("RERANK_CIRCUIT_MS", "123")
    assert settings_now().rerank.budget_ms == 123


def test_an_alias_is_named_in_full_and_a_folder_as_it_is() -> None:
    assert full_name("large") == "cross-encoder/ms-marco-MiniLM-L-12-v2"
    assert full_name("./a folder") == "./a folder"
