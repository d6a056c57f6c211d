"""An embedder is found in its package or in a folder, and held to the bytes that are known of it."""

import shutil
from pathlib import Path

import pytest

from rerankd.errors import BackendError, ConfigError
from rerankd.models.embedders import resolve_embedder
from rerankd.models.registry import known_embedders

BGE = "BAAI/bge-small-en-v1.5"


@pytest.mark.model
def test_the_carried_one_is_found_and_verified() -> None:
    files = resolve_embedder(BGE)
    assert (files.id, files.max_tokens) == (BGE, 512)
    assert files.query_prefix == "Represent this sentence for searching relevant passages: "
    assert files.onnx.is_file()
    assert files.tokenizer.is_file()


@pytest.mark.model
def test_a_folder_with_known_bytes_is_the_known_embedder_and_its_tokenizer_is_held_to_it(
    tmp_path: Path,
) -> None:
    carried = resolve_embedder(BGE)
    shutil.copy(carried.onnx, tmp_path / "model.onnx")
    shutil.copy(carried.tokenizer, tmp_path / "tokenizer.json")
    found = resolve_embedder(str(tmp_path))
    assert (found.id, found.query_prefix) == (BGE, carried.query_prefix)
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(BackendError, match=r"tokenizer\.json: has sha256"):
        resolve_embedder(str(tmp_path))


def test_a_folder_with_other_bytes_is_named_after_them(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"one")
    (tmp_path / "tokenizer.json").write_bytes(b"{}")
    one = resolve_embedder(str(tmp_path))
    (tmp_path / "model.onnx").write_bytes(b"two")
    two = resolve_embedder(str(tmp_path))
    assert one.id.startswith(f"{tmp_path.name}@")
    assert one.id != two.id
    assert one.query_prefix == ""


@pytest.mark.parametrize("missing", ["model.onnx", "tokenizer.json"])
def test_a_folder_without_a_file_is_refused_by_its_name(tmp_path: Path, missing: str) -> None:
    for name in {"model.onnx", "tokenizer.json"} - {missing}:
        (tmp_path / name).write_bytes(b"{}")
    with pytest.raises(BackendError, match=missing):
        resolve_embedder(str(tmp_path))


def test_a_name_that_is_not_listed_is_a_wrong_setting() -> None:
    with pytest.raises(ConfigError, match=BGE):
        resolve_embedder("someone/else")


def test_without_the_package_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    import importlib.metadata

    def missing(name: str) -> None:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "distribution", missing)
    with pytest.raises(BackendError, match=r"rerankd\[embedded\]"):
        resolve_embedder(BGE)


def test_what_is_listed_fits_the_store() -> None:
    assert {each.dimensions for each in known_embedders()} == {384}
