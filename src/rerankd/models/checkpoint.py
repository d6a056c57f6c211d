"""A safetensors checkpoint for PyTorch: found in a folder, the hub's cache or the hub, and held to its bytes.

The rules of trust are those of `rerankd.models.resolve`: the hub's own checksum, and the digest that each file
had when it was first used here.
"""

import json
from dataclasses import dataclass
from pathlib import Path

from rerankd.core.types import Activation
from rerankd.errors import BackendError
from rerankd.models.digest import matches, sha256_of, short
from rerankd.models.hub import Hub
from rerankd.models.locate import TOKENIZER, folder_of, name_of
from rerankd.models.lock import TrustLock
from rerankd.models.policy import ModelPolicy
from rerankd.models.registry import KnownModel, find

__all__ = ["Checkpoint", "is_checkpoint", "resolve_checkpoint"]

_FILES = ("config.json", "model.safetensors", TOKENIZER)


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
    """The verified files of the checkpoint that the policy names, downloaded where need be.

    `data_dir` holds the lock file (None: nothing is remembered). Raises `BackendError` naming the file that is
    missing, cut short or changed, `ConfigError` for a name that cannot be a model.
    """
    lock = TrustLock(data_dir)
    folder = folder_of(policy.model)
    if folder is not None:
        for name in _FILES:
            if not (folder / name).is_file():
                raise BackendError(f"{folder / name}: is missing")
        key, revision, known = str(folder.resolve()), "", KnownModel(id=name_of(policy.model))
    else:
        known = find(policy.model)
        key = f"{known.id}@{policy.revision}" if policy.revision else known.id
        trusted = lock.trusted(key)
        pinned = trusted.revision if trusted and not policy.revision else ""
        folder, revision = _from_hub(known, pinned or policy.revision or "main", policy, hub or Hub())
    digests = {name: sha256_of(folder / name) for name in _FILES}
    before = lock.trusted(key)
    for name, seen in digests.items():
        expected = before.sha256.get(name, "") if before else ""
        if expected and seen != expected:
            raise BackendError(
                f"{folder / name}: has sha256 {short(seen)}, not {short(expected)} as when it was first used"
            )
    lock.trust(key, revision, digests)
    return Checkpoint(
        model=known.id,
        folder=folder,
        revision=revision,
        sha256=digests[_FILES[1]],
        activation=known.activation,
        max_tokens=min(
            (each for each in (policy.max_tokens, known.max_tokens, _positions(folder / _FILES[0])) if each),
            default=0,
        ),
    )


def _positions(path: Path) -> int:
    """For how many tokens the model has positions; 0: it does not say. RoBERTa's begin after its padding's."""
    try:
        config = json.loads(path.read_text("utf-8"))
        most = int(config.get("max_position_embeddings") or 0)
    except (OSError, ValueError, TypeError, AttributeError):
        raise BackendError(f"{path}: is cut short or not JSON") from None
    shifted = "roberta" in str(config.get("model_type", "")) or config.get("model_type") == "camembert"
    return most - 2 if shifted and most > 2 else most


def _from_hub(known: KnownModel, revision: str, policy: ModelPolicy, hub: Hub) -> tuple[Path, str]:
    """All three files of one commit."""
    for repository in known.hub:
        first = hub.cached(repository, _FILES[0], revision)
        if first is None and policy.download:
            first = hub.fetch(repository, _FILES[0], revision)
        if first is None:
            continue
        for name in _FILES[1:]:
            file = hub.cached(repository, name, first.revision)
            if file is None and policy.download:
                file = hub.fetch(repository, name, first.revision)
            if file is None:
                raise BackendError(f"{repository}: has no {name}")
            if matches(file.path, file.checksum) is False:
                raise BackendError(
                    f"{file.path}: differs from the hub's checksum; delete it to download it anew"
                )
        return first.path.parent, first.revision
    raise BackendError(f"{known.id}: its checkpoint is neither in the hub's cache nor to be had")
