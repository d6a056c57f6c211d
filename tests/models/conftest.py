"""What the tests of models share: a hub on loopback and a model folder."""

from pathlib import Path

import pytest
from huggingface_hub import constants

from rerankd.models.hub import Hub
from tests.embedded_model import embedded
from tests.models.hub_server import FakeHub, serve
from tests.onnx_graphs import write_reranker
from tests.tokenizer_files import write_bert

__all__ = ["embedded"]

REPOSITORY = "someone/reranker"


@pytest.fixture(scope="session")
def made(tmp_path_factory) -> Path:
    """A folder with a tiny model; not to be changed."""
    folder = tmp_path_factory.mktemp("made")
    write_reranker(folder / "model.onnx")
    write_reranker(folder / "other.onnx", types=False)
    write_reranker(folder / "int8.onnx", dynamic=True)
    write_bert(folder / "tokenizer.json")
    return folder


@pytest.fixture
def remote(made):
    """A running hub that holds the tiny model in fp32 and, for VNNI, in int8."""
    files = {
        f"{REPOSITORY}/onnx/model.onnx": (made / "model.onnx").read_bytes(),
        f"{REPOSITORY}/onnx/model_qint8_avx512_vnni.onnx": (made / "int8.onnx").read_bytes(),
        f"{REPOSITORY}/tokenizer.json": (made / "tokenizer.json").read_bytes(),
    }
    with serve(FakeHub(files)) as hub:
        yield hub


@pytest.fixture
def online(monkeypatch) -> None:
    """Lets the client library out; the rest of the suite keeps it in."""
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)


@pytest.fixture
def hub(remote, online, tmp_path) -> Hub:
    """The client of the running hub, with an empty cache."""
    return Hub(endpoint=remote.url, cache=tmp_path / "cache")


@pytest.fixture
def folder(made, tmp_path) -> Path:
    """A model folder of one's own."""
    target = tmp_path / "my-reranker"
    target.mkdir()
    for name in ("model.onnx", "tokenizer.json"):
        (target / name).write_bytes((made / name).read_bytes())
    return target
