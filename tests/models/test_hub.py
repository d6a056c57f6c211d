"""Files come from the hub once, whole, and as the hub says they are. Through the real client library."""

import contextlib
import os
import subprocess
import sys

import pytest
from huggingface_hub import constants

from rerankd.errors import BackendError
from rerankd.models.hub import Hub
from tests.models.conftest import REPOSITORY
from tests.models.hub_server import COMMIT

NAME = "onnx/model.onnx"


def content(remote) -> bytes:
    return remote.files[f"{REPOSITORY}/{NAME}"]


def test_a_file_is_downloaded_once_and_then_found_in_the_cache(remote, hub):
    assert hub.cached(REPOSITORY, NAME, "main") is None
    assert remote.requests == []
    file = hub.fetch(REPOSITORY, NAME, "main")
    assert file.path.read_bytes() == content(remote)
    assert (file.revision, file.checksum) == (COMMIT, remote.checksum(f"{REPOSITORY}/{NAME}"))
    before = list(remote.requests)
    assert hub.cached(REPOSITORY, NAME, "main") == file
    assert hub.cached(REPOSITORY, NAME, COMMIT) == file
    assert remote.requests == before


def test_a_file_that_the_repository_lacks_is_none(hub):
    assert hub.fetch(REPOSITORY, "onnx/gone.onnx", "main") is None


@pytest.mark.parametrize(
    ("repository", "revision"),
    [("someone/else", "main"), (REPOSITORY, "gone")],
    ids=["repository", "revision"],
)
def test_a_missing_repository_or_revision_is_an_error_that_names_the_file(hub, repository, revision):
    with pytest.raises(BackendError, match=f"{repository}: {NAME}"):
        hub.fetch(repository, NAME, revision)


def test_a_renamed_repository_is_followed(remote, hub):
    remote.renamed["someone/old-name"] = REPOSITORY
    assert hub.fetch("someone/old-name", NAME, "main").path.read_bytes() == content(remote)


def test_a_download_that_differs_from_the_hubs_checksum_is_refused_and_fetched_anew(remote, hub):
    remote.lie = True
    with pytest.raises(BackendError, match=f"{NAME}.*checksum"):
        hub.fetch(REPOSITORY, NAME, "main")
    assert hub.cached(REPOSITORY, NAME, "main") is None
    remote.lie = False
    assert hub.fetch(REPOSITORY, NAME, "main").path.read_bytes() == content(remote)


def test_a_small_files_checksum_is_checked_too(remote, hub):
    remote.lie = True
    with pytest.raises(BackendError, match=r"tokenizer\.json.*checksum"):
        hub.fetch(REPOSITORY, "tokenizer.json", "main")


def test_an_interrupted_download_is_whole_in_the_end_or_not_there(remote, hub):
    remote.break_after, remote.breaks = 100, 1
    with contextlib.suppress(BackendError):
        hub.fetch(REPOSITORY, NAME, "main")
    assert remote.breaks == 0
    cached = hub.cached(REPOSITORY, NAME, "main")
    assert cached is None or cached.path.read_bytes() == content(remote)
    assert hub.fetch(REPOSITORY, NAME, "main").path.read_bytes() == content(remote)


def test_a_hub_that_fails_or_is_not_there_is_an_error_that_names_the_file(remote, online, tmp_path):
    remote.status = 500
    for url in (remote.url, "http://127.0.0.1:9"):
        with pytest.raises(BackendError, match=NAME):
            Hub(endpoint=url, cache=tmp_path).fetch(REPOSITORY, NAME, "main")


def test_offline_asks_nobody_and_says_why(remote, hub, monkeypatch):
    hub.fetch(REPOSITORY, NAME, "main")
    asked = list(remote.requests)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert hub.cached(REPOSITORY, NAME, "main") is not None
    with pytest.raises(BackendError, match="HF_HUB_OFFLINE"):
        hub.fetch(REPOSITORY, "tokenizer.json", "main")
    assert remote.requests == asked


def test_the_usual_environment_variables_count(remote, tmp_path):
    """In a process of its own, because the client library reads them when it is imported."""
    code = (
        "import sys\n"
        "from rerankd.models.hub import Hub\n"
        f"print(Hub().fetch({REPOSITORY!r}, {NAME!r}, 'main').path)\n"
    )
    env = {**os.environ, "HF_HUB_OFFLINE": "0", "HF_ENDPOINT": remote.url, "HF_HOME": str(tmp_path / "home")}
    env["PYTHONPATH"] = os.pathsep.join(sys.path)
    run = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True)
    assert run.stdout.startswith(str(tmp_path / "home"))
    assert f"/{REPOSITORY}/resolve/main/{NAME}" in remote.gets()
    offline = {**env, "HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path / "empty")}
    run = subprocess.run([sys.executable, "-c", code], env=offline, capture_output=True, text=True)
    assert "HF_HUB_OFFLINE is set" in run.stderr
