"""A model runs on CUDA where it can, on the CPU in any case, and the log says why it is not where it should be."""

import logging
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from rerankd import loading
from rerankd.backends import devices as module
from rerankd.backends.devices import CPU, Device
from rerankd.core.ports import Model
from rerankd.errors import BackendError, ConfigError
from rerankd.loading import Place, Retreat, fetch_at, files_at, load_model, places
from rerankd.models.policy import ModelPolicy
from rerankd.testing import FakeClock, FakeScorer
from tests.embedded_model import embedded
from tests.onnx_graphs import write_reranker
from tests.tokenizer_files import write_bert

__all__ = ["embedded"]

CUDA = Device("cuda")
HERE = Path()


@dataclass
class Lacks:
    """What stands between each library and CUDA; by default nothing."""

    driver: str = ""
    torch: str = ""
    onnx: str = ""


@pytest.fixture
def lacks(monkeypatch: pytest.MonkeyPatch) -> Lacks:
    found = Lacks()
    monkeypatch.setattr(module, "what_driver_lacks", lambda device: found.driver)
    monkeypatch.setattr(module, "what_torch_lacks", lambda device: found.torch)
    monkeypatch.setattr(module, "what_cuda_lacks", lambda device: found.onnx)
    return found


@pytest.fixture
def checkpoint(tmp_path: Path) -> str:
    (tmp_path / "model.safetensors").touch()
    return str(tmp_path)


# --- where ------------------------------------------------------------------------------------------------------


def test_a_known_model_prefers_pytorch_on_cuda_then_onnx_and_the_cpu_last(lacks: Lacks) -> None:
    expected = [Place("torch", CUDA), Place("onnx", CUDA), Place("onnx", CPU)]
    assert places(ModelPolicy()) == expected
    assert str(expected[0]) == "cuda:0 (PyTorch)"


@pytest.mark.parametrize(
    ("missing", "first"),
    [({"torch": "no torch"}, Place("onnx", CUDA)), ({"onnx": "no gpu package"}, Place("torch", CUDA))],
)
def test_either_library_will_do(lacks: Lacks, missing: dict[str, str], first: Place) -> None:
    for name, words in missing.items():
        setattr(lacks, name, words)
    assert places(ModelPolicy(device="cuda")) == [first, Place("onnx", CPU)]


def test_where_neither_can_the_reasons_of_both_are_told(
    lacks: Lacks, caplog: pytest.LogCaptureFixture
) -> None:
    lacks.torch, lacks.onnx = "PyTorch is not installed", "onnxruntime-gpu is not installed"
    with caplog.at_level(logging.WARNING):
        assert places(ModelPolicy(device="cuda")) == [Place("onnx", CPU)]
    assert "PyTorch is not installed; onnxruntime-gpu is not installed" in caplog.text


def test_without_a_driver_no_library_is_even_asked(lacks: Lacks, monkeypatch: pytest.MonkeyPatch) -> None:
    def asked(device: Device) -> str:
        raise AssertionError("importing PyTorch takes seconds")

    monkeypatch.setattr(module, "what_torch_lacks", asked)
    lacks.driver = "no driver"
    assert places(ModelPolicy()) == [Place("onnx", CPU)]


def test_a_folder_of_onnx_and_a_named_file_never_run_on_pytorch(lacks: Lacks, tmp_path: Path) -> None:
    for policy in (ModelPolicy(model=str(tmp_path)), ModelPolicy(file="onnx/model.onnx")):
        assert places(policy) == [Place("onnx", CUDA), Place("onnx", CPU)]


def test_a_checkpoint_runs_on_pytorch_wherever_it_is(lacks: Lacks, checkpoint: str) -> None:
    assert places(ModelPolicy(model=checkpoint)) == [Place("torch", CUDA), Place("torch", CPU)]


def test_the_cpu_that_was_asked_for_is_all_there_is(lacks: Lacks) -> None:
    assert places(ModelPolicy(device="cpu")) == [Place("onnx", CPU)]


# --- loading ----------------------------------------------------------------------------------------------------


@pytest.fixture
def tried(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Where loading was tried; it succeeds on the CPU only."""
    seen: list[str] = []

    def load_at(place: Place, policy: ModelPolicy, data_dir: Path) -> Model:
        seen.append(str(place))
        if place.device != CPU:
            raise BackendError("CUDA error: no kernel image is available")
        return Model(scorer=FakeScorer(), tokenizer=None, max_tokens=512)

    monkeypatch.setattr(loading, "load_at", load_at)
    return seen


def test_what_fails_in_one_place_is_tried_in_the_next_and_the_log_says_why(
    lacks: Lacks, tried: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        load_model(ModelPolicy(), HERE)
    assert tried == ["cuda:0 (PyTorch)", "cuda:0 (ONNX Runtime)", "cpu (ONNX Runtime)"]
    assert "not on cuda:0 (PyTorch): CUDA error: no kernel image" in caplog.text


def test_a_setting_that_is_wrong_is_not_papered_over(
    lacks: Lacks, monkeypatch: pytest.MonkeyPatch, tried: list[str]
) -> None:
    def wrong(place: Place, policy: ModelPolicy, data_dir: Path) -> Model:
        tried.append(str(place))
        raise ConfigError("an int8 file")

    monkeypatch.setattr(loading, "load_at", wrong)
    with pytest.raises(ConfigError, match="int8"):
        load_model(ModelPolicy(device="cuda"), HERE)
    assert len(tried) == 1


def test_what_the_last_place_says_is_the_error(lacks: Lacks, tmp_path: Path, checkpoint: str) -> None:
    with pytest.raises(BackendError, match=r"config\.json: is missing|needs PyTorch"):
        load_model(ModelPolicy(model=checkpoint), tmp_path)


@pytest.mark.model
def test_each_place_has_files_of_its_own(embedded: Path, tmp_path: Path) -> None:
    """Fetched, then looked at and accepted."""
    for place, names in (
        (Place("onnx", CPU), {"model.onnx", "tokenizer.json"}),
        (Place("torch", CUDA), {"config.json", "model.safetensors", "tokenizer.json"}),
    ):
        fetched = fetch_at(place, ModelPolicy(), tmp_path)
        assert fetched.model == "cross-encoder/ms-marco-MiniLM-L-12-v2"
        checks = files_at(place, ModelPolicy(), tmp_path)
        assert {check.name for check in checks} == names
        assert [check.problem for check in checks] == [""] * len(names)
        assert files_at(place, ModelPolicy(), tmp_path, accept=True) == checks


# --- after a loss -----------------------------------------------------------------------------------------------


def on(device: str) -> Model:
    scorer: Any = FakeScorer()
    scorer.traits = type(scorer.traits)(model="m", device=device)
    return Model(scorer=scorer, tokenizer=None, max_tokens=512)


def test_after_one_loss_cuda_is_tried_again_and_after_two_the_cpu_stands_in_for_a_while(
    caplog: pytest.LogCaptureFixture,
) -> None:
    clock, policy = FakeClock(), ModelPolicy(device="cuda")
    retreat = Retreat(clock)
    for _ in range(2):
        assert retreat.choose(policy) == policy
        assert retreat.loaded(on("cuda:0"), policy).stands_in_s is None
        clock.advance(5)
    with caplog.at_level(logging.WARNING):
        assert retreat.choose(policy).device == "cpu"
    assert "CUDA failed 2 times" in caplog.text
    assert retreat.loaded(on("cpu"), policy).stands_in_s == 600
    clock.advance(600)
    assert retreat.choose(policy) == policy, "then CUDA gets another chance"


def test_cuda_that_could_not_be_loaded_again_after_a_loss_is_tried_once_more_later() -> None:
    clock, policy = FakeClock(), ModelPolicy()
    retreat = Retreat(clock)
    retreat.loaded(on("cuda:0"), retreat.choose(policy))
    assert retreat.loaded(on("cpu"), retreat.choose(policy)).stands_in_s == 600


def test_a_model_that_never_was_on_cuda_stands_in_for_nothing() -> None:
    policy = ModelPolicy()
    assert Retreat(FakeClock()).loaded(on("cpu"), policy).stands_in_s is None


# --- the lean form ----------------------------------------------------------------------------------------------


@dataclass
class Loads:
    """Stands for the scorer's class, and keeps in which form it was asked to load."""

    lean: list[bytes | None]
    unfused: list[bool] = field(default_factory=list)
    broken: bool = False

    def load(self, path: Path, *, lean: bytes | None, unfused: bool, **how: Any) -> FakeScorer:
        self.lean.append(lean)
        self.unfused.append(unfused)
        if self.broken and lean is not None:
            raise BackendError("an operator is missing")
        return FakeScorer()


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch) -> Loads:
    found = Loads([])
    monkeypatch.setattr("rerankd.backends.onnx.OnnxScorer", found)
    return found


@pytest.mark.model
def test_the_cpu_runs_the_lean_form_unless_the_setting_says_otherwise(
    embedded: Path, loads: Loads, tmp_path: Path
) -> None:
    load_model(ModelPolicy(device="cpu"), tmp_path)
    load_model(ModelPolicy(device="cpu", lean=False), tmp_path)
    assert [form is not None for form in loads.lean] == [True, False]
    assert loads.unfused == [True, False]


def test_a_graph_that_has_no_lean_form_goes_without_the_slow_fusion_all_the_same(
    loads: Loads, tmp_path: Path
) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    write_reranker(folder / "model.onnx", dynamic=True)
    write_bert(folder / "tokenizer.json")
    load_model(ModelPolicy(model=str(folder), device="cpu"), tmp_path / "data")
    assert loads.lean == [None]
    assert loads.unfused == [True]


@pytest.mark.model
def test_where_the_lean_form_cannot_be_loaded_the_file_is(
    embedded: Path, loads: Loads, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    loads.broken = True
    load_model(ModelPolicy(device="cpu"), tmp_path)
    assert [form is not None for form in loads.lean] == [True, False]
    assert "not in its lean form: an operator is missing" in caplog.text
