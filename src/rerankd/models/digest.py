"""Digests of files."""

import hashlib
from pathlib import Path

from rerankd.errors import BackendError

__all__ = ["matches", "sha256_of", "short"]

_GIT_BLOB, _SHA256 = 40, 64


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal. Raises `BackendError` naming the file when it cannot be read."""
    return _digest(path, "sha256", b"")


def matches(path: Path, checksum: str) -> bool | None:
    """Whether a file has the checksum that the hub gave for it; None when that is of an unknown kind.

    The hub gives the SHA-256 of large files, and git's own blob hash (SHA-1) of the others.
    """
    if len(checksum) == _SHA256:
        return _digest(path, "sha256", b"") == checksum
    if len(checksum) == _GIT_BLOB:
        return _digest(path, "sha1", b"blob %d\0" % path.stat().st_size) == checksum
    return None


def short(digest: str) -> str:
    """Enough of a digest to tell two apart by eye."""
    return digest[:12] + "…"


def _digest(path: Path, name: str, prefix: bytes) -> str:
    # SHA-1 as git uses it says "the same file as the hub's", it is not what anything is trusted by
    running = hashlib.new(name, prefix, usedforsecurity=name == "sha256")
    try:
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                running.update(block)  # lets other threads run
    except OSError as error:
        raise BackendError(f"{path}: cannot be read: {error.strerror}") from error
    return running.hexdigest()
