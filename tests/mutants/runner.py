"""Puts each fault into a copy of the source, and runs the tests there that have to notice it."""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tests.mutants.list import MUTANTS, Mutant

__all__ = ["ROOT", "Result", "mutated", "run"]

ROOT = Path(__file__).resolve().parents[2]
_COPIED = ("src", "tests")
_AT_ONCE = 2
_SECONDS = 60.0
"""The longest a fault's tests may take; without a fault they take a few seconds, all that wait included."""
_TESTS_FAILED = 1
_WRONG_COPY = 97
_START = f"""
import sys, rerankd, pytest
if not rerankd.__file__.startswith(sys.argv[1]):
    sys.exit({_WRONG_COPY})
sys.exit(pytest.main(sys.argv[2:]))
"""
"""An editable install must not win over the copy."""

Verdict = Literal["killed", "survived", "hangs", "broken"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What became of one fault."""

    mutant: Mutant
    verdict: Verdict
    """`hangs`: its tests came to no end, which tells nobody what is wrong. `broken`: they could not run."""
    seconds: float
    output: str = ""
    """The end of what pytest said, where the fault was not killed."""

    @property
    def killed(self) -> bool:
        return self.verdict == "killed"

    def __str__(self) -> str:
        return f"{self.verdict:8}  {self.mutant.file:18}  {self.mutant.name}  ({self.seconds:.1f} s)"


def run(
    quick: bool,
    tell: Callable[[Result], None] | None = None,
    mutants: Sequence[Mutant] = MUTANTS,
) -> list[Result]:
    """Every fault, or with `quick` the first one of each file. `tell` hears each result as it comes.

    Raises `RuntimeError` when the named tests do not pass without a fault, and `ValueError` when a fault's
    place is not found exactly once.
    """
    chosen = _first_of_each_file(mutants) if quick else mutants
    for mutant in chosen:
        mutated(mutant, (ROOT / "src" / "rerankd" / mutant.file).read_text("utf-8"))
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        _check_without_fault(Path(folder) / "none", chosen)

        def one(numbered: tuple[int, Mutant]) -> Result:
            number, mutant = numbered
            result = _try(mutant, Path(folder) / str(number))
            if tell is not None:
                tell(result)
            return result

        with ThreadPoolExecutor(_AT_ONCE) as pool:
            return list(pool.map(one, enumerate(chosen)))


def mutated(mutant: Mutant, source: str) -> str:
    """The file with the fault in it. Raises `ValueError` unless its place is found exactly once."""
    found = source.count(mutant.old)
    if found != 1:
        raise ValueError(f"{mutant.name!r}: its text stands {found} times in {mutant.file}, instead of once")
    return source.replace(mutant.old, mutant.new)


def _first_of_each_file(mutants: Iterable[Mutant]) -> tuple[Mutant, ...]:
    first: dict[str, Mutant] = {}
    for mutant in mutants:
        first.setdefault(mutant.file, mutant)
    return tuple(first.values())


def _try(mutant: Mutant, folder: Path) -> Result:
    _copy(folder)
    file = folder / "src" / "rerankd" / mutant.file
    file.write_text(mutated(mutant, file.read_text("utf-8")), "utf-8")
    began = time.monotonic()
    verdict: Verdict
    try:
        status, output = _pytest(folder, mutant.tests)
    except subprocess.TimeoutExpired:
        verdict, output = "hangs", ""
    else:
        verdict = "killed" if status == _TESTS_FAILED else "survived" if status == 0 else "broken"
    shutil.rmtree(folder, ignore_errors=True)
    return Result(
        mutant=mutant,
        verdict=verdict,
        seconds=time.monotonic() - began,
        output="" if verdict == "killed" else output,
    )


def _check_without_fault(folder: Path, chosen: Sequence[Mutant]) -> None:
    """Tests that fail anyway would kill everything."""
    _copy(folder)
    tests = tuple(dict.fromkeys(test for mutant in chosen for test in mutant.tests))
    status, output = _pytest(folder, tests)
    if status != 0:
        raise RuntimeError(f"without any fault, pytest ended with {status}:\n{output}")


def _copy(folder: Path) -> None:
    for name in _COPIED:
        unwanted = shutil.ignore_patterns("__pycache__", "*.egg-info")
        shutil.copytree(ROOT / name, folder / name, ignore=unwanted)
    shutil.copy(ROOT / "pyproject.toml", folder)


def _pytest(folder: Path, tests: Sequence[str]) -> tuple[int, str]:
    """Exit status and the end of the output; raises `subprocess.TimeoutExpired`."""
    source = folder.resolve() / "src"
    # the same examples each time, however slow: whether a fault is noticed must not be a matter of luck
    options = ("-x", "-p", "no:cacheprovider", "--hypothesis-profile=ci", "--tb=short")
    ended = subprocess.run(
        [sys.executable, "-c", _START, str(source), *options, *tests],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(source), "PYTHONDONTWRITEBYTECODE": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=_SECONDS,
        check=False,
    )
    if ended.returncode == _WRONG_COPY:
        raise RuntimeError("the installed rerankd was imported instead of the copy")
    return ended.returncode, ended.stdout[-4_000:]
