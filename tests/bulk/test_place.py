"""Whatever a file system raises becomes one line that names the place; what a caller raises stays what it is."""

from pathlib import Path
from typing import Any

import fsspec.implementations.local
import pytest

from rerankd.bulk.place import Place
from rerankd.bulk.plan import plan
from rerankd.bulk.run import run
from rerankd.errors import InvalidRequest, RerankdError
from tests.bulk.files import job, jsonl, model, parquet, rows, written


class Forbidden(Exception):
    """As clients of S3 and of HTTP raise them: no OSError, and of several lines."""

    def __init__(self) -> None:
        super().__init__("403\nand much more")


class Closed(fsspec.implementations.local.LocalFileSystem):  # type: ignore[misc]
    """A remote file system that lets nobody do what `refuses` names."""

    protocol = "closed"
    cachable = False
    refuses = ""

    def isdir(self, path: str) -> bool:
        self._ask("isdir")
        return bool(super().isdir(path))

    def open(self, path: str, mode: str = "rb", **options: Any) -> Any:
        self._ask(f"open {mode}")
        file = super().open(path, mode, **options)
        return _Failing(file) if self.refuses == f"use {mode}" else file

    def makedirs(self, path: str, exist_ok: bool = False) -> None:
        if self.refuses == "makedirs":
            raise NotImplementedError
        super().makedirs(path, exist_ok)

    def _ask(self, what: str) -> None:
        if what == self.refuses:
            raise Forbidden


class _Failing:
    """A file that is open, and fails when it is used."""

    def __init__(self, file: Any) -> None:
        self._file = file

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def read(self, size: int = -1) -> bytes:
        raise Forbidden

    def write(self, content: bytes) -> int:
        raise Forbidden


fsspec.register_implementation("closed", Closed, clobber=True)
FORMATS = pytest.mark.parametrize(("write", "name"), [(jsonl, "in.jsonl"), (parquet, "in.parquet")])


@FORMATS
@pytest.mark.parametrize(
    ("refuses", "done"), [("isdir", "looked at"), ("open rb", "read"), ("use rb", "read")]
)
def test_an_input_that_a_remote_system_refuses_is_told_in_one_line_before_any_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write: Any, name: str, refuses: str, done: str
) -> None:
    source = write(tmp_path / name, rows(5))
    monkeypatch.setattr(Closed, "refuses", refuses)
    with pytest.raises(RerankdError) as raised:
        plan(job(f"closed://{source}", tmp_path / "out"))
    assert str(raised.value).endswith(f"{name}: cannot be {done}: Forbidden: 403")
    assert not (tmp_path / "out").exists()


@FORMATS
@pytest.mark.parametrize(
    ("refuses", "words"),
    [
        ("makedirs", "its file system cannot do that"),
        ("open wb", "Forbidden: 403"),
        ("use wb", "Forbidden: 403"),
    ],
)
def test_an_output_that_cannot_be_written_is_told_in_one_line_before_a_pair_is_scored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write: Any, name: str, refuses: str, words: str
) -> None:
    planned = plan(job(write(tmp_path / name, rows(5)), f"closed://{tmp_path}/out"))
    scorer = model()
    monkeypatch.setattr(Closed, "refuses", refuses)
    with pytest.raises(RerankdError, match=rf"out/_manifest.json: cannot be written: {words}$"):
        run(planned, scorer)
    assert scorer.scorer.runs == []  # type: ignore[attr-defined]
    assert written(tmp_path / "out") == []


def test_what_is_raised_while_a_file_is_open_is_not_the_file_s_fault(tmp_path: Path) -> None:
    place = Place.of(str(tmp_path / "x"), "INPUT")
    (tmp_path / "x").touch()
    with pytest.raises(Forbidden), place.reading():
        raise Forbidden
    with pytest.raises(OSError, match="another"), place.replacing(Place.of(str(tmp_path), "OUTPUT")):
        raise OSError("another")
    assert (tmp_path / "x").read_bytes() == b""


def test_a_file_system_that_cannot_even_be_made_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Any, *_: Any, **__: Any) -> None:
        raise ConnectionRefusedError(111, "Connection refused")

    monkeypatch.setattr(Closed, "__init__", refuse)
    with pytest.raises(RerankdError, match=r"^closed://x: cannot be reached: Connection refused$"):
        Place.of("closed://x", "INPUT")


@pytest.mark.parametrize("url", ["", " "])
def test_a_name_that_is_empty_is_not_the_working_directory(tmp_path: Path, url: str) -> None:
    for given in ((url, tmp_path / "out"), (jsonl(tmp_path / "in.jsonl", rows(2)), url)):
        with pytest.raises(InvalidRequest, match="is empty"):
            plan(job(*given))
