"""What the settings say is what is built, and nothing is loaded before it is asked for."""

import logging
from pathlib import Path
from typing import Any

import pytest

import rerankd
from rerankd import wiring
from rerankd.core.events import Event, Settled
from rerankd.core.flag import Flag, Mode
from rerankd.core.ports import Model
from rerankd.core.types import Outcome, Reason
from rerankd.errors import BackendError, ConfigError
from rerankd.settings import ConfigWarning, Settings
from rerankd.testing import FakeScorer, RecordingObserver

pytestmark = pytest.mark.threads


@pytest.fixture
def loaded(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Stands in for loading, and keeps the policies that it was asked with."""
    policies: list[Any] = []

    def load(policy: Any, data_dir: Path) -> Model:
        policies.append(policy)
        return Model(scorer=FakeScorer(), tokenizer=None, max_tokens=512)

    monkeypatch.setattr(wiring, "load_model", load)
    return policies


def test_building_loads_nothing(loaded: list[Any]) -> None:
    wiring.build(Settings.load()).close()
    assert loaded == []


def test_the_policies_of_the_settings_are_in_force(loaded: list[Any]) -> None:
    settings = Settings.load({"RERANKD_RERANK_BUDGET_MS": "77", "RERANK_ENABLED": "false"})
    with wiring.build(settings) as reranker:
        assert reranker.policy.budget_ms == 77
        ranking = reranker.rerank("why", ["one", "two"])
    assert ranking.reason is Reason.DISABLED


def test_open_takes_the_model_and_the_device_of_the_call_before_the_environments(
    loaded: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CROSS_ENCODER_MODEL", "somebody/else")
    with rerankd.open("this/one", device="cpu") as reranker:
        assert reranker.status().model == "fake"
    assert [(policy.model, policy.device) for policy in loaded] == [("this/one", "cpu")]


def test_until_it_is_loaded_the_model_is_called_by_the_name_that_was_asked_for(loaded: list[Any]) -> None:
    reranker = rerankd.open("this/one")
    assert reranker.status().model == "this/one"
    reranker.close()


def test_an_unknown_setting_is_warned_of_and_does_not_stop_a_library(
    loaded: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RERANKD_RERANK_BUDGET", "77")
    with pytest.warns(ConfigWarning, match="RERANKD_RERANK_BUDGET_MS"):
        rerankd.open().close()


def test_a_wrong_setting_is_named_before_anything_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RERANKD_RERANK_BUDGET_MS", "soon")
    with pytest.raises(ConfigError, match="RERANKD_RERANK_BUDGET_MS"):
        rerankd.open()


def test_every_observer_hears_and_one_that_can_read_gauges_is_given_the_status(loaded: list[Any]) -> None:
    class Gauges(RecordingObserver):
        def bind(self, status: Any) -> None:
            self.status = status

    gauges, other = Gauges(), RecordingObserver()
    with wiring.build(Settings.load(), observers=[gauges, other]) as reranker:
        reranker.rerank("why", ["one"], budget_ms=None)
        assert gauges.status().model_state == "ready"
    for observer in (gauges, other):
        assert [event.outcome for event in observer.of(Settled)] == [Outcome.RERANKED]


@pytest.mark.parametrize(
    ("setting", "asked", "isolated"),
    [("false", None, False), ("true", None, True), ("false", True, True), ("true", False, False)],
)
def test_a_process_of_its_own_is_what_the_setting_says_unless_the_builder_says_otherwise(
    loaded: list[Any], monkeypatch: pytest.MonkeyPatch, setting: str, asked: bool | None, isolated: bool
) -> None:
    from rerankd.backends import isolated as module

    specs: list[Any] = []

    def load(loader: str, spec: Any, *, clock: Any, policy: Any) -> Model:
        specs.append((loader, spec["model"]["model"], policy.nice))
        return Model(scorer=FakeScorer(), tokenizer=None, max_tokens=512)

    monkeypatch.setattr(module, "load_isolated", load)
    settings = Settings.load(
        {
            "RERANKD_MODEL_ISOLATED": setting,
            "CROSS_ENCODER_MODEL": "this/one",
            "RERANKD_ISOLATION_NICE": "3",
        }
    )
    with wiring.build(settings, isolated=asked) as reranker:
        assert reranker.rerank("why", ["one"], budget_ms=None).outcome is Outcome.RERANKED
    assert specs == ([("rerankd.wiring:load_for_isolation", "this/one", 3)] if isolated else [])
    assert bool(loaded) is not isolated


def test_a_url_makes_the_scorer_a_server_s_and_nothing_is_loaded_here(loaded: list[Any]) -> None:
    settings = Settings.load(
        {
            "RERANKD_REMOTE_URL": "http://127.0.0.1:9",
            "RERANKD_REMOTE_DIALECT": "tei",
            "RERANKD_REMOTE_KEY": "canary",
        }
    )
    with wiring.build(settings) as reranker:
        status = reranker.status()
        assert (status.model, status.device) == ("tei@127.0.0.1", "remote")
        assert reranker.rerank("why", ["one"], budget_ms=5_000).reason is Reason.MODEL_ERROR
    assert loaded == []


def test_a_model_of_our_own_takes_over_where_a_share_is_set(loaded: list[Any]) -> None:
    environ = {
        "RERANKD_REMOTE_URL": "http://127.0.0.1:9",
        "RERANKD_REMOTE_TAKEOVER": "0.5",
        "RERANKD_REMOTE_TAKEOVER_MODEL": "little",
    }
    with wiring.build(Settings.load(environ)) as reranker:
        ranking = reranker.rerank("one", ["two", "one"], budget_ms=5_000)
    assert (ranking.outcome, ranking.model) == (Outcome.RERANKED, "rerankd@127.0.0.1|fake")
    assert [each.text for each in ranking] == ["one", "two"]
    assert [policy.model for policy in loaded] == ["little"]


def test_where_nothing_can_take_over_the_server_still_serves(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def missing(policy: Any, data_dir: Path) -> Model:
        raise BackendError("model.onnx: is missing")

    monkeypatch.setattr(wiring, "load_model", missing)
    environ = {"RERANKD_REMOTE_URL": "http://127.0.0.1:9", "RERANKD_REMOTE_TAKEOVER": "0.5"}
    with caplog.at_level(logging.WARNING), wiring.build(Settings.load(environ)) as reranker:
        assert reranker.status().model_state == "ready"
    assert "nothing can take over" in caplog.text


def test_the_flag_begins_as_the_settings_say(loaded: list[Any]) -> None:
    with wiring.build(Settings.load({"RERANKD_FLAG_MODE": "shadow"})) as reranker:
        assert reranker.status().flag == Flag(Mode.SHADOW)


def test_a_model_that_cannot_be_had_is_an_error_only_where_it_is_required(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with rerankd.open(str(tmp_path)) as reranker:
        ranking = reranker.rerank("why", ["one", "two"])
    assert ranking.reason is Reason.MODEL_UNAVAILABLE
    with (
        caplog.at_level(logging.CRITICAL),
        pytest.raises(BackendError),
        rerankd.open(str(tmp_path), require_model=True),
    ):
        pass


def test_an_observer_that_raises_harms_nobody(loaded: list[Any], caplog: pytest.LogCaptureFixture) -> None:
    class Broken:
        def on(self, event: Event) -> None:
            raise RuntimeError("a text")

    with caplog.at_level(logging.WARNING), wiring.build(Settings.load(), observers=[Broken()]) as reranker:
        ranking = reranker.rerank("why", ["one"], budget_ms=None)
    assert ranking.outcome is Outcome.RERANKED
    assert "Broken" in caplog.text
    assert "a text" not in caplog.text
