"""What bulk work on a cluster refuses before it begins; what it does there needs Ray itself."""

from pathlib import Path

import pytest

from rerankd.backends.replicas_policy import ReplicasPolicy
from rerankd.bulk.plan import plan
from rerankd.errors import BackendError
from rerankd.models.policy import ModelPolicy
from rerankd.scale.data import run_on_ray
from tests.bulk.files import job, jsonl, rows


@pytest.mark.parametrize("named", ["by the setting", "by Ray's variable"])
def test_ray_s_client_is_refused_before_any_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, named: str
) -> None:
    address = "ray://127.0.0.1:1"
    monkeypatch.setenv("RAY_ADDRESS", "" if named == "by the setting" else address)
    with pytest.raises(
        BackendError, match=r"^ray://127.0.0.1:1: bulk work begins on a machine of the cluster"
    ):
        run_on_ray(
            plan(job(jsonl(tmp_path / "in.jsonl", rows(2)), tmp_path / "out")),
            lambda receipt, earlier: None,
            model=ModelPolicy(),
            data_dir=tmp_path,
            policy=ReplicasPolicy(address=address if named == "by the setting" else ""),
        )
    assert not (tmp_path / "out").exists()
