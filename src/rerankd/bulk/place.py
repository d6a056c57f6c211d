"""Files and folders, wherever fsspec can reach: this machine, S3, GCS, HTTP and more."""

import lzma
import secrets
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, BinaryIO, Self, cast

from rerankd.errors import BackendError, InvalidRequest, RerankdError

__all__ = ["PARTIAL", "Place", "refused"]

PARTIAL = "_partial"
"""The folder of files that are not whole yet."""
_STRIDE = 1 << 20
"""Bytes that are read at once to get to a place in a file that cannot be sought."""


@dataclass(frozen=True, slots=True)
class Place:
    """A path on a file system. Its methods raise `RerankdError` naming it when it cannot be reached."""

    system: Any
    path: str

    @classmethod
    def of(cls, url: str, argument: str) -> Self:
        """A path, or a URL as `s3://bucket/folder`. Raises `InvalidRequest` for a kind that is not known."""
        try:
            import fsspec  # type: ignore[import-untyped]
        except ImportError as error:
            raise BackendError(f"bulk work needs more: pip install 'rerankd[batch]' ({error})") from error
        if not url.strip():
            raise InvalidRequest(argument, "is empty")  # fsspec would take the working directory
        try:
            system, path = fsspec.core.url_to_fs(url)
        except (ValueError, ImportError) as error:
            raise InvalidRequest(argument, f"{url}: {error}") from None
        except Exception as error:  # some file systems connect when they are made
            raise RerankdError(f"{url}: cannot be reached: {_words(error)}") from error
        return cls(system, path)

    @property
    def url(self) -> str:
        """What names it to another process; on this machine a plain path."""
        if "file" in self._protocols:
            return self.path
        return str(self.system.unstrip_protocol(self.path))

    @property
    def _protocols(self) -> tuple[str, ...]:
        kinds = self.system.protocol
        return (kinds,) if isinstance(kinds, str) else tuple(kinds)

    def __truediv__(self, name: str) -> "Place":
        return Place(self.system, f"{self.path.rstrip('/')}/{name}")

    @property
    def name(self) -> str:
        return self.path.rstrip("/").rpartition("/")[2]

    def exists(self) -> bool:
        with refused(self, "looked at"):
            return bool(self.system.exists(self.path))

    def is_folder(self) -> bool:
        with refused(self, "looked at"):
            return bool(self.system.isdir(self.path))

    def names(self) -> list[str]:
        """What is directly in the folder, sorted; nothing where there is no folder."""
        with refused(self, "listed"):
            if not self.system.isdir(self.path):
                return []
            self.system.invalidate_cache(self.path)
            return sorted(Place(self.system, found).name for found in self.system.ls(self.path, detail=False))

    def matches(self) -> "list[Place]":
        """The files that a pattern names, sorted by their paths."""
        with refused(self, "listed"):
            return [Place(self.system, found) for found in sorted(self.system.glob(self.path))]

    def identity(self) -> dict[str, Any]:
        """What tells one state of a file from another, as far as its system says."""
        with refused(self, "looked at"):
            info = self.system.info(self.path)
        known = [
            info.get(key) for key in ("ETag", "etag", "md5Hash", "mtime", "LastModified", "last_modified")
        ]
        changed = next((each for each in known if each is not None), "")
        return {"file": self.url, "size": info.get("size"), "changed": str(changed)}

    @contextmanager
    def reading(self) -> "Iterator[BinaryIO]":
        """The file, open for reading; a compressed one (`.gz`, `.bz2`, `.xz`, `.zst`) is unpacked."""
        import fsspec

        with refused(self, "read"):
            if self.path.endswith(".zst"):
                # fsspec needs one more package for it; Arrow, which is here anyway, does not
                import pyarrow  # type: ignore[import-untyped]

                opened = pyarrow.CompressedInputStream(self.system.open(self.path, "rb"), "zstd")
            else:
                compression = fsspec.utils.infer_compression(self.path)
                opened = self.system.open(self.path, "rb", compression=compression)
        with _Opened(opened, self, "read") as file:
            yield cast(BinaryIO, file)

    def read(self) -> bytes:
        with self.reading() as file:
            return file.read()

    @contextmanager
    def replacing(self, root: "Place") -> "Iterator[BinaryIO]":
        """Write a file that is whole or not there: it is moved into place when the block ends without error.

        `root`: the folder of the job, in which what is not whole yet has a folder of its own.
        """
        partial = root / PARTIAL / f"{self.name}.{secrets.token_hex(4)}"
        with refused(self, "written"):
            self.system.makedirs((root / PARTIAL).path, exist_ok=True)
            self.system.makedirs(self.path.rpartition("/")[0], exist_ok=True)
            opened = self.system.open(partial.path, "wb")
        with _Opened(opened, self, "written") as file:
            yield cast(BinaryIO, file)
        with refused(self, "written"):
            self.system.mv(partial.path, self.path)

    def remove(self) -> None:
        """The file or folder, if it is there."""
        with refused(self, "removed"):
            if self.system.exists(self.path):
                self.system.rm(self.path, recursive=True)


class _Opened:
    """An open file whose place is named in whatever it raises. What is done with its content raises its own."""

    def __init__(self, file: Any, place: Place, done: str) -> None:
        self._file = file
        self._place = place
        self._done = done

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def read(self, *size: int) -> bytes:
        with refused(self._place, self._done):
            return bytes(self._file.read(*size))

    def seek(self, *to: int) -> int:
        with refused(self._place, self._done):
            if self._file.seekable():
                return int(self._file.seek(*to))
            left = to[0]  # what is unpacked as it is read goes onwards only, and was only just opened
            while left > 0 and (part := self._file.read(min(left, _STRIDE))):
                left -= len(part)
            return to[0] - left

    def write(self, content: bytes) -> int:
        with refused(self._place, self._done):
            return int(self._file.write(content))

    def close(self) -> None:
        # what is held back until now, such as an upload's last part, is written now
        with refused(self._place, self._done):
            self._file.close()


@contextmanager
def refused(place: Place, done: str) -> Iterator[None]:
    """Name the place in whatever its file system raises: clients of remote ones have exceptions of their own."""
    try:
        yield
    except RerankdError:
        raise
    except Exception as error:
        raise RerankdError(f"{place.url}: cannot be {done}: {_words(error)}") from error


def _words(error: Exception) -> str:
    """What happened, in a line."""
    if isinstance(error, EOFError | zlib.error | lzma.LZMAError):
        return "it is packed, and cut short or damaged"
    if isinstance(error, OSError):
        return error.strerror or str(error).partition("\n")[0][:200] or type(error).__name__
    if isinstance(error, NotImplementedError):
        return "its file system cannot do that"
    return f"{type(error).__name__}: {error}".partition("\n")[0][:200]
