"""What a format of rows has to offer, and which one a file is in."""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol

from rerankd.bulk.job import Job, ModelIdentity
from rerankd.bulk.place import Place
from rerankd.bulk.row import Row, Scored
from rerankd.errors import InvalidRequest

__all__ = ["Format", "Part", "Shard", "format_of", "input_files"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Shard:
    """Some consecutive rows of one input file: what becomes one output file."""

    number: int
    file: str
    first: int
    """The number of its first row in the file."""
    rows: int
    start: int = 0
    """The byte at which its first row begins, where rows are lines."""

    @property
    def name(self) -> str:
        return f"part-{self.number:05}"


class Part(Protocol):
    """An output file that is being written."""

    def write(self, scored: Sequence[tuple[Row, Scored]]) -> None: ...


class Format(Protocol):
    """How rows are read and written."""

    extension: str

    def check(self, file: Place, job: Job) -> None:
        """Raise `InvalidRequest` naming the file where it lacks a column, or has one of a wrong type."""
        ...

    def shards(self, file: Place, rows: int) -> Iterator[tuple[int, int, int]]:
        """The first row, the number of rows and the first byte of each shard of so many rows at most."""
        ...

    def read(self, file: Place, shard: Shard, job: Job) -> AbstractContextManager[Iterator[Row]]:
        """A shard's rows, one after the other."""
        ...

    def part(self, output: Any, file: Place, model: ModelIdentity) -> AbstractContextManager[Part]:
        """Write rows of that input file to an open output file."""
        ...


_ENDINGS = {".parquet": "parquet", ".pq": "parquet", ".jsonl": "jsonl", ".ndjson": "jsonl"}
_PACKED = (".gz", ".bz2", ".xz", ".zst")


def _kind(name: str) -> str | None:
    packed = next((ending for ending in _PACKED if name.endswith(ending)), "")
    plain = name.removesuffix(packed)
    kind = next((kind for ending, kind in _ENDINGS.items() if plain.endswith(ending)), None)
    # Parquet files are packed inside, and read from their end
    return None if packed and kind == "parquet" else kind


def format_of(name: str) -> Format | None:
    """By the ending of a file's name; None: it is none that we know."""
    from rerankd.bulk.jsonl import Jsonl
    from rerankd.bulk.parquet import Parquet

    kind = _kind(name)
    return None if kind is None else Parquet() if kind == "parquet" else Jsonl()


def input_files(url: str) -> tuple[list[Place], Format]:
    """The files that an input names, in the order of their names, and the one format that they are in.

    Raises `InvalidRequest` where there is none, or where they are of several formats.
    """
    place = Place.of(url, "INPUT")
    if place.is_folder():
        # names that begin with a dot or an underscore are other programs' own, as everywhere in this trade
        files = [place / name for name in place.names() if name[0] not in "._" and _kind(name)]
        wanted = "holds no file"
    elif any(sign in url for sign in "*?["):
        files, wanted = place.matches(), "names no file"
    else:
        files, wanted = [place] if place.exists() else [], "there is no such file"
    endings = ", ".join(_ENDINGS)
    if not files:
        raise InvalidRequest("INPUT", f"{url}: {wanted}; wanted are {endings}, lines also packed")
    kinds = {_kind(file.name) for file in files}
    if None in kinds:
        stranger = next(file for file in files if _kind(file.name) is None)
        raise InvalidRequest("INPUT", f"{stranger.url}: is not named like a format that is known ({endings})")
    if len(kinds) > 1:
        raise InvalidRequest("INPUT", f"{url}: holds Parquet and JSON lines; a job has one format")
    chosen = format_of(files[0].name)
    assert chosen is not None
    return files, chosen
