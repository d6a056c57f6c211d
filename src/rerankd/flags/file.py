"""The switch in a file, for instance a mounted config map: one edit switches every replica that sees it."""

import logging
import os
import stat
from collections.abc import Mapping
from pathlib import Path

from rerankd.core.flag import Flag
from rerankd.errors import ConfigError
from rerankd.flags.notation import flag_from_json, flag_to_json

__all__ = ["FileFlag", "read_flag", "write_flag"]

logger = logging.getLogger(__name__)

MAX_BYTES = 4_096
"""A flag needs about 40 bytes; anything near this limit is another file."""


class FileFlag:
    """Reads the flag from a file. A file that cannot be read leaves the last known flag in force.

    The file is read anew every time: it is tiny, and its time and size would miss two edits within one tick
    of the file system's clock.
    """

    name = "file"
    immediate = False

    def __init__(self, path: Path) -> None:
        self.path = path
        self._problem: str | None = None

    def read(self, context: Mapping[str, str]) -> Flag | None:
        try:
            flag = read_flag(self.path)
        except ConfigError as error:
            if str(error) != self._problem:  # said once, not twice a second
                self._problem = str(error)
                logger.warning("%s; the last known flag stays in force", error)
            return None
        if self._problem is not None:
            self._problem = None
            logger.info("the flag file %s can be read again", self.path)
        return flag


def read_flag(path: Path) -> Flag:
    """The flag in a file. Raises `ConfigError` naming the file and what is wrong with it."""
    try:
        data = _read(path)
    except OSError as error:
        raise ConfigError(f"flag file {path}: cannot be read: {_reason(error)}") from None
    if len(data) > MAX_BYTES:
        raise ConfigError(f"flag file {path}: is larger than {MAX_BYTES} bytes, so it is not a flag file")
    try:
        return flag_from_json(data)
    except ConfigError as error:
        raise ConfigError(f"flag file {path}: {error}") from None


def write_flag(path: Path, flag: Flag) -> None:
    """Replace the file's content in one step, so that a reader sees the old flag or the new one.

    The permissions of an existing file are kept, and a symbolic link is followed. Raises `ConfigError` naming
    the file where it cannot be written.
    """
    target = Path(os.path.realpath(path))
    draft = target.with_name(f".{target.name}.{os.urandom(6).hex()}")
    try:
        try:
            _create(draft, flag_to_json(flag) + "\n", like=target)
            os.replace(draft, target)
        except OSError:
            draft.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise ConfigError(f"flag file {path}: cannot be written: {_reason(error)}") from None


def _create(draft: Path, text: str, *, like: Path) -> None:
    # Not `tempfile`: its 0600 would lock out replicas that run as another user.
    with draft.open("x", encoding="utf-8") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
    if like.exists():
        draft.chmod(stat.S_IMODE(like.stat().st_mode))


def _read(path: Path) -> bytes:
    # Without O_NONBLOCK a named pipe in the file's place would hold the reader for ever.
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    with open(os.open(path, flags), "rb") as stream:
        if not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
            raise OSError("it is not a regular file")
        return stream.read(MAX_BYTES + 1)


def _reason(error: OSError) -> str:
    return error.strerror or str(error)
