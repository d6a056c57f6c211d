"""For CUDA the carried file is turned into fp16 once, as a whole or not at all, and then held to its bytes."""

import hashlib
import importlib.metadata
from dataclasses import replace
from pathlib import Path

import pytest

from rerankd.core.types import Text
from rerankd.errors import BackendError, ConfigError
from rerankd.models import half, registry
from rerankd.models.checkpoint import resolve_checkpoint, verify_checkpoint
from rerankd.models.half import half_checkpoint, half_graph
from rerankd.models.hub import Hub
from rerankd.models.policy import ModelPolicy
from rerankd.models.registry import Carried, KnownFile, KnownModel
from rerankd.models.resolve import resolve, verify
from tests.models.conftest import REPOSITORY
from tests.models.hub_server import FakeHub
from tests.onnx_graphs import write_reranker
from tests.tokenizer_files import write_bert

CHECKPOINT = {"config.json": b'{"num_labels": 1}', "model.safetensors": b"weights", "tokenizer.json": b"{}"}


@pytest.fixture
def carried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package with a tiny int8 model, which the registry knows as `someone/reranker`."""
    folder = tmp_path / "site-packages" / "tiny"
    folder.mkdir(parents=True)
    write_reranker(folder / "model.onnx", dynamic=True)
    write_bert(folder / "tokenizer.json")

    class Package:
        def locate_file(self, name: str) -> Path:
            return folder.parent / name

    real = importlib.metadata.distribution
    monkeypatch.setattr(
        importlib.metadata, "distribution", lambda name: Package() if name == "tiny" else real(name)
    )
    monkeypatch.setattr(registry, "_by_name", lambda: {REPOSITORY: known(folder)})
    return folder


def known(folder: Path) -> KnownModel:
    def seen(name: str) -> KnownFile:
        content = (folder / name).read_bytes()
        return KnownFile(name=name, size=len(content), sha256=hashlib.sha256(content).hexdigest())

    return KnownModel(
        id=REPOSITORY,
        hub=(REPOSITORY,),
        max_tokens=77,
        carried=Carried(
            package="tiny",
            extra="embedded",
            folder="tiny",
            device="cpu",
            precision="int8",
            batch_invariant=False,
            onnx=seen("model.onnx"),
            tokenizer=seen("tokenizer.json"),
        ),
    )


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Stands in for the conversions, which have tests of their own, and keeps which were made."""
    made: list[str] = []

    def graph(onnx: Path, folder: Path) -> None:
        assert onnx.name == "model.onnx"
        made.append("graph")
        write_reranker(folder / "model.onnx", half=True)

    def checkpoint(onnx: Path, folder: Path) -> None:
        made.append("checkpoint")
        for name in ("config.json", "model.safetensors"):
            (folder / name).write_bytes(CHECKPOINT[name])

    monkeypatch.setattr(half, "_write_graph", graph)
    monkeypatch.setattr(half, "_write_half_checkpoint", checkpoint)
    return made


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def nowhere(tmp_path: Path, online: None) -> Hub:
    return Hub(endpoint="http://127.0.0.1:9", cache=tmp_path / "no-cache")


def test_it_is_made_once_and_only_where_it_may_be(carried: Path, written: list[str], data: Path) -> None:
    model = known(carried)
    for form in (half_graph, half_checkpoint):
        assert form(model, data, make=False) is None
        folder = form(model, data, make=True)
        assert folder is not None
        assert (folder / "tokenizer.json").read_bytes() == (carried / "tokenizer.json").read_bytes()
        assert form(model, data, make=True) == folder
        assert form(model, data, make=False) == folder
    assert written == ["graph", "checkpoint"]
    left = sorted(each.name for each in data.rglob("*fp16*"))
    assert left == ["onnx-fp16", "torch-fp16"], "nothing half-made"


def test_a_model_that_no_package_carries_and_a_process_without_a_folder_have_none(
    carried: Path, written: list[str], data: Path
) -> None:
    assert half_graph(replace(known(carried), carried=None), data, make=True) is None
    assert half_graph(known(carried), None, make=True) is None
    assert written == []


def test_a_damaged_carried_file_is_not_made_into_anything(
    carried: Path, written: list[str], data: Path
) -> None:
    model = known(carried)
    (carried / "model.onnx").write_bytes(b"damaged")
    with pytest.raises(BackendError, match=r"model\.onnx: has sha256 .*install that anew"):
        half_graph(model, data, make=True)
    assert written == []


def test_what_cannot_be_written_is_named_and_leaves_nothing(
    carried: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(onnx: Path, folder: Path) -> None:
        (folder / "model.onnx").write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(half, "_write_graph", full)
    with pytest.raises(BackendError, match="onnx-fp16: cannot be written: No space left on device"):
        half_graph(known(carried), data, make=True)
    assert list(data.rglob("model.onnx")) == []


def test_without_the_onnx_package_the_error_says_what_to_install(
    carried: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def absent(onnx: Path, folder: Path) -> None:
        raise ImportError("No module named 'onnx'")

    monkeypatch.setattr(half, "_write_graph", absent)
    with pytest.raises(BackendError, match=r"pip install 'rerankd\[gpu\]'"):
        half_graph(known(carried), data, make=True)


def test_on_cuda_the_hub_s_file_comes_first(
    carried: Path, written: list[str], remote: FakeHub, hub: Hub, data: Path
) -> None:
    files = resolve(ModelPolicy(model=REPOSITORY), data_dir=data, device="cuda", hub=hub)
    assert (files.source, files.precision) == ("hub", "fp32")
    assert written == []


def test_without_the_hub_the_carried_file_is_made_into_fp16_and_stays_that_when_the_hub_is_back(
    carried: Path, written: list[str], nowhere: Hub, remote: FakeHub, hub: Hub, data: Path
) -> None:
    policy = ModelPolicy(model=REPOSITORY)
    files = resolve(policy, data_dir=data, device="cuda", hub=nowhere)
    assert (files.source, files.precision, files.model) == ("made", "fp16", REPOSITORY)
    assert files.batch_invariant
    assert files.max_tokens == 77
    assert resolve(policy, data_dir=data, device="cuda", hub=hub) == files, "a restart changes no score"
    assert written == ["graph"]
    assert {check.status for check in verify(policy, data_dir=data, device="cuda", hub=hub)} == {"trusted"}


def test_a_checkpoint_is_had_in_the_same_order(
    carried: Path, written: list[str], nowhere: Hub, remote: FakeHub, hub: Hub, data: Path, tmp_path: Path
) -> None:
    policy = ModelPolicy(model=REPOSITORY)
    with pytest.raises(BackendError, match="neither in the hub's cache"):
        verify_checkpoint(policy, data_dir=data, hub=nowhere)
    made = resolve_checkpoint(policy, data_dir=data, hub=nowhere)
    assert (made.model, made.revision, made.max_tokens) == (REPOSITORY, "", 77)
    remote.files |= {f"{REPOSITORY}/{name}": content for name, content in CHECKPOINT.items()}
    assert resolve_checkpoint(policy, data_dir=data, hub=hub) == made
    assert resolve_checkpoint(policy, data_dir=tmp_path / "other", hub=hub).revision == remote.commit
    assert written == ["checkpoint"]


def test_a_pinned_revision_is_the_hub_s_and_nothing_else(
    carried: Path, written: list[str], nowhere: Hub, data: Path
) -> None:
    policy = ModelPolicy(model=REPOSITORY, revision="v1")
    with pytest.raises(BackendError):
        resolve(policy, data_dir=data, device="cuda", hub=nowhere)
    with pytest.raises(BackendError):
        resolve_checkpoint(policy, data_dir=data, hub=nowhere)
    assert written == []


def test_on_the_cpu_nothing_is_made(carried: Path, written: list[str], nowhere: Hub, data: Path) -> None:
    assert resolve(ModelPolicy(model=REPOSITORY), data_dir=data, hub=nowhere).source == "package"
    assert written == []


@pytest.mark.parametrize("form", ["graph", "checkpoint"])
def test_one_that_was_damaged_is_refused_and_once_deleted_made_anew(
    carried: Path, written: list[str], nowhere: Hub, data: Path, form: str
) -> None:
    policy = ModelPolicy(model=REPOSITORY)

    def get() -> Path:
        if form == "graph":
            return resolve(policy, data_dir=data, device="cuda", hub=nowhere).tokenizer
        return resolve_checkpoint(policy, data_dir=data, hub=nowhere).tokenizer

    tokenizer = get()
    tokenizer.write_bytes(b"{ }")
    with pytest.raises(BackendError, match=f"delete {tokenizer.parent} to have it made anew"):
        get()
    for path in tokenizer.parent.iterdir():
        path.unlink()
    tokenizer.parent.rmdir()
    assert get() == tokenizer
    assert written == [form, form]


def test_the_int8_file_that_was_asked_for_by_name_is_refused_with_the_reason(
    remote: FakeHub, hub: Hub, data: Path
) -> None:
    policy = ModelPolicy(model=REPOSITORY, file="onnx/model_qint8_avx512_vnni.onnx", device="cuda")
    with pytest.raises(ConfigError, match="int8 file, which is slower and less exact on CUDA than fp16"):
        resolve(policy, data_dir=data, device="cuda", hub=hub)


@pytest.mark.model
def test_the_default_model_on_cuda_is_made_from_the_carried_file(
    embedded: Path, nowhere: Hub, data: Path
) -> None:
    from rerankd.backends.onnx import OnnxScorer
    from rerankd.engine.stop import StopSignal
    from rerankd.models.pairs import PairTokenizer

    policy = ModelPolicy()
    graph = resolve(policy, data_dir=data, device="cuda", hub=nowhere)
    assert (graph.precision, graph.batch_invariant) == ("fp16", True)
    texts = [Text("Paris is the capital of France."), Text("Bananas are yellow.")]
    tokenizer = PairTokenizer(graph.tokenizer, max_tokens=graph.max_tokens)
    pairs = [only for (only,) in tokenizer.encode(Text("capital of France"), texts, max_tokens=512)]
    half_scores = OnnxScorer.load(graph.onnx, model="half").score(pairs, StopSignal())
    full_scores = OnnxScorer.load(embedded / "model.onnx", model="int8").score(pairs, StopSignal())
    assert half_scores == pytest.approx(full_scores, abs=0.6)
    checkpoint = resolve_checkpoint(policy, data_dir=data, hub=nowhere)
    assert {each.name for each in checkpoint.folder.iterdir()} == set(half.CHECKPOINT_FILES)
    assert checkpoint.max_tokens == 512
