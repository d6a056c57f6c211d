"""Builds the wheel and shows that it stands on its own: alone, and with each extra alone.

Each environment is new and gets nothing but the wheel and one extra. Then `tests/extras/NAME.py` is run in
it, in an empty folder, so that nothing can come from the checkout. The extras are read from pyproject.toml;
a new one without a script of its own is an error.
"""

import argparse
import os
import subprocess
import sys
import tarfile
import tempfile
import time
import tomllib
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SCRIPTS = ROOT / "tests" / "extras"
PINS = ROOT / "requirements" / "tests.txt"
BASE = "base"
TOOLS_ONLY = {"dev"}
"""Extras that are no part of the product."""


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--only", action="append", help=f"an extra, or {BASE}; may be repeated")
    only = arguments.parse_args().only
    names = [BASE, *(name for name in extras() if name not in TOOLS_ONLY)]
    problems = [
        f"tests/extras/{name}.py is missing" for name in names if not (SCRIPTS / f"{name}.py").is_file()
    ]
    if problems:
        return report(problems, 0)
    with tempfile.TemporaryDirectory(prefix="rerankd-extras-") as scratch:
        wheel, sdist = build(Path(scratch))
        problems = [*wheel_problems(wheel), *sdist_problems(sdist)]
        chosen = [name for name in names if not only or name in only]
        for name in chosen:
            begun = time.perf_counter()
            problem = try_extra(wheel, name, Path(scratch) / name)
            verdict = "failed" if problem else "passed"
            say(f"{name}: {verdict} ({time.perf_counter() - begun:.0f} s)")
            problems += [problem] if problem else []
    return report(problems, 1 + len(chosen))


def extras() -> list[str]:
    with (ROOT / "pyproject.toml").open("rb") as file:
        return sorted(tomllib.load(file)["project"]["optional-dependencies"])


def build(folder: Path) -> tuple[Path, Path]:
    """The source archive, and the wheel built from that archive."""
    say("Building the source archive and the wheel ...")
    run([sys.executable, "-m", "build", "--outdir", str(folder / "dist"), str(ROOT)], quiet=True)
    return next((folder / "dist").glob("*.whl")), next((folder / "dist").glob("*.tar.gz"))


def wheel_problems(wheel: Path) -> list[str]:
    """The wheel holds all of src/rerankd and nothing else."""
    inside = set(zipfile.ZipFile(wheel).namelist())
    wanted = {str(path.relative_to(ROOT / "src")) for path in product_files()}
    problems = [f"the wheel lacks {name}" for name in sorted(wanted - inside)]
    for name in sorted(inside - wanted):
        if not name.split("/")[0].startswith("rerankd-"):
            problems.append(f"the wheel holds {name}, which is no part of the product")
    if not any(name.endswith(".dist-info/licenses/LICENSE") for name in inside):
        problems.append("the wheel lacks the licence")
    return problems


def sdist_problems(sdist: Path) -> list[str]:
    with tarfile.open(sdist) as archive:
        inside = {name.partition("/")[2] for name in archive.getnames()}
    wanted = {"LICENSE", "README.md", "pyproject.toml"} | {
        str(path.relative_to(ROOT)) for path in product_files()
    }
    return [f"the source archive lacks {name}" for name in sorted(wanted - inside)]


def product_files() -> list[Path]:
    """What git keeps of the package; without git, what lies there."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "--", "src/rerankd"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if listed.returncode == 0 and listed.stdout:
        found = [ROOT / line for line in listed.stdout.splitlines()]
    else:
        found = list((ROOT / "src" / "rerankd").rglob("*"))
    return [path for path in found if path.is_file() and "__pycache__" not in path.parts]


def try_extra(wheel: Path, name: str, folder: Path) -> str | None:
    """None, or what went wrong."""
    say(f"{name}: installing the wheel into a new environment ...")
    run([sys.executable, "-m", "venv", str(folder / "venv")])
    python = str(folder / "venv" / "bin" / "python")
    wanted = str(wheel) if name == BASE else f"{wheel}[{name}]"
    pip = [python, "-m", "pip", "--disable-pip-version-check"]
    empty = folder / "empty"
    empty.mkdir()
    try:
        run([*pip, "install", "--quiet", "-c", str(PINS), wanted], quiet=True)
        run([*pip, "check"], quiet=True)
        # -I: neither the current folder nor PYTHONPATH; the script's own folder is not on the path either.
        run([python, "-I", "-W", "error", str(SCRIPTS / f"{name}.py")], folder=empty)
    except subprocess.CalledProcessError as error:
        return f"{name}: {' '.join(map(str, error.cmd[1:4]))} ... ended with status {error.returncode}"
    return None


def run(command: list[str], *, folder: Path = ROOT, quiet: bool = False) -> None:
    """Run it; `quiet` shows its output only when it fails."""
    ours = ("RERANK", "PYTHON", "DATABASE_URL", "CROSS_ENCODER_MODEL", "DEVICE")
    environment = {key: value for key, value in os.environ.items() if not key.startswith(ours)}
    try:
        subprocess.run(command, cwd=folder, check=True, text=True, capture_output=quiet, env=environment)
    except subprocess.CalledProcessError as error:
        say((error.stdout or "") + (error.stderr or ""))
        raise


def report(problems: list[str], checks: int) -> int:
    for problem in problems:
        say(f"FAILED: {problem}")
    say(f"{max(0, checks - len(problems))} passed, {len(problems)} failed")
    return 1 if problems else 0


def say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    sys.exit(main())
