"""Secrets in epochs: made once, kept for their owner alone, named by number and content."""

import base64
import os
import threading
from pathlib import Path

import pytest

from rerankd.errors import ConfigError, SealError
from rerankd.memory.epochs import Epoch, FileEpochs, GivenEpochs, MissingKey, number_of

ONE, TWO = base64.b64encode(b"1" * 32).decode(), base64.urlsafe_b64encode(b"\xff" * 32).decode()


def quiet(message: str) -> None:
    """Nobody to announce to."""


def test_the_first_key_is_made_when_it_is_needed_and_is_then_the_same(tmp_path: Path) -> None:
    said: list[str] = []
    epochs = FileEpochs("key", tmp_path / "keys", announce=said.append)
    assert dict(epochs.all()) == {}
    made = epochs.first()
    assert epochs.first() == made
    assert FileEpochs("key", tmp_path / "keys").get(made.id) == made
    assert len(said) == 1
    assert str(tmp_path / "keys" / "key-1") in said[0]


def test_a_key_file_is_its_owner_s_alone(tmp_path: Path) -> None:
    FileEpochs("key", tmp_path / "keys", announce=quiet).first()
    assert (tmp_path / "keys").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "keys" / "key-1").stat().st_mode & 0o777 == 0o600
    assert os.listdir(tmp_path / "keys") == ["key-1"]


def test_the_next_epoch_is_made_once_and_taken_again_after_an_interrupted_rotation(tmp_path: Path) -> None:
    epochs = FileEpochs("key", tmp_path, announce=quiet)
    first = epochs.first()
    second = epochs.after(first.id)
    assert (second.number, epochs.after(first.id)) == (2, second)
    assert list(epochs.all()) == [first.id, second.id]


def test_processes_that_make_a_key_at_once_end_up_with_the_same(tmp_path: Path) -> None:
    found: list[Epoch] = []
    threads = [
        threading.Thread(target=lambda: found.append(FileEpochs("key", tmp_path, announce=quiet).first()))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert len(set(found)) == 1


def test_a_key_that_another_process_made_is_found(tmp_path: Path) -> None:
    here, there = (FileEpochs("key", tmp_path, announce=quiet) for _ in range(2))
    first = here.first()
    second = there.after(first.id)
    assert here.get(second.id) == second


def test_a_destroyed_key_is_gone_from_the_folder_and_from_the_process(tmp_path: Path) -> None:
    epochs = FileEpochs("key", tmp_path, announce=quiet)
    first = epochs.first()
    epochs.after(first.id)
    assert epochs.destroy(first.id)
    assert epochs.destroy(first.id), "it is gone already"
    with pytest.raises(MissingKey, match="restore"):
        epochs.get(first.id)
    assert os.listdir(tmp_path) == ["key-2"]


def test_a_key_that_was_lost_and_made_anew_has_another_id(tmp_path: Path) -> None:
    epochs = FileEpochs("key", tmp_path, announce=quiet)
    lost = epochs.first()
    (tmp_path / "key-1").unlink()
    assert epochs.first().id != lost.id
    with pytest.raises(MissingKey):
        epochs.get(lost.id)


def test_kinds_do_not_see_each_other(tmp_path: Path) -> None:
    key = FileEpochs("key", tmp_path, announce=quiet).first()
    peppers = FileEpochs("pepper", tmp_path, announce=quiet)
    assert dict(peppers.all()) == {}
    with pytest.raises(MissingKey):
        peppers.get(key.id)


@pytest.mark.parametrize("content", ["not base64!", base64.b64encode(b"short").decode(), "\xe4"])
def test_a_damaged_key_file_is_an_error_that_names_the_folder(tmp_path: Path, content: str) -> None:
    (tmp_path / "key-1").write_text(content, encoding="latin-1")
    (tmp_path / "key-1").chmod(0o600)
    with pytest.raises(SealError, match=str(tmp_path)):
        FileEpochs("key", tmp_path).first()


def test_a_key_file_that_others_can_read_is_pointed_out(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    FileEpochs("key", tmp_path, announce=quiet).first()
    (tmp_path / "key-1").chmod(0o644)
    FileEpochs("key", tmp_path).all()
    assert "chmod 600" in caplog.text


def test_a_folder_that_cannot_be_made_is_an_error_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(SealError, match="key-1"):
        FileEpochs("key", tmp_path / "file").first()


def test_given_epochs_are_read_in_either_alphabet_and_the_highest_is_the_newest() -> None:
    epochs = GivenEpochs("key", f"7:{TWO}, 2:{ONE}", setting="KEYS")
    assert [epoch.secret for epoch in epochs.all().values()] == [b"1" * 32, b"\xff" * 32]
    assert epochs.first().number == 7
    two = next(iter(epochs.all().values()))
    assert epochs.get(two.id) is two
    assert epochs.after(two.id).number == 7


def test_given_epochs_are_neither_made_nor_destroyed_here() -> None:
    epochs = GivenEpochs("key", f"1:{ONE}", setting="KEYS")
    only = epochs.first()
    with pytest.raises(SealError, match="add the next epoch"):
        epochs.after(only.id)
    assert not epochs.destroy(only.id)
    assert epochs.destroy("9-00000000"), "what is not there is gone"
    with pytest.raises(MissingKey, match="KEYS"):
        epochs.get("9-00000000")


@pytest.mark.parametrize("value", [f"x:{ONE}", ONE, f"1:{ONE},1:{TWO}", "1:AAAA", "1:?", ""])
def test_a_setting_that_holds_no_epochs_is_refused_without_showing_it(value: str) -> None:
    with pytest.raises(ConfigError, match=r"^KEYS: ") as caught:
        GivenEpochs("key", value, setting="KEYS")
    assert ONE not in str(caught.value)


def test_an_id_says_its_number_and_a_secret_is_not_shown() -> None:
    epoch = Epoch("key", 12, b"s" * 32)
    assert number_of(epoch.id) == 12
    assert number_of("nonsense") == 0
    assert "sss" not in repr(epoch)
    assert epoch.id != Epoch("pepper", 12, b"s" * 32).id
