"""All checks run one after another, and one that fails does not keep the others from being made."""

from dataclasses import replace
from pathlib import Path

import pytest

from rerankd.doctor.check import Check, Profile, Status
from rerankd.doctor.examine import examine, usual_profile
from rerankd.flags.policy import FlagPolicy
from rerankd.models.policy import ModelPolicy
from rerankd.settings import Settings


def lines(settings: Settings, queries: int = 2) -> dict[str, Check]:
    return {check.name: check for check in examine(settings, Profile.CPU, queries=queries)}


@pytest.fixture
def settings() -> Settings:
    return Settings.load()


@pytest.mark.model
@pytest.mark.threads
def test_the_embedded_model_passes_everything_that_is_no_matter_of_speed(settings: Settings) -> None:
    found = lines(settings)
    bad = [check for check in found.values() if check.status is Status.FAIL]
    assert [check for check in bad if not check.name.startswith(("Latency", "Throughput"))] == []
    assert found["Fully reranked"].figure == "100% of 2 queries with 24 candidates"
    assert found["Test batch"].status is Status.PASS


@pytest.mark.threads
def test_a_broken_model_fails_its_lines_and_the_others_are_still_checked(
    settings: Settings, tmp_path: Path
) -> None:
    found = lines(replace(settings, model=ModelPolicy(model=str(tmp_path))))
    assert found["Model files"].status is Status.FAIL
    assert found["Model loads"].status is Status.FAIL
    assert str(tmp_path) in found["Model loads"].figure
    assert "Latency p95" not in found
    for name in ("Circuit", "Flag", "Metrics", "Metrics as JSON", "Python"):
        assert found[name].status is Status.PASS


@pytest.mark.threads
def test_a_name_that_cannot_be_a_model_is_a_line_of_the_report(settings: Settings) -> None:
    found = lines(replace(settings, model=ModelPolicy(model="no such name")))
    assert found["Model loads"].status is Status.FAIL
    assert found["Circuit"].status is Status.PASS


@pytest.mark.model
@pytest.mark.threads
def test_the_model_is_measured_although_this_host_has_switched_reranking_off(settings: Settings) -> None:
    found = lines(replace(settings, enabled=False))
    assert found["Fully reranked"].status is Status.PASS
    assert found["Flag"].figure == "toggles; here off (RERANK_ENABLED)"


@pytest.mark.threads
def test_a_flag_file_that_cannot_be_read_fails_its_line(settings: Settings, tmp_path: Path) -> None:
    found = lines(
        replace(
            settings, model=ModelPolicy(model=str(tmp_path)), flag=FlagPolicy(file=tmp_path / "missing.json")
        )
    )
    assert found["Flag"].status is Status.FAIL


@pytest.mark.model
@pytest.mark.threads
def test_a_gpu_host_without_a_usable_gpu_fails_the_lines_of_the_gpu_and_is_told_where_the_model_runs(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rerankd.doctor.examine.what_driver_lacks", lambda device: "the driver is missing")
    monkeypatch.setattr("rerankd.backends.devices.what_driver_lacks", lambda device: "the driver is missing")
    found = {check.name: check for check in examine(settings, Profile.GPU, queries=2)}
    for name in ("CUDA", "Model's device"):
        assert found[name].status is Status.FAIL
        assert found[name].remedy
    assert found["Model's device"].figure == "cpu"
    assert found["Test batch"].status is Status.PASS
    assert found["Model digests"].status is Status.PASS


@pytest.mark.parametrize(
    ("device", "profile"), [("cpu", Profile.CPU), ("cuda", Profile.GPU), ("cuda:1", Profile.GPU)]
)
def test_the_profile_is_that_of_the_device_asked_for(
    settings: Settings, device: str, profile: Profile
) -> None:
    assert usual_profile(replace(settings, model=ModelPolicy(device=device))) is profile


@pytest.mark.parametrize(("lacks", "profile"), [("the driver", Profile.CPU), ("", Profile.GPU)])
def test_without_a_device_the_profile_is_gpu_where_cuda_is_usable(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, lacks: str, profile: Profile
) -> None:
    monkeypatch.setattr("rerankd.doctor.examine.what_driver_lacks", lambda device: "")
    monkeypatch.setattr("rerankd.doctor.examine.what_torch_lacks", lambda device: lacks)
    monkeypatch.setattr("rerankd.doctor.examine.what_cuda_lacks", lambda device: "not for this GPU")
    assert usual_profile(settings) is profile
