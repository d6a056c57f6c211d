"""Trust on first use: the bytes that a model had when it was first used are the bytes that it must keep.

For files whose digest no release of rerankd knows. The lock file is plain JSON in the data folder. Two
processes that first use two models at the same moment may overwrite one entry; it is written again at the
next load, so no lock is held.
"""

import json
import logging
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from rerankd.errors import BackendError

__all__ = ["LOCK_NAME", "TrustLock", "Trusted"]

LOCK_NAME = "models.lock.json"

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Trusted:
    """What was first seen of a model."""

    revision: str
    """The hub's commit; empty for a folder."""
    sha256: Mapping[str, str]
    """By the file's name inside the model."""


class TrustLock:
    """The lock file in `folder`; None: nothing is remembered from one process to the next."""

    def __init__(self, folder: Path | None) -> None:
        self.path = None if folder is None else folder / LOCK_NAME

    def trusted(self, key: str) -> Trusted | None:
        """What is trusted of a model, None before its first use.

        Raises `BackendError` when the lock file cannot be understood: trusting anew would make it worthless.
        """
        return self._read().get(key)

    def trust(self, key: str, revision: str, sha256: Mapping[str, str]) -> None:
        """Remember these digests, beside those of the model's other files.

        A folder that cannot be written is logged and otherwise accepted: it must not keep a good model from
        loading.
        """
        if self.path is None:
            return
        models = self._read()
        before = models.get(key)
        kept = before.sha256 if before is not None and before.revision == revision else {}
        models[key] = Trusted(revision=revision, sha256={**kept, **sha256})
        if models[key] == before:
            return
        try:
            _write(self.path, models)
        except OSError as error:
            _log.warning("%s: cannot be written, so trust begins anew at the next load: %s", self.path, error)

    def forget(self, key: str) -> None:
        """Trust the model anew at its next use: its files were made again, here."""
        if self.path is None:
            return
        models = self._read()
        if models.pop(key, None) is not None:
            _write(self.path, models)

    def _read(self) -> dict[str, Trusted]:
        if self.path is None:
            return {}
        try:
            content = json.loads(self.path.read_text("utf-8"))
            if content["version"] != 1:
                raise ValueError(f"version {content['version']!r}")
            return {
                key: Trusted(revision=str(entry["revision"]), sha256=dict(entry["sha256"]))
                for key, entry in content["models"].items()
            }
        except (FileNotFoundError, NotADirectoryError):
            return {}
        except OSError as error:
            raise BackendError(f"{self.path}: cannot be read: {error.strerror}") from error
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise BackendError(
                f"{self.path}: is not a lock file that this version understands; delete it to trust anew"
            ) from error


def _write(path: Path, models: Mapping[str, Trusted]) -> None:
    """All or nothing, and readable by nobody else: whoever can write it decides what is trusted."""
    entries = {key: {"revision": each.revision, "sha256": dict(each.sha256)} for key, each in models.items()}
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=path.name, dir=path.parent)  # 0600 from the start
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump({"version": 1, "models": entries}, file, indent=1, sort_keys=True)
            file.flush()
            os.fsync(file.fileno())
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
