"""From a model's name to files that are what they should be.

A file is held to the digest that a release of rerankd knows; else to the hub's own checksum and to the digest
that it had when it was first used here. Trust is given at the first use: nothing is known then that a changed
file could be compared with, except that one of a known model's exact size with other bytes is a damaged copy.
"""

import logging
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

from rerankd.core.types import Activation
from rerankd.errors import BackendError, ConfigError
from rerankd.models.digest import matches, sha256_of, short
from rerankd.models.graph import DISTILLED, Precision, read_graph
from rerankd.models.half import GRAPH, half_graph
from rerankd.models.hub import Hub
from rerankd.models.locate import TOKENIZER, Found, FoundFile, Source, folder_of, locate
from rerankd.models.lock import Trusted, TrustLock
from rerankd.models.policy import ModelPolicy
from rerankd.models.registry import Carried, DeviceKind, KnownModel, find, known_models

__all__ = ["FileCheck", "ModelFiles", "accept", "resolve", "verify"]

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFiles:
    """A model's verified files, and what is needed to use them."""

    model: str
    """As answers and metrics name it."""
    source: Source
    revision: str
    """The hub's commit; empty for a folder or package."""
    onnx: Path
    sha256: str
    """Of the ONNX file."""
    tokenizer: Path
    precision: Precision
    batch_invariant: bool
    """Whether pairs may share a run without changing each other's scores."""
    activation: Activation
    max_tokens: int
    """The window, special tokens included; 0: as the tokenizer says."""
    licence: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FileCheck:
    """What became of looking at one file."""

    name: str
    path: Path
    sha256: str
    status: Literal["known", "trusted", "new", "changed"]
    """`known`: as a release of rerankd knows it; `trusted`: as when first used; `new`: not used before."""
    problem: str = ""
    """Why it must not be used; empty when it may."""


def resolve(
    policy: ModelPolicy,
    *,
    data_dir: Path | None,
    device: DeviceKind = "cpu",
    int8: str = "",
    hub: Hub | None = None,
) -> ModelFiles:
    """The verified files of the model that the policy names, downloaded where need be.

    `data_dir` holds the lock file (None: nothing is remembered); `device` is where the model will run; `int8`
    the CPU's int8 path, which decides between a repository's quantised files.

    Raises `BackendError` naming the file or the place that failed, `ConfigError` for a name that cannot be a
    model and for an int8 file with a CUDA device that was asked for by name.
    """
    lock = TrustLock(data_dir)
    found = _locate(policy, lock, data_dir=data_dir, device=device, int8=int8, hub=hub, make=True)
    checks, known, carried = _check(found, lock)
    for check in checks:
        if check.problem:
            raise BackendError(check.problem)
    graph = read_graph(found.onnx.path)
    _whole_json(found.tokenizer.path)
    if device == "cuda" and graph.precision == "int8":
        _refuse_int8(policy, found.onnx.path)
    if found.source != "package":
        lock.trust(found.key, found.revision, {check.name: check.sha256 for check in checks})
    if any(check.status == "new" for check in checks):
        _log.info("model %s: trusted on first use", found.name)
    return ModelFiles(
        model=found.name,
        source=found.source,
        revision=found.revision,
        onnx=found.onnx.path,
        sha256=next(check.sha256 for check in checks if check.name == found.onnx.name),
        tokenizer=found.tokenizer.path,
        precision=graph.precision,
        batch_invariant=found.batch_invariant
        and (carried is None or carried.batch_invariant)
        and not graph.dynamic,
        activation=known.activation,
        max_tokens=min((each for each in (policy.max_tokens, known.max_tokens) if each), default=0),
        licence=known.licence,
    )


def verify(
    policy: ModelPolicy,
    *,
    data_dir: Path | None,
    device: DeviceKind = "cpu",
    int8: str = "",
    hub: Hub | None = None,
) -> tuple[FileCheck, ...]:
    """Look at the model's files on this machine; nothing is downloaded, trusted or raised for a changed one.

    Raises `BackendError` when files are missing.
    """
    lock = TrustLock(data_dir)
    found = _locate(policy, lock, data_dir=data_dir, device=device, int8=int8, hub=hub, download=False)
    return _check(found, lock)[0]


def accept(
    policy: ModelPolicy,
    *,
    data_dir: Path,
    device: DeviceKind = "cpu",
    int8: str = "",
    hub: Hub | None = None,
) -> tuple[FileCheck, ...]:
    """Trust the model's files as they are on this machine from now on.

    Files that a package carries cannot be accepted: they are known. Raises `BackendError` for those, and when
    files are missing or differ from the hub's own checksum.
    """
    lock = TrustLock(data_dir)
    found = _locate(policy, lock, data_dir=data_dir, device=device, int8=int8, hub=hub, download=False)
    checks = _check(found, lock)[0]
    problems = [_against_hub(file) for file in found.files]
    if found.source == "package":
        problems = [check.problem for check in checks]
    for problem in filter(None, problems):
        raise BackendError(problem)
    if found.source == "package":
        return checks
    read_graph(found.onnx.path)
    _whole_json(found.tokenizer.path)
    lock.trust(found.key, found.revision, {check.name: check.sha256 for check in checks})
    return _check(found, lock)[0]


def _locate(
    policy: ModelPolicy,
    lock: TrustLock,
    *,
    data_dir: Path | None,
    device: DeviceKind,
    int8: str,
    hub: Hub | None,
    download: bool | None = None,
    make: bool = False,
) -> Found:
    """`make`: whether a carried int8 file may be turned into one for CUDA."""
    pinned, known = "", None
    if folder_of(policy.model) is None and not policy.revision:
        known = find(policy.model)
        trusted = lock.trusted(known.id)
        pinned = trusted.revision if trusted else ""
    find_it = partial(locate, policy, device=device, int8=int8, pinned=pinned, hub=hub)
    if device == "cpu" or known is None or known.carried is None or policy.file:
        return find_it(download=download)
    # one that was made before comes before the hub: a restart must not change the scores
    with suppress(BackendError):
        return find_it(download=False)
    folder = half_graph(known, data_dir, make=False)
    if folder is None:
        try:
            return find_it(download=download)
        except BackendError:
            folder = half_graph(known, data_dir, make=make)
            if folder is None:
                raise
    return Found(
        name=known.id,
        key=str(folder.resolve()),
        source="made",
        known=known,
        onnx=FoundFile(name=GRAPH, path=folder / GRAPH),
        tokenizer=FoundFile(name=TOKENIZER, path=folder / TOKENIZER),
    )


def _check(found: Found, lock: TrustLock) -> tuple[tuple[FileCheck, ...], KnownModel, Carried | None]:
    """Each file with its verdict, and what its bytes, or else its id, say about the model."""
    digests = {file.name: sha256_of(file.path) for file in found.files}
    known, carried = found.known, None
    if known is None:
        known, carried = _by_bytes(digests[found.onnx.name])
    trusted = None if found.source == "package" else lock.trusted(found.key)
    checks = tuple(_check_file(found, file, digests[file.name], trusted, carried) for file in found.files)
    return checks, known or KnownModel(id=found.name), carried


def _by_bytes(sha256: str) -> tuple[KnownModel | None, Carried | None]:
    for model in known_models():
        if model.carried and model.carried.onnx.sha256 == sha256:
            return model, model.carried
    return None, None


def _check_file(
    found: Found, file: FoundFile, seen: str, trusted: Trusted | None, carried: Carried | None
) -> FileCheck:
    before = trusted.sha256.get(file.name, "") if trusted else ""
    known = file.sha256
    if carried and not before:  # a folder with the graph of a known model: its tokenizer is known, too
        known = (carried.onnx if file is found.onnx else carried.tokenizer).sha256
    expected = known or before
    status: Literal["known", "trusted", "new", "changed"] = (
        "known" if known else "trusted" if before else "new"
    )
    problem = _against_hub(file)
    if expected and seen != expected:
        status = "changed"
        problem = f"{file.path}: has sha256 {short(seen)}, not {short(expected)}"
        problem += (
            f"; delete {file.path.parent} to have it made anew"
            if found.source == "made"
            else f" as its package {found.known.carried.package} carries it; install that anew"
            if found.source == "package" and found.known and found.known.carried
            else f"; if the change is wanted: {_how_to_accept(found)}"
        )
    elif not expected and not problem:
        problem = _damaged_copy(found, file, seen)
    return FileCheck(name=file.name, path=file.path, sha256=seen, status=status, problem=problem)


def _against_hub(file: FoundFile) -> str:
    if matches(file.path, file.checksum) is not False:
        return ""
    return (
        f"{file.path}: differs from the hub's checksum {short(file.checksum)}; delete it to download it anew"
    )


def _damaged_copy(found: Found, file: FoundFile, seen: str) -> str:
    if found.source != "folder" or file is not found.onnx:
        return ""
    size = file.path.stat().st_size
    for model in known_models():
        if model.carried and model.carried.onnx.size == size:
            if read_graph(file.path).producer == DISTILLED:
                return ""  # one that went on from a carried student is as large
            return (
                f"{file.path}: looks like a damaged copy of {model.id}: the same size, but sha256"
                f" {short(seen)}, not {short(model.carried.onnx.sha256)};"
                f" if it is another model: {_how_to_accept(found)}"
            )
    return ""


def _how_to_accept(found: Found) -> str:
    return f"rerankd models verify --accept {found.key.split('@')[0] if found.known else found.key}"


def _whole_json(path: Path) -> None:
    """A cheap look for a file cut short, before its digest is trusted; it is parsed later."""
    with path.open("rb") as file:
        first = file.read(64).lstrip()[:1]
        file.seek(max(0, path.stat().st_size - 64))
        last = file.read().rstrip()[-1:]
    if (first, last) != (b"{", b"}"):
        raise BackendError(f"{path}: is cut short or not JSON")


def _refuse_int8(policy: ModelPolicy, path: Path) -> None:
    reason = f"{path}: is an int8 file, which is slower and less exact on CUDA than fp16"
    if policy.device:
        raise ConfigError(f"{reason}; choose another file or DEVICE=cpu")
    raise BackendError(reason)
