"""The direction of imports is as pyproject.toml says, and every module has its place there."""

import subprocess
import sys
from pathlib import Path


def test_every_import_points_downwards(repository: Path) -> None:
    linter = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([linter, "--no-cache"], cwd=repository, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
