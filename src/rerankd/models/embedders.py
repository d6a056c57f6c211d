"""Where an embedder's files are: carried by an installed package, or in a folder."""

from dataclasses import dataclass
from pathlib import Path

from rerankd.errors import BackendError, ConfigError
from rerankd.models.digest import sha256_of, short
from rerankd.models.locate import TOKENIZER, folder_of
from rerankd.models.registry import KnownEmbedder, KnownFile, known_embedders

__all__ = ["EmbedderFiles", "resolve_embedder"]

_GRAPH = "model.onnx"
_WINDOW = 512


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbedderFiles:
    """An embedder's files, verified where their bytes are known."""

    id: str
    """What made a vector, as the store keeps it: vectors of different ids are never compared."""
    onnx: Path
    tokenizer: Path
    max_tokens: int
    query_prefix: str


def resolve_embedder(name: str) -> EmbedderFiles:
    """The files of a listed embedder, or of a folder with `model.onnx` and `tokenizer.json`.

    A folder whose graph is not known by its bytes is taken to need no prefix, and its id has the bytes' digest
    in it. Raises `BackendError` naming what is missing or changed, `ConfigError` for a name that is neither.
    """
    folder = folder_of(name)
    if folder is not None:
        return _in_folder(folder)
    known = next((each for each in known_embedders() if each.id == name), None)
    if known is None:
        listed = ", ".join(each.id for each in known_embedders())
        raise ConfigError(f"memory.embedder: must be {listed} or a folder, got {name!r}")
    return _in_package(known)


def _in_folder(folder: Path) -> EmbedderFiles:
    for name in (_GRAPH, TOKENIZER):
        if not (folder / name).is_file():
            raise BackendError(f"{folder / name}: is missing")
    digest = sha256_of(folder / _GRAPH)
    known = next((each for each in known_embedders() if each.carried.onnx.sha256 == digest), None)
    if known is not None:
        _verify(folder / TOKENIZER, known.carried.tokenizer)
    return EmbedderFiles(
        id=known.id if known else f"{folder.resolve().name}@{digest[:12]}",
        onnx=folder / _GRAPH,
        tokenizer=folder / TOKENIZER,
        max_tokens=known.max_tokens if known else _WINDOW,
        query_prefix=known.query_prefix if known else "",
    )


def _in_package(known: KnownEmbedder) -> EmbedderFiles:
    from importlib.metadata import PackageNotFoundError, distribution  # slow to import

    carried = known.carried
    how = f"pip install 'rerankd[{carried.extra}]'"
    try:
        folder = Path(str(distribution(carried.package).locate_file(carried.folder)))
    except PackageNotFoundError:
        raise BackendError(
            f"{known.id}: not found: package {carried.package} is not installed ({how})"
        ) from None
    for each in (carried.onnx, carried.tokenizer):
        if not (folder / each.name).is_file():
            raise BackendError(f"{folder / each.name}: is missing ({how})")
        _verify(folder / each.name, each)
    return EmbedderFiles(
        id=known.id,
        onnx=folder / carried.onnx.name,
        tokenizer=folder / carried.tokenizer.name,
        max_tokens=known.max_tokens,
        query_prefix=known.query_prefix,
    )


def _verify(path: Path, known: KnownFile) -> None:
    seen = sha256_of(path)
    if seen != known.sha256:
        raise BackendError(f"{path}: has sha256 {short(seen)}, not {short(known.sha256)}")
