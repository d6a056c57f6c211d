"""Secrets that come in epochs: files that are made here, or a setting that a secret manager fills.

An epoch's id is its number and a fingerprint of its secret, `3-9f2c01ab`: a file that was lost and made anew
is another epoch, and never mistaken for the lost one.
"""

import base64
import binascii
import hashlib
import logging
import os
import re
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

from rerankd.errors import ConfigError, SealError

__all__ = ["Epoch", "Epochs", "FileEpochs", "GivenEpochs", "MissingKey", "SecretKind", "number_of"]

_log = logging.getLogger(__name__)

SECRET_BYTES = 32
SecretKind = Literal["key", "pepper", "service"]
"""`service` seals what hosts hand in themselves; nothing of the memory."""


class MissingKey(SealError):  # noqa: N818 - reads as what is the matter
    """A key or pepper that is needed is not here."""


@dataclass(frozen=True, slots=True)
class Epoch:
    """One secret of its kind."""

    kind: SecretKind
    number: int
    secret: bytes = field(repr=False)

    @property
    def id(self) -> str:
        digest = hashlib.sha256(b"rerankd epoch\0" + self.kind.encode() + b"\0" + self.secret)
        return f"{self.number}-{digest.hexdigest()[:8]}"


def number_of(epoch_id: str) -> int:
    """The number in an epoch's id; 0 for what is no id of ours."""
    digits = epoch_id.partition("-")[0]
    return int(digits) if digits.isdecimal() else 0


class Epochs(Protocol):
    """Where the secrets of one kind are kept."""

    def all(self) -> Mapping[str, Epoch]:
        """Every epoch that is here, by its id, oldest first."""
        ...

    def get(self, epoch_id: str) -> Epoch:
        """Exactly this one. Raises `MissingKey`."""
        ...

    def first(self) -> Epoch:
        """The newest; makes the first where there is none. Raises `SealError` where none can be made."""
        ...

    def after(self, epoch_id: str) -> Epoch:
        """The newest one that is newer than this; makes it where there is none. Raises as `first`."""
        ...

    def destroy(self, epoch_id: str) -> bool:
        """Make sure that it is gone; False where that is not ours to do."""
        ...


class GivenEpochs:
    """Epochs from a setting: `1:BASE64,2:BASE64`. They are neither made nor destroyed here."""

    def __init__(self, kind: SecretKind, value: str, *, setting: str) -> None:
        """Raises `ConfigError` naming the setting, never its value."""
        self._kind = kind
        self._setting = setting
        self._epochs: dict[str, Epoch] = {}
        seen: set[int] = set()
        for part in value.split(","):
            number, _, coded = part.strip().partition(":")
            if not number.isdecimal() or int(number) in seen:
                raise ConfigError(f"{setting}: each epoch is NUMBER:BASE64, and no number comes twice")
            seen.add(int(number))
            epoch = Epoch(kind, int(number), _decoded(coded, setting))
            self._epochs[epoch.id] = epoch

    def all(self) -> Mapping[str, Epoch]:
        return _in_order(self._epochs)

    def get(self, epoch_id: str) -> Epoch:
        if epoch_id not in self._epochs:
            raise MissingKey(f"{self._kind} {epoch_id} is not among those of {self._setting}: add it there")
        return self._epochs[epoch_id]

    def first(self) -> Epoch:
        return list(self.all().values())[-1]

    def after(self, epoch_id: str) -> Epoch:
        newest = self.first()
        if newest.number <= number_of(epoch_id):
            raise SealError(
                f"{self._setting}: holds no {self._kind} newer than {epoch_id}: add the next epoch there,"
                " 32 random bytes in base64, for every process, and then rotate again"
            )
        return newest

    def destroy(self, epoch_id: str) -> bool:
        return epoch_id not in self._epochs


class FileEpochs:
    """Epochs as files `KIND-NUMBER` in a folder, readable by their owner only, made when first needed."""

    def __init__(
        self, kind: SecretKind, folder: Path, *, announce: Callable[[str], None] | None = None
    ) -> None:
        """`announce` is told of every file that is made; left out, the log is."""
        self._kind = kind
        self._folder = folder
        self._announce = announce or _log.warning
        self._known: dict[str, Epoch] | None = None

    def all(self) -> Mapping[str, Epoch]:
        self._known = self._read()
        return _in_order(self._known)

    def get(self, epoch_id: str) -> Epoch:
        known = self._known
        if known is None or epoch_id not in known:
            known = self._known = self._read()  # another process may have made it, or destroyed others
        if epoch_id not in known:
            raise MissingKey(
                f"{self._kind} {epoch_id} is not in {self._folder}: restore its file from a backup of the keys"
            )
        return known[epoch_id]

    def first(self) -> Epoch:
        epochs = list(self.all().values())
        return epochs[-1] if epochs else self._make(1)

    def after(self, epoch_id: str) -> Epoch:
        wanted = number_of(epoch_id) + 1
        epochs = [epoch for epoch in self.all().values() if epoch.number >= wanted]
        return epochs[-1] if epochs else self._make(wanted)

    def destroy(self, epoch_id: str) -> bool:
        epoch = self.all().get(epoch_id)
        if epoch is None:
            return True
        path = self._path(epoch.number)
        try:
            with path.open("r+b") as file:
                # what a file system makes of this is its own affair; deleting alone would leave the bytes
                file.write(b"\0" * path.stat().st_size)
                file.flush()
                os.fsync(file.fileno())
            path.unlink()
            _sync(self._folder)
        except OSError as error:
            raise SealError(f"{path}: cannot be destroyed: {error.strerror or error}") from None
        self._known = self._read()
        return True

    def _path(self, number: int) -> Path:
        return self._folder / f"{self._kind}-{number}"

    def _read(self) -> dict[str, Epoch]:
        name = re.compile(rf"{self._kind}-([1-9]\d{{0,5}})")
        epochs = {}
        try:
            files = sorted(self._folder.iterdir()) if self._folder.is_dir() else []
            for path in files:
                found = name.fullmatch(path.name)
                if found:
                    if path.stat().st_mode & 0o077 and os.name == "posix":
                        _log.warning("%s can be read by others than its owner: chmod 600", path)
                    secret = _decoded(path.read_text("ascii").strip(), str(path))
                    epoch = Epoch(self._kind, int(found[1]), secret)
                    epochs[epoch.id] = epoch
        except (OSError, UnicodeDecodeError) as error:
            raise SealError(f"{self._folder}: a key file cannot be read: {error}") from None
        except ConfigError as error:
            raise SealError(str(error)) from None
        return epochs

    def _make(self, number: int) -> Epoch:
        path = self._path(number)
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            handle, temporary = tempfile.mkstemp(
                dir=self._folder, prefix=".new-"
            )  # 0600 from its first moment
            try:
                with os.fdopen(handle, "wb") as file:
                    file.write(base64.b64encode(os.urandom(SECRET_BYTES)) + b"\n")
                    file.flush()
                    os.fsync(file.fileno())
                os.link(temporary, path)  # whole or not at all, and never over another process's
            except FileExistsError:
                pass
            else:
                self._announce(
                    f"generated {path}: keep a copy of it apart from the database;"
                    " without it the memory cannot be opened"
                )
            finally:
                os.unlink(temporary)
            _sync(self._folder)
        except OSError as error:
            raise SealError(f"{path}: cannot be made: {error.strerror or error}") from None
        return next(epoch for epoch in self.all().values() if epoch.number == number)


def _decoded(text: str, where: str) -> bytes:
    try:
        secret = base64.b64decode(text.replace("-", "+").replace("_", "/"), validate=True)
    except (binascii.Error, ValueError):
        raise ConfigError(f"{where}: is not base64") from None
    if len(secret) != SECRET_BYTES:
        raise ConfigError(f"{where}: must be {SECRET_BYTES} bytes in base64, got {len(secret)}")
    return secret


def _in_order(epochs: Mapping[str, Epoch]) -> dict[str, Epoch]:
    return dict(sorted(epochs.items(), key=lambda item: item[1].number))


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
