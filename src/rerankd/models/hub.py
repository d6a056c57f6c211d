"""Files of hub repositories: from the local cache, else downloaded, through the hub's own client library.

The library honours `HF_HOME`, `HF_ENDPOINT`, `HF_HUB_OFFLINE`, `HF_TOKEN` and shows its progress bar.
"""

import contextlib
import sys
from dataclasses import dataclass, replace
from pathlib import Path

from rerankd.errors import BackendError
from rerankd.models.digest import matches

__all__ = ["Hub", "HubFile"]


@dataclass(frozen=True, slots=True, kw_only=True)
class HubFile:
    """A file of a repository, on this machine."""

    path: Path
    revision: str
    """The commit that it belongs to."""
    checksum: str
    """The hub's own checksum of it (see `digest.matches`); empty when the cache does not tell."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hub:
    """The hub and its cache. Each None means what the client library's environment says."""

    endpoint: str | None = None
    cache: Path | None = None

    def cached(self, repository: str, name: str, revision: str) -> HubFile | None:
        """The file from the cache, without touching the network. Never raises for a missing one."""
        from huggingface_hub import try_to_load_from_cache

        with contextlib.suppress(*_errors()):
            path = try_to_load_from_cache(repository, name, cache_dir=self.cache, revision=revision)
            if isinstance(path, str):
                return _file(Path(path))
        return None

    def fetch(self, repository: str, name: str, revision: str) -> HubFile | None:
        """The file from the hub, into the cache; None when the repository has no such file.

        A download that differs from the hub's checksum is removed again, so that the next attempt starts
        anew. Raises `BackendError` naming the repository and the file when it cannot be had.
        """
        from huggingface_hub import get_hf_file_metadata, hf_hub_download, hf_hub_url
        from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError, OfflineModeIsEnabled

        what = f"{repository}: {name}"
        try:
            # asked first: this fails at once, where the download would retry an unreachable hub for long
            url = hf_hub_url(repository, name, revision=revision, endpoint=self.endpoint)
            told = get_hf_file_metadata(url)
            path = hf_hub_download(
                repository, name, revision=revision, cache_dir=self.cache, endpoint=self.endpoint
            )
        except LocalEntryNotFoundError as error:  # a kind of the next, but it says "unreachable"
            raise BackendError(f"{what}: the hub stopped answering") from error
        except EntryNotFoundError:
            return None
        except OfflineModeIsEnabled as error:
            raise BackendError(f"{what}: is not in the cache, and HF_HUB_OFFLINE is set") from error
        except _errors() as error:
            raise BackendError(f"{what}: cannot be had from the hub: {_first_line(error)}") from error
        file = replace(_file(Path(path)), checksum=told.etag or "")
        if matches(file.path, file.checksum) is False:
            _remove(file.path)
            raise BackendError(f"{what}: the download differs from the hub's checksum; it was removed")
        return file


def _file(path: Path) -> HubFile:
    """The cache keeps `snapshots/COMMIT/name`, where it can as a link to `blobs/CHECKSUM`."""
    parts = path.parts
    last = len(parts) - 1 - parts[::-1].index("snapshots")
    blob = path.resolve()
    checksum = blob.name if blob.parent.name == "blobs" else ""
    return HubFile(path=path, revision=parts[last + 1], checksum=checksum)


def _remove(path: Path) -> None:
    path.resolve().unlink(missing_ok=True)
    path.unlink(missing_ok=True)


def _errors() -> tuple[type[Exception], ...]:
    """What the client library raises. Its HTTP library differs by version; not all of that is `OSError`."""
    loaded = [sys.modules[name] for name in ("httpx2", "httpx") if name in sys.modules]
    return (OSError, ValueError, RuntimeError, *(each.HTTPError for each in loaded))


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0][:200]}" if lines else type(error).__name__
