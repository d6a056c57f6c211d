"""A checkpoint's files are those of one commit, and keep the bytes that they had at their first use."""

import json
import shutil
from pathlib import Path

import pytest

from rerankd.errors import BackendError, ConfigError
from rerankd.models.checkpoint import is_checkpoint, resolve_checkpoint
from rerankd.models.hub import Hub
from rerankd.models.policy import ModelPolicy
from tests.models.hub_server import FakeHub

REPOSITORY = "someone/reranker"
FILES = {"config.json": b'{"num_labels": 1}', "model.safetensors": b"weights", "tokenizer.json": b"{}"}


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    folder = tmp_path / "my-model"
    folder.mkdir()
    for name, content in FILES.items():
        (folder / name).write_bytes(content)
    return folder


@pytest.fixture
def filled(remote: FakeHub) -> FakeHub:
    """The hub, with a checkpoint beside the ONNX files."""
    remote.files |= {f"{REPOSITORY}/{name}": content for name, content in FILES.items()}
    return remote


def test_a_folder_of_safetensors_is_one_and_with_an_onnx_file_it_is_not(checkpoint: Path) -> None:
    assert is_checkpoint(str(checkpoint))
    assert not is_checkpoint("someone/reranker")
    (checkpoint / "model.onnx").touch()
    assert not is_checkpoint(str(checkpoint))


def test_a_folders_files_are_trusted_at_their_first_use_and_held_to_it(
    checkpoint: Path, tmp_path: Path
) -> None:
    policy, data = ModelPolicy(model=str(checkpoint)), tmp_path / "data"
    found = resolve_checkpoint(policy, data_dir=data)
    assert (found.model, found.folder, found.revision) == ("my-model", checkpoint, "")
    assert found.tokenizer == checkpoint / "tokenizer.json"
    assert resolve_checkpoint(policy, data_dir=data) == found
    (checkpoint / "model.safetensors").write_bytes(b"weightz")
    with pytest.raises(BackendError, match=r"model\.safetensors: has sha256"):
        resolve_checkpoint(policy, data_dir=data)


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_named(checkpoint: Path, tmp_path: Path, name: str) -> None:
    (checkpoint / name).unlink()
    with pytest.raises(BackendError, match=f"{name}: is missing"):
        resolve_checkpoint(ModelPolicy(model=str(checkpoint)), data_dir=tmp_path)


def test_the_hubs_files_come_from_one_commit_and_next_time_from_the_cache(
    filled: FakeHub, hub: Hub, tmp_path: Path
) -> None:
    policy = ModelPolicy(model=REPOSITORY)
    found = resolve_checkpoint(policy, data_dir=tmp_path, hub=hub)
    assert found.revision == filled.commit
    assert {name: (found.folder / name).read_bytes() for name in FILES} == FILES
    filled.status = 500
    assert resolve_checkpoint(policy, data_dir=tmp_path, hub=hub) == found


def test_a_repository_without_a_checkpoint_is_named(remote: FakeHub, hub: Hub, tmp_path: Path) -> None:
    with pytest.raises(BackendError, match=REPOSITORY):
        resolve_checkpoint(ModelPolicy(model=REPOSITORY), data_dir=tmp_path, hub=hub)
    remote.files[f"{REPOSITORY}/config.json"] = FILES["config.json"]
    with pytest.raises(BackendError, match=r"has no model\.safetensors"):
        resolve_checkpoint(ModelPolicy(model=REPOSITORY), data_dir=tmp_path, hub=hub)


def test_nothing_is_downloaded_where_that_is_switched_off(filled: FakeHub, hub: Hub, tmp_path: Path) -> None:
    with pytest.raises(BackendError, match="neither in the hub's cache nor to be had"):
        resolve_checkpoint(ModelPolicy(model=REPOSITORY, download=False), data_dir=tmp_path, hub=hub)
    assert filled.requests == []


def test_a_name_that_cannot_be_a_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError):
        resolve_checkpoint(ModelPolicy(model="no such name"), data_dir=tmp_path)


def test_a_copy_in_another_folder_is_another_model(checkpoint: Path, tmp_path: Path) -> None:
    resolve_checkpoint(ModelPolicy(model=str(checkpoint)), data_dir=tmp_path)
    copy = tmp_path / "copy"
    shutil.copytree(checkpoint, copy)
    (copy / "config.json").write_bytes(b'{"num_labels": 1, "changed": 1}')
    assert resolve_checkpoint(ModelPolicy(model=str(copy)), data_dir=tmp_path).model == "copy"


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({"max_position_embeddings": 128}, 128),
        ({"max_position_embeddings": 514, "model_type": "xlm-roberta"}, 512),
        ({}, 0),
    ],
)
def test_the_window_is_no_larger_than_the_models_positions(
    checkpoint: Path, tmp_path: Path, config: dict[str, object], expected: int
) -> None:
    (checkpoint / "config.json").write_text(json.dumps(config))
    found = resolve_checkpoint(ModelPolicy(model=str(checkpoint)), data_dir=tmp_path)
    assert found.max_tokens == expected
    asked = ModelPolicy(model=str(checkpoint), max_tokens=64)
    assert resolve_checkpoint(asked, data_dir=tmp_path).max_tokens == 64


def test_a_config_that_is_cut_short_is_named(checkpoint: Path, tmp_path: Path) -> None:
    (checkpoint / "config.json").write_text('{"max_pos')
    with pytest.raises(BackendError, match=r"config\.json: is cut short"):
        resolve_checkpoint(ModelPolicy(model=str(checkpoint)), data_dir=tmp_path)
