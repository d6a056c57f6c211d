"""What every test starts from: none of this machine's settings, a data folder of its own, no hub."""

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

_OURS = ("RERANKD_", "RERANK_", "CROSS_ENCODER_MODEL", "DEVICE", "DATABASE_URL")
_KEPT = "RERANKD_TEST_DATASETS"

# Before anything imports the hub's client, which reads it once. A test of downloads sets its own.
os.environ.setdefault("HF_HUB_OFFLINE", "1")

# How long an example takes says how busy the machine is, and nothing of what is tested.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")


@pytest.fixture(autouse=True)
def _a_clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    for name in list(os.environ):
        if name.startswith(_OURS) and name != _KEPT:
            monkeypatch.delenv(name)
    monkeypatch.setenv("RERANKD_DATA_DIR", str(_data_folder(tmp_path_factory)))


@pytest.fixture
def repository() -> Path:
    """The checkout's root."""
    return Path(__file__).resolve().parents[1]


def _data_folder(factory: pytest.TempPathFactory) -> Path:
    """One for the whole run: what a model's loading writes there once need not be written again."""
    folder = factory.getbasetemp() / "data"
    folder.mkdir(exist_ok=True)
    return folder
