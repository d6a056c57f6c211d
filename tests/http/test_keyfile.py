"""Keys are kept as hashes, two to a name, in a file that is whole or unchanged and for its owner only."""

import json
import stat

import pytest

from rerankd.errors import ConfigError
from rerankd.http.keyfile import KeyFile


@pytest.fixture
def keys(tmp_path):
    return KeyFile(tmp_path / "data" / "keys.json")


def test_a_key_is_found_and_its_text_is_kept_nowhere(keys):
    record, key = keys.create("app", ["rerank"], "2026-01-02")
    assert keys.find(key) == record
    assert keys.find(key + "x") is None
    assert key not in keys.path.read_text()
    assert key.removeprefix("rk_") not in keys.path.read_text()
    assert stat.S_IMODE(keys.path.stat().st_mode) == 0o600


def test_a_third_key_of_a_name_is_refused_until_one_is_revoked(keys):
    first, old = keys.create("app", ["rerank"], "d")
    keys.create("app", ["rerank"], "d")
    keys.create("other", ["admin"], "d")
    with pytest.raises(ConfigError, match="app has 2 live keys"):
        keys.create("app", ["rerank"], "d")
    keys.revoke(first.id)
    assert keys.find(old) is None
    keys.create("app", ["rerank"], "d")


def test_a_change_by_another_process_is_seen_at_once(keys):
    other = KeyFile(keys.path)
    assert other.keys() == ()
    record, key = keys.create("app", ["rerank"], "d")
    assert other.find(key) == record
    keys.revoke(record.id)
    assert other.find(key) is None
    keys.path.unlink()
    assert other.keys() == ()


@pytest.mark.parametrize("scope", ["", "write", "memory:", "memory:a b", "memory:a/", "rerank ", "admin/x"])
def test_a_scope_that_is_none_is_refused(keys, scope):
    with pytest.raises(ConfigError, match="scope"):
        keys.create("app", [scope], "d")
    assert not keys.path.exists()


def test_scopes_of_memory_name_a_tenant_and_perhaps_a_user(keys):
    record, _ = keys.create("app", ["memory:acme", "memory:acme/anna@example.org"], "d")
    assert record.scopes == ("memory:acme", "memory:acme/anna@example.org")


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"keys": [{"id": "a"}]}', '{"keys": 3}', "\x00"])
def test_a_damaged_file_is_an_error_and_not_an_empty_one(keys, content):
    keys.path.parent.mkdir()
    keys.path.write_text(content)
    with pytest.raises(ConfigError, match="is not a file of API keys"):
        keys.keys()


def test_an_unknown_id_cannot_be_revoked(keys):
    with pytest.raises(ConfigError, match="no live key with the id abc"):
        keys.revoke("abc")


def test_a_failed_write_leaves_the_old_file(keys, monkeypatch):
    _, key = keys.create("app", ["rerank"], "d")

    def fail(*args, **kwargs):
        raise OSError("full")

    monkeypatch.setattr(json, "dump", fail)
    with pytest.raises(OSError, match="full"):
        keys.create("app", ["rerank"], "d")
    assert keys.find(key) is not None
    assert [path.name for path in keys.path.parent.iterdir()] == ["keys.json"]
