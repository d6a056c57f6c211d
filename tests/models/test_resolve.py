"""Only files that are what they should be are given out; what is wrong is named, and how to accept it."""

import logging
import shutil

import pytest

from rerankd.errors import BackendError, ConfigError
from rerankd.models import registry
from rerankd.models.digest import sha256_of, short
from rerankd.models.lock import LOCK_NAME, TrustLock
from rerankd.models.policy import ModelPolicy
from rerankd.models.registry import Carried, KnownFile, KnownModel
from rerankd.models.resolve import accept, resolve, verify
from tests.models.conftest import REPOSITORY
from tests.onnx_graphs import save_external, write_reranker
from tests.tokenizer_files import write_bert


@pytest.fixture
def data(tmp_path):
    return tmp_path / "data"


@pytest.fixture
def policy(folder) -> ModelPolicy:
    return ModelPolicy(model=str(folder))


@pytest.fixture
def known(made, monkeypatch) -> KnownModel:
    """A registry in which the tiny model is listed as carried by a package."""
    files = {
        part: KnownFile(name=name, size=(made / name).stat().st_size, sha256=sha256_of(made / name))
        for part, name in (("onnx", "model.onnx"), ("tokenizer", "tokenizer.json"))
    }
    model = KnownModel(
        id="known/model",
        hub=("known/model",),
        licence="Apache-2.0",
        max_tokens=128,
        activation="identity",
        carried=Carried(
            package="pytest",
            extra="dev",
            folder="",
            device="cpu",
            precision="fp32",
            batch_invariant=False,
            **files,
        ),
    )
    monkeypatch.setattr("rerankd.models.resolve.known_models", lambda: (model,))
    monkeypatch.setattr(registry, "_by_name", lambda: {"known/model": model})
    return model


def flip(path) -> None:
    """Change one bit of a weight."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))


# --- what a model is known as -----------------------------------------------------------------------------


def test_a_folder_gives_its_files_and_what_the_graph_says_of_itself(policy, folder, data):
    files = resolve(policy, data_dir=data)
    assert (files.onnx, files.tokenizer) == (folder / "model.onnx", folder / "tokenizer.json")
    assert (files.model, files.source, files.revision) == ("my-reranker", "folder", "")
    assert (files.precision, files.batch_invariant) == ("fp32", True)
    assert (files.activation, files.max_tokens, files.licence) == ("sigmoid", 0, "unknown")


def test_a_graph_that_quantises_by_the_run_is_not_batch_invariant_whatever_its_name(policy, folder, data):
    write_reranker(folder / "model.onnx", dynamic=True)
    files = resolve(policy, data_dir=data)
    assert (files.precision, files.batch_invariant) == ("int8", False)


def test_a_folder_with_the_bytes_of_a_known_model_is_that_model(policy, known, data):
    files = resolve(policy, data_dir=data)
    assert (files.activation, files.max_tokens, files.licence) == ("identity", 128, "Apache-2.0")
    assert not files.batch_invariant, "the registry says so of this file"
    assert files.model == "my-reranker"


@pytest.mark.parametrize(("wanted", "given"), [(0, 128), (64, 64), (4000, 128)])
def test_the_window_is_the_models_or_a_shorter_one(folder, known, data, wanted, given):
    policy = ModelPolicy(model=str(folder), max_tokens=wanted)
    assert resolve(policy, data_dir=data).max_tokens == given


def test_the_window_of_an_unknown_model_can_be_said(folder, data):
    assert resolve(ModelPolicy(model=str(folder), max_tokens=1024), data_dir=data).max_tokens == 1024


# --- damage -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["model.onnx", "tokenizer.json"])
@pytest.mark.parametrize("length", [0, 200])
def test_a_file_cut_short_is_named_and_never_trusted(policy, folder, data, name, length):
    whole = (folder / name).read_bytes()
    (folder / name).write_bytes(whole[:length])
    with pytest.raises(BackendError, match=name.replace(".", r"\.")):
        resolve(policy, data_dir=data)
    (folder / name).write_bytes(whole)
    resolve(policy, data_dir=data)


@pytest.mark.parametrize("name", ["model.onnx", "tokenizer.json"])
def test_a_file_that_changed_since_its_first_use_is_named_with_both_digests_and_the_way_out(
    policy, folder, data, name
):
    resolve(policy, data_dir=data)
    before = sha256_of(folder / name)
    flip(folder / name)
    with pytest.raises(BackendError) as caught:
        resolve(policy, data_dir=data)
    message = str(caught.value)
    assert str(folder / name) in message
    assert short(before) in message
    assert short(sha256_of(folder / name)) in message
    assert f"rerankd models verify --accept {folder}" in message


def test_an_accepted_change_is_trusted_from_then_on(policy, folder, data):
    resolve(policy, data_dir=data)
    write_reranker(folder / "model.onnx", types=False)
    assert [check.status for check in verify(policy, data_dir=data)] == ["changed", "trusted"]
    assert [check.problem for check in accept(policy, data_dir=data)] == ["", ""]
    resolve(policy, data_dir=data)


def test_what_cannot_be_loaded_cannot_be_accepted(policy, folder, data):
    (folder / "model.onnx").write_bytes(b"nonsense")
    with pytest.raises(BackendError, match=r"model\.onnx"):
        accept(policy, data_dir=data)
    assert not (data / LOCK_NAME).exists()


def test_a_damaged_copy_of_a_known_model_is_seen_at_its_first_use(policy, folder, known, data):
    flip(folder / "model.onnx")
    with pytest.raises(BackendError, match=r"model\.onnx.*damaged copy of known/model.*--accept"):
        resolve(policy, data_dir=data)
    accept(policy, data_dir=data)
    resolve(policy, data_dir=data)


def test_a_known_graph_with_another_tokenizer_is_refused(policy, folder, known, data):
    flip(folder / "tokenizer.json")
    with pytest.raises(BackendError, match=r"tokenizer\.json"):
        resolve(policy, data_dir=data)


def test_weights_outside_the_file_are_refused(policy, folder, made, data):
    save_external(folder / "model.onnx", made / "model.onnx")
    with pytest.raises(BackendError, match=r"model\.onnx.*outside"):
        resolve(policy, data_dir=data)


# --- trust ------------------------------------------------------------------------------------------------


def test_the_first_use_is_trust_and_the_second_finds_it(policy, folder, data, caplog):
    with caplog.at_level(logging.INFO):
        resolve(policy, data_dir=data)
        resolve(policy, data_dir=data)
    assert caplog.text.count("trusted on first use") == 1
    assert set(TrustLock(data).trusted(str(folder)).sha256) == {"model.onnx", "tokenizer.json"}


def test_verify_trusts_nothing(policy, data):
    assert [check.status for check in verify(policy, data_dir=data)] == ["new", "new"]
    assert not data.exists()


def test_a_folder_that_cannot_be_written_does_not_keep_a_model_from_loading(policy, tmp_path, caplog):
    data = tmp_path / "data"
    data.write_text("a file where the folder should be")
    with caplog.at_level(logging.WARNING):
        assert resolve(policy, data_dir=data / "deeper").model == "my-reranker"
    assert LOCK_NAME in caplog.text


# --- packages ---------------------------------------------------------------------------------------------


@pytest.fixture
def package(made, tmp_path, monkeypatch, known):
    root = tmp_path / "site-packages"
    root.mkdir()
    for name in ("model.onnx", "tokenizer.json"):
        shutil.copy(made / name, root / name)

    class Package:
        def locate_file(self, path):
            return root / path

    monkeypatch.setattr("importlib.metadata.distribution", lambda name: Package())
    return root


def test_a_carried_model_is_held_to_its_known_digests_and_not_written_to_the_lock(package, data):
    files = resolve(ModelPolicy(model="known/model"), data_dir=data)
    assert (files.source, files.model, files.max_tokens) == ("package", "known/model", 128)
    assert not data.exists()
    assert [c.status for c in verify(ModelPolicy(model="known/model"), data_dir=data)] == ["known", "known"]


@pytest.mark.parametrize("name", ["model.onnx", "tokenizer.json"])
def test_a_carried_file_that_changed_cannot_be_accepted_only_installed_anew(package, data, name):
    flip(package / name)
    policy = ModelPolicy(model="known/model")
    with pytest.raises(BackendError, match=rf"{name}.*install that anew"):
        resolve(policy, data_dir=data)
    with pytest.raises(BackendError, match=rf"{name}.*install that anew"):
        accept(policy, data_dir=data)


def test_accepting_an_unchanged_carried_model_changes_nothing(package, data):
    accept(ModelPolicy(model="known/model"), data_dir=data)
    assert not data.exists()


# --- the hub ----------------------------------------------------------------------------------------------


def test_a_downloaded_model_is_pinned_to_the_commit_of_its_first_use(remote, hub, data):
    policy = ModelPolicy(model=REPOSITORY)
    first = resolve(policy, data_dir=data, hub=hub)
    assert (first.source, first.revision) == ("hub", remote.commit)
    asked = list(remote.requests)
    remote.commit = "b" * 40
    again = resolve(policy, data_dir=data, hub=hub)
    assert (again.source, again.revision, again.onnx) == ("cache", first.revision, first.onnx)
    assert remote.requests == asked


def test_when_the_cache_is_gone_the_pinned_commit_is_fetched_and_must_be_the_same(remote, hub, data):
    policy = ModelPolicy(model=REPOSITORY)
    resolve(policy, data_dir=data, hub=hub)
    shutil.rmtree(hub.cache)
    assert resolve(policy, data_dir=data, hub=hub).source == "hub"
    assert any(f"/resolve/{remote.commit}/" in path for path in remote.gets())
    shutil.rmtree(hub.cache)
    remote.files[f"{REPOSITORY}/tokenizer.json"] += b"\n"
    with pytest.raises(BackendError, match=rf"tokenizer\.json.*--accept {REPOSITORY}"):
        resolve(policy, data_dir=data, hub=hub)
    accept(policy, data_dir=data, hub=hub)
    resolve(policy, data_dir=data, hub=hub)


def test_a_revision_that_was_asked_for_is_trusted_apart(remote, hub, data):
    resolve(ModelPolicy(model=REPOSITORY, revision=remote.commit), data_dir=data, hub=hub)
    assert TrustLock(data).trusted(REPOSITORY) is None
    assert TrustLock(data).trusted(f"{REPOSITORY}@{remote.commit}").revision == remote.commit


def test_the_int8_file_and_the_fp32_file_are_both_trusted(remote, hub, data):
    policy = ModelPolicy(model=REPOSITORY)
    assert resolve(policy, data_dir=data, int8="amx", hub=hub).precision == "int8"
    assert resolve(policy, data_dir=data, int8="avx2", hub=hub).precision == "fp32"
    assert len(TrustLock(data).trusted(REPOSITORY).sha256) == 3


@pytest.mark.parametrize("damage", [flip, lambda path: path.write_bytes(path.read_bytes()[:-9])])
def test_a_cached_file_that_differs_from_the_hubs_checksum_is_named_and_cannot_be_accepted(
    remote, hub, data, damage
):
    policy = ModelPolicy(model=REPOSITORY)
    damage(resolve(policy, data_dir=data, hub=hub).onnx.resolve())
    (data / LOCK_NAME).unlink()
    with pytest.raises(BackendError, match=r"onnx/model\.onnx.*hub's checksum"):
        resolve(policy, data_dir=data, hub=hub)
    with pytest.raises(BackendError, match="hub's checksum"):
        accept(policy, data_dir=data, hub=hub)


def test_verify_downloads_nothing(remote, hub, data):
    with pytest.raises(BackendError, match="not in the hub's cache"):
        verify(ModelPolicy(model=REPOSITORY), data_dir=data, hub=hub)
    assert remote.requests == []


def test_a_model_that_may_not_be_downloaded_is_not(remote, hub, data):
    with pytest.raises(BackendError, match="downloads are switched off"):
        resolve(ModelPolicy(model=REPOSITORY, download=False), data_dir=data, hub=hub)
    assert remote.requests == []


def test_a_model_that_appears_later_is_found_later(remote, hub, data):
    policy = ModelPolicy(model=REPOSITORY)
    remote.status = 503
    with pytest.raises(BackendError, match=REPOSITORY):
        resolve(policy, data_dir=data, hub=hub)
    remote.status = 0
    assert resolve(policy, data_dir=data, hub=hub).source == "hub"


# --- CUDA -------------------------------------------------------------------------------------------------


def test_an_int8_file_is_refused_on_cuda_as_a_wrong_setting_only_where_both_were_asked_for(folder, data):
    write_reranker(folder / "model.onnx", dynamic=True)
    with pytest.raises(ConfigError, match=r"model\.onnx.*int8.*DEVICE=cpu"):
        resolve(ModelPolicy(model=str(folder), device="cuda:0"), data_dir=data, device="cuda")
    with pytest.raises(BackendError, match=r"model\.onnx.*int8"):
        resolve(ModelPolicy(model=str(folder)), data_dir=data, device="cuda")


def test_an_fp32_file_runs_on_cuda(policy, data):
    assert resolve(policy, data_dir=data, device="cuda").precision == "fp32"


# --- the model that comes with the embedded extra ---------------------------------------------------------


@pytest.mark.model
def test_the_embedded_model_is_found_verified_and_known(embedded, data):
    files = resolve(ModelPolicy(), data_dir=data)
    assert files.model == "cross-encoder/ms-marco-MiniLM-L-12-v2"
    assert (files.source, files.precision, files.batch_invariant) == ("package", "int8", False)
    assert (files.activation, files.max_tokens, files.licence) == ("sigmoid", 512, "Apache-2.0")


@pytest.mark.model
def test_a_damaged_copy_of_the_embedded_model_is_seen_at_its_first_use(embedded, tmp_path, data):
    copy = tmp_path / "copy"
    shutil.copytree(embedded, copy)
    assert resolve(ModelPolicy(model=str(copy)), data_dir=data).max_tokens == 512
    (data / LOCK_NAME).unlink()
    flip(copy / "model.onnx")
    with pytest.raises(BackendError, match=r"copy/model\.onnx.*damaged copy of cross-encoder"):
        resolve(ModelPolicy(model=str(copy)), data_dir=data)
    write_bert(copy / "tokenizer.json")
    shutil.copy(embedded / "model.onnx", copy / "model.onnx")
    with pytest.raises(BackendError, match=r"copy/tokenizer\.json"):
        resolve(ModelPolicy(model=str(copy)), data_dir=data)
