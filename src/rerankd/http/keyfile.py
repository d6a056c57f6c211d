"""The API keys: a file of hashes. A key itself is shown once, when it is made, and kept nowhere."""

import hashlib
import hmac
import json
import os
import re
import secrets
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from rerankd.errors import ConfigError

__all__ = ["ApiKey", "KeyFile", "check_scope"]

PREFIX = "rk_"
LIVE = 2
"""Keys of one name that may live at once: the old and the new one while they are exchanged."""
_SCOPE = re.compile(r"rerank|admin|memory:[^/\s]{1,200}(/\S{1,200})?")


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key as the file knows it."""

    id: str
    """Random; names the key to people."""
    name: str
    """Whose it is."""
    sha256: str
    scopes: tuple[str, ...]
    created: str
    """A date."""


def check_scope(scope: str) -> str:
    """The scope. Raises `ConfigError` for what is none."""
    if not _SCOPE.fullmatch(scope):
        raise ConfigError(f"scope: must be rerank, admin, memory:TENANT or memory:TENANT/USER, got {scope!r}")
    return scope


class KeyFile:
    """Reads the file again when it has changed, so that a key counts, or counts no more, without a restart."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._keys: tuple[ApiKey, ...] = ()
        self._seen: tuple[int, int, int] | None = None

    def keys(self) -> tuple[ApiKey, ...]:
        """The live keys. Raises `ConfigError` for a file that is none of ours."""
        try:
            found = self.path.stat()
        except FileNotFoundError:
            self._keys, self._seen = (), None
            return ()
        except OSError as error:
            raise ConfigError(f"{self.path}: cannot be read: {error.strerror}") from None
        seen = found.st_mtime_ns, found.st_size, found.st_ino
        if seen != self._seen:
            self._keys, self._seen = self._read(), seen
        return self._keys

    def find(self, key: str) -> ApiKey | None:
        """The key that was given, if it lives. Every comparison is made, each in constant time."""
        digest = _digest(key)
        found = None
        for each in self.keys():
            if hmac.compare_digest(each.sha256, digest):
                found = each
        return found

    def create(self, name: str, scopes: Sequence[str], created: str) -> tuple[ApiKey, str]:
        """Make a key; the record, and the key itself. Raises `ConfigError` when the name has two already."""
        if not name.strip() or len(name) > 100:
            raise ConfigError(f"name: must be 1 to 100 characters, got {len(name)}")
        if not scopes:
            raise ConfigError("scope: at least one is needed")
        live = [each.id for each in self.keys() if each.name == name]
        if len(live) >= LIVE:
            raise ConfigError(f"{name} has {len(live)} live keys ({', '.join(live)}): revoke one first")
        key = PREFIX + secrets.token_urlsafe(32)
        checked = tuple(dict.fromkeys(check_scope(scope) for scope in scopes))
        record = ApiKey(secrets.token_hex(4), name, _digest(key), checked, created)
        self._write((*self.keys(), record))
        return record, key

    def revoke(self, id: str) -> ApiKey:
        """Take a key out. Raises `ConfigError` when there is none with that id."""
        found = next((each for each in self.keys() if each.id == id), None)
        if found is None:
            raise ConfigError(f"there is no live key with the id {id}")
        self._write(tuple(each for each in self.keys() if each.id != id))
        return found

    def _read(self) -> tuple[ApiKey, ...]:
        try:
            rows = json.loads(self.path.read_text(encoding="utf-8"))["keys"]
            return tuple(
                ApiKey(
                    row["id"],
                    row["name"],
                    row["sha256"],
                    tuple(map(check_scope, row["scopes"])),
                    row["created"],
                )
                for row in rows
            )
        except (ValueError, KeyError, TypeError, OSError) as error:
            # fail closed: with a file that cannot be read nobody is let in
            raise ConfigError(f"{self.path}: is not a file of API keys: {type(error).__name__}") from None

    def _write(self, keys: Sequence[ApiKey]) -> None:
        """The whole file, or the old one: readable for its owner only from its first byte on."""
        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        partial = self.path.with_name(f"{self.path.name}.{secrets.token_hex(4)}")
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                json.dump({"keys": [asdict(each) for each in keys]}, file, indent=2)
                file.flush()
                os.fsync(file.fileno())
            partial.replace(self.path)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise


def _digest(key: str) -> str:
    # the keys are random and long: a slow hash would guard nothing, and cost every request
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()
