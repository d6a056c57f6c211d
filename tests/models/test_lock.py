"""What was trusted stays trusted, and a lock file that cannot be read is never taken for an empty one."""

import json
import logging
import os
import stat

import pytest

from rerankd.errors import BackendError
from rerankd.models.lock import LOCK_NAME, Trusted, TrustLock


def test_trust_is_found_again_by_another_process(tmp_path):
    folder = tmp_path / "data" / "deeper"
    TrustLock(folder).trust("a/b", "c0ffee", {"model.onnx": "1"})
    assert TrustLock(folder).trusted("a/b") == Trusted(revision="c0ffee", sha256={"model.onnx": "1"})
    assert TrustLock(folder).trusted("a/other") is None


def test_files_of_the_same_revision_are_added_and_another_revision_replaces_them(tmp_path):
    lock = TrustLock(tmp_path)
    lock.trust("a/b", "one", {"x": "1"})
    lock.trust("a/b", "one", {"y": "2"})
    assert lock.trusted("a/b").sha256 == {"x": "1", "y": "2"}
    lock.trust("a/b", "two", {"y": "3"})
    assert lock.trusted("a/b") == Trusted(revision="two", sha256={"y": "3"})


def test_only_the_owner_may_read_or_write_it_and_nothing_else_is_left_behind(tmp_path):
    TrustLock(tmp_path).trust("a/b", "", {"x": "1"})
    assert [path.name for path in tmp_path.iterdir()] == [LOCK_NAME]
    assert stat.S_IMODE((tmp_path / LOCK_NAME).stat().st_mode) == 0o600


def test_a_write_that_fails_halfway_leaves_the_old_file(tmp_path, monkeypatch, caplog):
    lock = TrustLock(tmp_path)
    lock.trust("a/b", "", {"x": "1"})

    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with caplog.at_level(logging.WARNING):
        lock.trust("a/b", "", {"x": "2"})
    assert "No space left" in caplog.text
    assert lock.trusted("a/b").sha256 == {"x": "1"}
    assert [path.name for path in tmp_path.iterdir()] == [LOCK_NAME]


def test_nothing_new_writes_nothing(tmp_path, monkeypatch):
    lock = TrustLock(tmp_path)
    lock.trust("a/b", "", {"x": "1"})
    monkeypatch.setattr(os, "replace", lambda *_: pytest.fail("written"))
    lock.trust("a/b", "", {"x": "1"})


@pytest.mark.parametrize(
    "content", ["", "{", "[]", '{"version": 2, "models": {}}', '{"version": 1, "models": 3}']
)
def test_a_lock_file_that_cannot_be_understood_is_an_error_that_names_it(tmp_path, content):
    (tmp_path / LOCK_NAME).write_text(content)
    with pytest.raises(BackendError, match=r"models\.lock\.json"):
        TrustLock(tmp_path).trusted("a/b")


def test_without_a_folder_nothing_is_remembered():
    lock = TrustLock(None)
    lock.trust("a/b", "", {"x": "1"})
    assert lock.trusted("a/b") is None


def test_the_file_is_plain_json(tmp_path):
    TrustLock(tmp_path).trust("a/b", "r", {"x": "1"})
    assert json.loads((tmp_path / LOCK_NAME).read_text()) == {
        "version": 1,
        "models": {"a/b": {"revision": "r", "sha256": {"x": "1"}}},
    }
