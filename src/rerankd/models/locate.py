"""Where a model's files are: in a folder, else an installed package, else the hub's cache, else the hub."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from rerankd.errors import BackendError
from rerankd.models.hub import Hub, HubFile
from rerankd.models.policy import ModelPolicy
from rerankd.models.registry import Carried, DeviceKind, KnownModel, OnnxFile, find, onnx_files

__all__ = ["TOKENIZER", "Found", "FoundFile", "Source", "folder_of", "locate", "name_of"]

Source = Literal["folder", "package", "cache", "hub", "made"]
"""`made`: here, from what a package carries."""

TOKENIZER = "tokenizer.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundFile:
    """A file, not yet verified."""

    name: str
    """Inside the model: `onnx/model.onnx`."""
    path: Path
    checksum: str = ""
    """What the hub says of it; empty: nothing is known."""
    sha256: str = ""
    """What it must be, because its bytes were seen before; empty: not known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A model's files, not yet verified."""

    name: str
    """As answers and metrics name the model."""
    key: str
    """As the lock file names it."""
    source: Source
    known: KnownModel | None
    """What is known about it; None for a folder, which only its bytes can identify."""
    onnx: FoundFile
    tokenizer: FoundFile
    batch_invariant: bool = True
    """Whether what is known about the file lets it be; its graph has the last word."""
    revision: str = ""

    @property
    def files(self) -> tuple[FoundFile, FoundFile]:
        return self.onnx, self.tokenizer


def folder_of(model: str) -> Path | None:
    """The folder that a model's name stands for; None for an id or alias."""
    path = Path(model).expanduser()
    if path.is_dir():
        return path
    looks_like_one = model.startswith((".", "~", "/", os.sep)) or path.is_absolute()
    return path if looks_like_one else None


def name_of(model: str) -> str:
    """How answers and metrics name a model, known before it is found: a folder's own name, else the hub id.

    Raises `ConfigError` for a name that cannot be a model.
    """
    folder = folder_of(model)
    return find(model).id if folder is None else folder.resolve().name


def locate(
    policy: ModelPolicy,
    *,
    device: DeviceKind = "cpu",
    int8: str = "",
    pinned: str = "",
    hub: Hub | None = None,
    download: bool | None = None,
) -> Found:
    """Find the files that suit the device.

    `int8`: the CPU's int8 path; `pinned`: the hub's commit that was trusted before; `download` overrides the
    policy's. Raises `BackendError` naming what is missing and where it was looked for, `ConfigError` for a
    name that cannot be a model.
    """
    folder = folder_of(policy.model)
    suitable = [each for each in onnx_files() if each.suits(device, int8)]
    if folder is not None:
        return _in_folder(folder, policy.file, suitable)
    known = find(policy.model)
    tried: list[str] = []
    if known.carried and known.carried.device == device and not policy.file and not policy.revision:
        found = _in_package(known, known.carried, tried)
        if found is not None:
            return found
    if policy.file:
        suitable = [each for each in onnx_files() if each.path == policy.file] or [
            OnnxFile(path=policy.file, batch_invariant=True)
        ]
    where = _InHub(
        hub=hub or Hub(),
        known=known,
        files=suitable,
        key=f"{known.id}@{policy.revision}" if policy.revision else known.id,
        revision=pinned or policy.revision or "main",
    )
    found = where.cached()
    if found is None and (policy.download if download is None else download):
        found = where.fetched()
        names = ", ".join(each.path for each in suitable)
        tried.append(f"the hub has none of {names} with a {TOKENIZER}" if known.hub else "no hub has it")
    elif found is None:
        tried.append("not in the hub's cache, and downloads are switched off")
    if found is None:
        raise BackendError(f"{known.id}: not found: {'; '.join(tried)}")
    return found


def _in_folder(folder: Path, wanted: str, suitable: list[OnnxFile]) -> Found:
    if not folder.is_dir():
        raise BackendError(f"{folder}: there is no such folder")
    onnx = _graph_in(folder, wanted, suitable)
    tokenizer = folder / TOKENIZER
    if not tokenizer.is_file() and (onnx.parent / TOKENIZER).is_file():
        tokenizer = onnx.parent / TOKENIZER
    if not tokenizer.is_file():
        raise BackendError(f"{tokenizer}: is missing")
    whole = folder.resolve()
    return Found(
        name=name_of(str(folder)),
        key=str(whole),
        source="folder",
        known=None,
        onnx=FoundFile(name=onnx.relative_to(folder).as_posix(), path=onnx),
        tokenizer=FoundFile(name=tokenizer.relative_to(folder).as_posix(), path=tokenizer),
    )


def _graph_in(folder: Path, wanted: str, suitable: list[OnnxFile]) -> Path:
    if wanted:
        if not (folder / wanted).is_file():
            raise BackendError(f"{folder / wanted}: is missing")
        return folder / wanted
    # a `model.onnx` at the top is what the folder is about; `onnx/` is the hub's habit, one a device
    for name in ("model.onnx", *(each.path for each in suitable)):
        if (folder / name).is_file():
            return folder / name
    others = sorted([*folder.glob("*.onnx"), *folder.glob("onnx/*.onnx")])
    if len(others) == 1:
        return others[0]
    if others:
        names = ", ".join(each.relative_to(folder).as_posix() for each in others)
        raise BackendError(
            f"{folder}: has several ONNX files ({names}); say which with the setting model.file"
        )
    raise BackendError(f"{folder / 'model.onnx'}: is missing, and there is no other ONNX file in the folder")


def _in_package(known: KnownModel, carried: Carried, tried: list[str]) -> Found | None:
    from importlib.metadata import PackageNotFoundError  # slow to import

    how = carried.how
    try:
        folder = carried.place()
    except PackageNotFoundError:
        tried.append(f"package {carried.package} is not installed ({how})")
        return None
    files = [
        FoundFile(name=each.name, path=folder / each.name, sha256=each.sha256)
        for each in (carried.onnx, carried.tokenizer)
    ]
    for each in files:
        if not each.path.is_file():
            tried.append(f"package {carried.package} is installed without {each.path} ({how})")
            return None
    return Found(
        name=known.id,
        key=known.id,
        source="package",
        known=known,
        onnx=files[0],
        tokenizer=files[1],
        batch_invariant=carried.batch_invariant,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _InHub:
    hub: Hub
    known: KnownModel
    files: list[OnnxFile]
    key: str
    revision: str

    def cached(self) -> Found | None:
        for repository in self.known.hub:
            for file in self.files:
                onnx = self.hub.cached(repository, file.path, self.revision)
                if onnx is None:
                    continue
                tokenizer = self.hub.cached(repository, TOKENIZER, onnx.revision)
                if tokenizer is not None:
                    return self._found("cache", file, onnx, tokenizer)
        return None

    def fetched(self) -> Found | None:
        if not self.known.hub:
            return None
        repository = self.known.hub[0]
        for file in self.files:
            onnx = self.hub.fetch(repository, file.path, self.revision)
            if onnx is None:
                continue
            # the same commit, should the branch move in between
            tokenizer = self.hub.fetch(repository, TOKENIZER, onnx.revision)
            if tokenizer is not None:
                return self._found("hub", file, onnx, tokenizer)
        return None

    def _found(self, source: Source, file: OnnxFile, onnx: HubFile, tokenizer: HubFile) -> Found:
        return Found(
            name=self.known.id,
            key=self.key,
            source=source,
            known=self.known,
            onnx=FoundFile(name=file.path, path=onnx.path, checksum=onnx.checksum),
            tokenizer=FoundFile(name=TOKENIZER, path=tokenizer.path, checksum=tokenizer.checksum),
            batch_invariant=file.batch_invariant,
            revision=onnx.revision,
        )
