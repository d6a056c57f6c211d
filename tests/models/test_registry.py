"""What models.toml says is complete, and names mean what they should."""

import re

import pytest

from rerankd.errors import ConfigError
from rerankd.models.registry import find, known_models, onnx_files

MULTILINGUAL = "cross-encoder/mmarco-mMiniLMv2-L12-H384-v1"


@pytest.mark.parametrize(
    ("name", "id_"),
    [
        ("large", "cross-encoder/ms-marco-MiniLM-L-12-v2"),
        ("cross-encoder/ms-marco-MiniLM-L-12-v2", "cross-encoder/ms-marco-MiniLM-L-12-v2"),
        ("cross-encoder/ms-marco-MiniLM-L12-v2", "cross-encoder/ms-marco-MiniLM-L-12-v2"),
        ("cross-encoder/ms-marco-MiniLM-L-6-v2", "cross-encoder/ms-marco-MiniLM-L-6-v2"),
        ("cross-encoder/ms-marco-TinyBERT-L-2-v2", "cross-encoder/ms-marco-TinyBERT-L-2-v2"),
        ("cross-encoder/mmarco-MiniLMv2-L12-H384-v1", MULTILINGUAL),
        (MULTILINGUAL, MULTILINGUAL),
    ],
)
def test_ids_and_aliases_lead_to_the_model(name, id_):
    assert find(name).id == id_


def test_an_id_that_is_not_listed_has_the_stated_defaults():
    model = find("someone/their-reranker")
    assert (model.id, model.hub) == ("someone/their-reranker", ("someone/their-reranker",))
    assert (model.activation, model.max_tokens, model.licence) == ("sigmoid", 0, "unknown")
    assert model.carried is None


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("lrage", "one of large"),
        ("a/b/c", "hub id"),
        ("https://hub/a", "hub id"),
        ("../a", "hub id"),
    ],
)
def test_a_name_that_cannot_be_a_model_is_refused_with_what_can(name, words):
    with pytest.raises(ConfigError, match=words):
        find(name)


def test_every_listed_model_says_what_is_needed_to_use_it():
    for model in known_models():
        assert model.licence != "unknown"
        assert model.max_tokens > 0
        assert model.hub or model.carried
        assert model.activation in ("sigmoid", "identity")
        if model.carried:
            for file in (model.carried.onnx, model.carried.tokenizer):
                assert re.fullmatch("[0-9a-f]{64}", file.sha256)
                assert file.size > 0


def test_names_are_unique():
    names = [name for model in known_models() for name in {model.id, *model.hub, *model.aliases}]
    assert len(names) == len(set(names))


def test_every_device_and_int8_path_finds_a_file_and_dynamic_int8_is_never_invariant():
    for device, int8 in [("cpu", "amx"), ("cpu", "avx2"), ("cpu", "dotprod"), ("cpu", "none"), ("cuda", "")]:
        suitable = [file for file in onnx_files() if file.suits(device, int8)]
        assert suitable[-1].path == "model.onnx"
        assert any(file.batch_invariant for file in suitable)
        assert not any("int8" in file.path and file.batch_invariant for file in suitable)
    for int8, path in {
        "avx512_vnni": "onnx/model_qint8_avx512_vnni.onnx",
        "avx_vnni": "onnx/model_qint8_avx512_vnni.onnx",
        "avx512": "onnx/model_quint8_avx2.onnx",
        "avx2": "onnx/model_quint8_avx2.onnx",
        "i8mm": "onnx/model_qint8_arm64.onnx",
        "none": "onnx/model_quantized.onnx",
    }.items():
        assert next(file for file in onnx_files() if file.suits("cpu", int8)).path == path
    assert next(file for file in onnx_files() if file.suits("cuda", "")).path == "onnx/model_O4.onnx"
