"""What deploy/ says of the product is true: its metrics, its settings and its commands exist."""

import json
import re
from pathlib import Path

import pytest

from rerankd.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
_METRIC = re.compile(r"\brerank_[a-z_]+")
_SERIES = re.compile(r"_(bucket|sum|count)$")


def text(name: str) -> str:
    return (DEPLOY / name).read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ["prometheus/alerts.yml", "grafana/dashboards/rerankd.json"])
def test_every_metric_that_is_drawn_or_alerted_on_exists(name: str) -> None:
    documented = set(re.findall(r"`(rerank_[a-z_]+)`", (ROOT / "docs" / "metrics.md").read_text("utf-8")))
    used = {_SERIES.sub("", metric) for metric in _METRIC.findall(text(name))}
    assert used
    assert used <= documented


def test_every_metric_is_drawn() -> None:
    documented = set(re.findall(r"`(rerank_[a-z_]+)`", (ROOT / "docs" / "metrics.md").read_text("utf-8")))
    drawn = {_SERIES.sub("", metric) for metric in _METRIC.findall(text("grafana/dashboards/rerankd.json"))}
    assert documented - drawn == set()


def test_each_query_of_the_dashboard_is_of_the_chosen_instances() -> None:
    panels = json.loads(text("grafana/dashboards/rerankd.json"))["panels"]
    for panel in panels:
        for target in panel.get("targets", []):
            named = [name for name in _METRIC.findall(target["expr"]) if not name.endswith("_")]
            assert target["expr"].count("$instance") == len(named), (panel["title"], target["expr"])


def test_both_images_bring_the_model_for_their_device() -> None:
    for name, device in (("Dockerfile", "cpu"), ("Dockerfile.cuda", "cuda")):
        said = text(name)
        pulled = said.index(f'rerankd models pull "${{MODEL}}" --device {device}')
        assert said.index("USER 10001") < pulled < said.index("VOLUME /data"), (
            "later it would not be in the image"
        )
    assert "rerankd models pull large --device cuda" in text("skypilot.yaml")


def test_the_gpu_host_is_the_one_that_was_asked_for() -> None:
    said = text("skypilot.yaml")
    for line in (
        "accelerators: {L40S: 1, L40: 1, A100-80GB: 1}",
        "cpus: 8+",
        "memory: 32+",
        "disk_size: 100",
        "ports: 8000",
        "path: /ready",
        "min_replicas: 1",
    ):
        assert line in said


def test_the_dashboard_is_json_whose_panels_have_places_of_their_own() -> None:
    panels = json.loads(text("grafana/dashboards/rerankd.json"))["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        assert place["x"] + place["w"] <= 24
        taken |= cells


@pytest.mark.parametrize(
    "name",
    [
        "Dockerfile",
        "Dockerfile.cuda",
        "compose.yaml",
        "compose.gpu.yaml",
        "skypilot.yaml",
        "ray/skypilot.yaml",
    ],
)
def test_every_setting_that_is_given_exists(name: str) -> None:
    # passwords that compose takes from the caller, and the keys that the start script writes to a file
    own = {"RERANKD_APP_PASSWORD", "RERANKD_KEYS"}
    given = set(re.findall(r"\bRERANKD_[A-Z_]+", text(name))) - own
    settings = Settings.load(dict.fromkeys(given - {"RERANKD_DATA_DIR"}, "1"))
    assert [str(unknown) for unknown in settings.unknown] == []


@pytest.mark.parametrize("name", ["Dockerfile", "Dockerfile.cuda", "skypilot.yaml", "ray/skypilot.yaml"])
def test_every_extra_that_is_installed_exists(name: str) -> None:
    import tomllib

    extras = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"]
    named = re.search(r"'\.\[([a-z,]+)\]'", text(name))
    assert named is not None
    assert set(named[1].split(",")) <= extras.keys()


def test_only_one_onnx_runtime_is_left_on_a_gpu() -> None:
    """Both packages write the same module, so the one for the CPU goes first and the one for the GPU comes last."""
    for name in ("Dockerfile.cuda", "skypilot.yaml"):
        said = text(name)
        removed, added = (
            said.index("uninstall --yes onnxruntime"),
            said.index("onnxruntime-gpu[cuda,cudnn]=="),
        )
        assert said.index("'.[") < removed < added


def test_the_railway_file_names_a_dockerfile_and_a_route_that_exist() -> None:
    shape = json.loads(text("railway.json"))
    assert (ROOT / shape["build"]["dockerfilePath"]).is_file()
    assert shape["deploy"]["healthcheckPath"] in text("Dockerfile")


def test_images_run_as_nobody_in_particular_and_say_whether_they_live() -> None:
    for name in ("Dockerfile", "Dockerfile.cuda"):
        said = text(name)
        assert re.search(r"^USER \d+$", said, re.MULTILINE)
        assert "HEALTHCHECK" in said
        assert said.index("USER") < said.index("ENTRYPOINT")


def test_every_machine_of_the_ray_cluster_has_the_pinned_ray() -> None:
    (pins,) = re.findall(r"--constraint (\S+)", text("ray/skypilot.yaml"))
    assert re.search(r"^ray==", (ROOT / pins).read_text("utf-8"), re.MULTILINE)


def test_the_application_of_the_ray_cluster_and_the_settings_that_it_is_given_exist() -> None:
    from importlib import import_module

    for name in ("ray/serve.yaml", "ray/kuberay.yaml"):
        said = text(name)
        (path,) = re.findall(r"import_path: (\S+)", said)
        module, _, attribute = path.partition(":")
        assert callable(getattr(import_module(module), attribute))
        given = dict(re.findall(r"^\s+((?:ray|model|http)\.[a-z_]+): (\S+)$", said, re.MULTILINE))
        assert given
        Settings.load({}, **given)
