"""A safetensors checkpoint for PyTorch: found in a folder, the hub's cache or the hub, and held to its bytes.

Where the hub cannot give one, a model that a package carries is turned into one (see `rerankd.models.half`). One
that was made before comes before the hub: a restart must not change the scores.

The rules of trust are those of `rerankd.models.resolve`: the hub's own checksum, and the digest that each file
had when it was first used here.
"""

import json
from dataclasses import dataclass
from pathlib import Path

from rerankd.core.types import Activation
from rerankd.errors import BackendError
from rerankd.models.digest import matches, sha256_of, short
from rerankd.models.half import CHECKPOINT_FILES as _FILES
from rerankd.models.half import half_checkpoint
from rerankd.models.hub import Hub
from rerankd.models.locate import TOKENIZER, folder_of, name_of
from rerankd.models.lock import TrustLock
from rerankd.models.policy import ModelPolicy
from rerankd.models.registry import KnownModel, find
from rerankd.models.resolve import FileCheck

__all__ = ["Checkpoint", "is_checkpoint", "resolve_checkpoint", "verify_checkpoint"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """A model's verified files, and what is needed to use them."""

    model: str
    """As answers and metrics name it."""
    folder: Path
    """Holds `config.json`, `model.safetensors` and `tokenizer.json`."""
    revision: str
    """The hub's commit; empty for a folder."""
    sha256: str
    """Of the weights' file."""
    activation: Activation
    max_tokens: int
    """The window, special tokens included; 0: as the tokenizer says."""

    @property
    def tokenizer(self) -> Path:
        return self.folder / TOKENIZER


def is_checkpoint(model: str) -> bool:
    """Whether a model's name is a folder that holds a checkpoint and no ONNX file."""
    folder = folder_of(model)
    if folder is None or not (folder / _FILES[1]).is_file():
        return False
    return not any((*folder.glob("*.onnx"), *folder.glob("onnx/*.onnx")))


def resolve_checkpoint(policy: ModelPolicy, *, data_dir: Path | None, hub: Hub | None = None) -> Checkpoint:
    """The verified files of the checkpoint that the policy names, downloaded or made where need be.

    `data_dir` holds the lock file (None: nothing is remembered). Raises `BackendError` naming the file that is
    missing, cut short or changed, `ConfigError` for a name that cannot be a model.
    """
    lock = TrustLock(data_dir)
    found = _locate(policy, lock, data_dir=data_dir, hub=hub or Hub(), get=True)
    checks = _check(found, lock)
    for check in checks:
        if check.problem:
            raise BackendError(check.problem)
    positions = _positions(found.folder / _FILES[0])
    lock.trust(found.key, found.revision, {check.name: check.sha256 for check in checks})
    return Checkpoint(
        model=found.known.id,
        folder=found.folder,
        revision=found.revision,
        sha256=next(check.sha256 for check in checks if check.name == _FILES[1]),
        activation=found.known.activation,
        max_tokens=min(
            (each for each in (policy.max_tokens, found.known.max_tokens, positions) if each), default=0
        ),
    )


def verify_checkpoint(
    policy: ModelPolicy, *, data_dir: Path | None, hub: Hub | None = None, accept: bool = False
) -> tuple[FileCheck, ...]:
    """Look at the checkpoint's files on this machine; nothing is downloaded, made or raised for a changed one.

    `accept`: trust them as they are from now on. Raises `BackendError` when files are missing.
    """
    lock = TrustLock(data_dir)
    found = _locate(policy, lock, data_dir=data_dir, hub=hub or Hub(), get=False)
    checks = _check(found, lock)
    if accept:
        lock.trust(found.key, found.revision, {check.name: check.sha256 for check in checks})
        checks = _check(found, lock)
    return checks


@dataclass(frozen=True, slots=True, kw_only=True)
class _Found:
    folder: Path
    key: str
    """As the lock file names it."""
    known: KnownModel
    revision: str = ""
    made: bool = False


def _locate(policy: ModelPolicy, lock: TrustLock, *, data_dir: Path | None, hub: Hub, get: bool) -> _Found:
    """`get`: whether what is not on this machine may be fetched or made."""
    folder = folder_of(policy.model)
    if folder is not None:
        for name in _FILES:
            if not (folder / name).is_file():
                raise BackendError(f"{folder / name}: is missing")
        return _Found(folder=folder, key=str(folder.resolve()), known=KnownModel(id=name_of(policy.model)))
    known = find(policy.model)
    key = f"{known.id}@{policy.revision}" if policy.revision else known.id
    trusted = None if policy.revision else lock.trusted(key)
    revision = (trusted.revision if trusted else "") or policy.revision or "main"
    problem = BackendError(f"{known.id}: its checkpoint is neither in the hub's cache nor to be had")

    found = _from_hub(known, revision, hub, download=False)
    folder = None if found or policy.revision else half_checkpoint(known, data_dir, make=False)
    if found is None and folder is None and get:
        if policy.download:
            try:
                found = _from_hub(known, revision, hub, download=True)
            except BackendError as error:
                problem = error
        if found is None and not policy.revision:
            folder = half_checkpoint(known, data_dir, make=True)
    if found is not None:
        return _Found(folder=found[0], key=key, known=known, revision=found[1])
    if folder is None:
        raise problem
    return _Found(folder=folder, key=str(folder.resolve()), known=known, made=True)


def _check(found: _Found, lock: TrustLock) -> tuple[FileCheck, ...]:
    before = lock.trusted(found.key)
    return tuple(_check_file(found, name, before.sha256.get(name, "") if before else "") for name in _FILES)


def _check_file(found: _Found, name: str, expected: str) -> FileCheck:
    path = found.folder / name
    seen = sha256_of(path)
    if not expected or seen == expected:
        return FileCheck(name=name, path=path, sha256=seen, status="trusted" if expected else "new")
    problem = f"{path}: has sha256 {short(seen)}, not {short(expected)} as when it was first used"
    problem += (
        f"; delete {found.folder} to have it made anew"
        if found.made
        else f"; if the change is wanted: rerankd models verify --accept {found.key}"
    )
    return FileCheck(name=name, path=path, sha256=seen, status="changed", problem=problem)


def _positions(path: Path) -> int:
    """For how many tokens the model has positions; 0: it does not say. RoBERTa's begin after its padding's."""
    try:
        config = json.loads(path.read_text("utf-8"))
        most = int(config.get("max_position_embeddings") or 0)
    except (OSError, ValueError, TypeError, AttributeError):
        raise BackendError(f"{path}: is cut short or not JSON") from None
    shifted = "roberta" in str(config.get("model_type", "")) or config.get("model_type") == "camembert"
    return most - 2 if shifted and most > 2 else most


def _from_hub(known: KnownModel, revision: str, hub: Hub, *, download: bool) -> tuple[Path, str] | None:
    """All three files of one commit; None: the cache, or the hub, has no checkpoint under any of its names."""
    for repository in known.hub:
        first = hub.cached(repository, _FILES[0], revision)
        if first is None and download:
            first = hub.fetch(repository, _FILES[0], revision)
        if first is None:
            continue
        for name in _FILES[1:]:
            file = hub.cached(repository, name, first.revision)
            if file is None and download:
                file = hub.fetch(repository, name, first.revision)
            if file is None:
                if not download:
                    break
                raise BackendError(f"{repository}: has no {name}")
            if matches(file.path, file.checksum) is False:
                raise BackendError(
                    f"{file.path}: differs from the hub's checksum; delete it to download it anew"
                )
        else:
            return first.path.parent, first.revision
    return None
