"""Digests tell files apart, in the hub's two notations."""

import hashlib

import pytest

from rerankd.errors import BackendError
from rerankd.models.digest import matches, sha256_of, short


def test_a_files_sha256_and_its_short_form(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"x" * 3_000_000)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert sha256_of(path) == digest
    assert short(digest) == digest[:12] + "…"


def test_a_large_files_checksum_is_its_sha256_and_a_small_ones_is_gits(tmp_path):
    path = tmp_path / "file"
    path.write_text("hello\n")
    git = "ce013625030ba8dba906f756967f9e9ca394464a"  # git hash-object
    assert matches(path, sha256_of(path)) is True
    assert matches(path, git) is True
    assert matches(path, "0" * 64) is False
    assert matches(path, "0" * 40) is False


@pytest.mark.parametrize("checksum", ["", "W/abc", "123"])
def test_other_checksums_say_nothing(tmp_path, checksum):
    path = tmp_path / "file"
    path.write_text("hello\n")
    assert matches(path, checksum) is None


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(BackendError, match=r"gone\.bin"):
        sha256_of(tmp_path / "gone.bin")
