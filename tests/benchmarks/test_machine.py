"""What a measurement says of its machine."""

import importlib.metadata

import pytest
from benchmarks.machine import machine, onnxruntime_version


def installed(monkeypatch: pytest.MonkeyPatch, **versions: str) -> None:
    def version(package: str) -> str:
        try:
            return versions[package.replace("-", "_")]
        except KeyError:
            raise importlib.metadata.PackageNotFoundError(package) from None

    monkeypatch.setattr(importlib.metadata, "version", version)


def test_the_version_of_whichever_onnx_runtime_is_there_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    installed(monkeypatch, onnxruntime="1.2.3")
    assert onnxruntime_version() == "1.2.3"
    installed(monkeypatch, onnxruntime_gpu="1.2.4", rerankd="1", tokenizers="2")
    assert machine()["onnxruntime"] == "1.2.4 (onnxruntime-gpu)"


def test_neither_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    installed(monkeypatch)
    with pytest.raises(importlib.metadata.PackageNotFoundError):
        onnxruntime_version()
