"""One edit of the flag file switches its readers, and no edit can break them."""

import logging
import os
import stat
import threading

import pytest

from rerankd.core.flag import Flag, Mode
from rerankd.errors import ConfigError
from rerankd.flags.file import FileFlag, read_flag, write_flag

CANARY = "canary-7f3a the patient's name is Ada"


@pytest.fixture
def path(tmp_path):
    return tmp_path / "flag.json"


def warnings_of(caplog):
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


def test_each_edit_is_seen_at_the_next_read_also_when_size_and_time_stay_the_same(path):
    source = FileFlag(path)
    path.write_text('{"mode": "on", "percent": 10}')
    os.utime(path, ns=(0, 0))
    assert source.read({}) == Flag(Mode.ON, 10)
    path.write_text('{"mode": "on", "percent": 90}')
    os.utime(path, ns=(0, 0))
    assert source.read({}) == Flag(Mode.ON, 90)
    write_flag(path, Flag(Mode.SHADOW))
    assert source.read({}) == Flag(Mode.SHADOW)
    assert source.name == "file"


def test_a_mounted_config_map_switches_when_its_link_is_swapped(tmp_path):
    for version, mode in (("v1", "on"), ("v2", "off")):
        (tmp_path / version).mkdir()
        (tmp_path / version / "flag.json").write_text(f'{{"mode": "{mode}"}}')
    (tmp_path / "data").symlink_to("v1")
    (tmp_path / "flag.json").symlink_to("data/flag.json")
    source = FileFlag(tmp_path / "flag.json")
    assert source.read({}) == Flag(Mode.ON)
    (tmp_path / "next").symlink_to("v2")
    (tmp_path / "next").replace(tmp_path / "data")
    assert source.read({}) == Flag(Mode.OFF)


def test_an_unreadable_file_gives_none_and_says_so_once_until_the_problem_changes(path, caplog):
    caplog.set_level(logging.INFO)
    source = FileFlag(path)
    for _ in range(3):
        assert source.read({}) is None
    assert len(caplog.records) == 1
    assert "cannot be read: No such file or directory" in caplog.text
    assert str(path) in caplog.text
    path.write_text("{")
    for _ in range(3):
        assert source.read({}) is None
    assert len(warnings_of(caplog)) == 2
    assert "is not valid JSON" in warnings_of(caplog)[1]
    path.write_text('{"mode": "off"}')
    assert source.read({}) == Flag(Mode.OFF)
    assert caplog.records[-1].getMessage() == f"the flag file {path} can be read again"
    assert source.read({}) == Flag(Mode.OFF)
    assert len(caplog.records) == 3
    path.unlink()
    assert source.read({}) is None
    assert len(warnings_of(caplog)) == 3


@pytest.mark.parametrize(
    "content",
    [
        "",
        CANARY,
        f'{{"mode": "{CANARY}"}}',
        f'{{"mode": "on", "percent": "{CANARY}"}}',
        f'{{"{CANARY}": 1}}',
        "on",
    ],
)
def test_the_content_of_a_wrong_file_is_never_repeated(path, caplog, content):
    path.write_text(content)
    assert FileFlag(path).read({}) is None
    assert "canary" not in caplog.text
    assert str(path) in caplog.text


def test_a_large_file_is_no_flag_file_and_is_not_read_through(path):
    path.write_text('{"mode": "off"}' + " " * 5_000)
    with pytest.raises(ConfigError, match="is larger than 4096 bytes"):
        read_flag(path)


def test_a_folder_in_its_place_is_a_problem_not_a_crash(tmp_path):
    with pytest.raises(ConfigError, match="cannot be read"):
        read_flag(tmp_path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_named_pipe_in_its_place_does_not_hold_the_reader(path):
    os.mkfifo(path)
    with pytest.raises(ConfigError, match="cannot be read: it is not a regular file"):
        read_flag(path)


def test_writing_leaves_the_flag_alone_in_its_folder_and_keeps_the_permissions(path):
    write_flag(path, Flag(Mode.ON, 25))
    assert read_flag(path) == Flag(Mode.ON, 25)
    assert path.read_text() == '{"mode": "on", "percent": 25}\n'
    path.chmod(0o640)
    write_flag(path, Flag(Mode.OFF))
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert [entry.name for entry in path.parent.iterdir()] == ["flag.json"]


def test_writing_through_a_link_changes_the_file_behind_it(tmp_path):
    target, link = tmp_path / "target.json", tmp_path / "link.json"
    write_flag(target, Flag(Mode.ON))
    link.symlink_to(target)
    write_flag(link, Flag(Mode.OFF))
    assert link.is_symlink()
    assert read_flag(target) == Flag(Mode.OFF)


def test_a_file_that_cannot_be_written_is_named_and_nothing_is_left_behind(tmp_path, monkeypatch):
    with pytest.raises(ConfigError, match=r"absent.flag\.json: cannot be written: No such file"):
        write_flag(tmp_path / "absent" / "flag.json", Flag(Mode.ON))

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ConfigError, match="No space left"):
        write_flag(tmp_path / "flag.json", Flag(Mode.ON))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.threads
def test_a_reader_sees_the_old_flag_or_the_new_one_and_nothing_between(path):
    flags = [Flag(Mode.ON, 1), Flag(Mode.SHADOW, 99.5)]
    write_flag(path, flags[0])
    done = threading.Event()

    def write():
        for turn in range(200):
            write_flag(path, flags[turn % 2])
        done.set()

    writer = threading.Thread(target=write)
    writer.start()
    seen = {read_flag(path)}
    while not done.is_set():
        seen.add(read_flag(path))
    writer.join()
    assert seen <= set(flags)
