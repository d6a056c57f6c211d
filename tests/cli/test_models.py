from pathlib import Path

import pytest

from rerankd.models.hub import Hub
from tests.models.conftest import REPOSITORY, hub, made, online, remote
from tests.models.hub_server import COMMIT, FakeHub

from .conftest import Run

__all__ = ["hub", "made", "online", "remote"]

LARGE = "cross-encoder/ms-marco-MiniLM-L-12-v2"


@pytest.fixture(autouse=True)
def _no_hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("RERANKD_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("DEVICE", "cpu")


def test_the_list_says_which_model_is_in_use_and_what_is_known_of_each(run: Run) -> None:
    rows = {row["id"]: row for row in run("models", "list", "--json").json}
    assert [row["id"] for row in rows.values() if row["default"]] == [LARGE]
    assert rows[LARGE]["aliases"] == ["large"]
    assert rows[LARGE]["licence"] == "Apache-2.0"
    assert rows["cross-encoder/mmarco-mMiniLMv2-L12-H384-v1"]["languages"] == "multilingual"
    table = run("models", "list")
    assert LARGE in table.out
    assert "CROSS_ENCODER_MODEL" in table.out


def test_a_folder_as_the_model_in_use_is_no_default_of_the_list(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("CROSS_ENCODER_MODEL", str(tmp_path))
    assert not any(row["default"] for row in run("models", "list", "--json").json)


@pytest.mark.model
def test_the_embedded_model_is_here_and_its_files_are_the_known_ones(run: Run) -> None:
    rows = {row["id"]: row["here"] for row in run("models", "list", "--json").json}
    assert rows[LARGE] == "package"
    done = run("models", "verify", "large", "--json")
    assert done.status == 0
    assert {each["status"] for each in done.json["files"]} == {"known"}
    assert done.json["problems"] == []
    assert "known" in run("models", "verify").out


@pytest.mark.model
def test_pulling_what_is_here_says_where(run: Run) -> None:
    done = run("models", "pull", "large")
    assert done.status == 0
    assert done.out.startswith(f"{LARGE}: int8, licence Apache-2.0\n")
    assert "model.onnx" in done.out


def test_a_model_that_cannot_be_had_is_one_line_and_status_1(run: Run, tmp_path: Path) -> None:
    for arguments in (
        ["pull", "nobody/nothing"],
        ["verify", "nobody/nothing"],
        ["verify", tmp_path / "gone"],
    ):
        done = run("models", *arguments)
        assert (done.status, done.out) == (1, "")
        assert str(arguments[1]) in done.err
        assert done.err.count("\n") == 1


def test_a_name_that_cannot_be_a_model_is_wrong_use(run: Run) -> None:
    done = run("models", "pull", "not a model")
    assert done.status == 2
    assert "must be a folder, a hub id" in done.err


def test_accepting_needs_a_name(run: Run) -> None:
    done = run("models", "verify", "--accept")
    assert done.status == 2
    assert "needs the name of a model" in done.err


@pytest.mark.model
def test_a_changed_file_fails_until_it_is_accepted(run: Run, tmp_path: Path) -> None:
    import shutil

    from rerankd.cli.session import load_settings
    from rerankd.models.resolve import resolve

    files = resolve(load_settings().model, data_dir=None)
    folder = tmp_path / "mine"
    folder.mkdir()
    shutil.copy(files.onnx, folder / "model.onnx")
    shutil.copy(files.tokenizer, folder / "tokenizer.json")
    assert run("models", "pull", folder).status == 0  # trusted on first use
    tokenizer = folder / "tokenizer.json"
    tokenizer.write_bytes(tokenizer.read_bytes().rstrip()[:-1] + b" }")
    done = run("models", "verify", folder)
    assert done.status == 1
    assert "wrong" in done.out
    assert "--accept" in done.err
    assert run("models", "verify", folder, "--accept").status == 0
    assert run("models", "verify", folder).status == 0


def test_a_model_is_pulled_from_the_hub_checked_and_then_known_to_verify(
    run: Run, made: Path, remote: FakeHub, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rerankd.models.locate.Hub", lambda: hub)
    monkeypatch.setattr("rerankd.backends.cpu.int8_path", lambda: "none")
    done = run("models", "pull", REPOSITORY, "--json")
    assert done.status == 0, done.err
    assert (done.json["model"], done.json["source"], done.json["revision"]) == (REPOSITORY, "hub", COMMIT)
    assert Path(done.json["onnx"]).read_bytes() == (made / "model.onnx").read_bytes()
    asked = len(remote.requests)
    seen = run("models", "verify", REPOSITORY, "--json")
    assert {each["status"] for each in seen.json["files"]} == {"trusted"}
    assert len(remote.requests) == asked  # verifying downloads nothing
