"""Row 17: faults made by hand in the safety code are found by the tests that are named for them."""

from collections.abc import Iterator

from tests.mutants.list import MUTANTS
from tests.mutants.runner import ROOT, mutated, run
from tests.prove.line import Line

__all__ = ["measure"]

_AT_LEAST = 12


def measure(quick: bool) -> Iterator[Line]:
    core = sum(mutant.file.startswith("core/") for mutant in MUTANTS)
    if quick:
        lost = _lost()
        yield Line(
            17,
            "hand-made faults that still fit the source",
            f"all, at least {_AT_LEAST} in the core",
            f"{len(MUTANTS) - len(lost)} of {len(MUTANTS)}, {core} in the core"
            + "".join(f"; {each}" for each in lost),
            not lost and core >= _AT_LEAST,
        )
        return
    results = run(quick=False)
    survived = [str(each.mutant.name) for each in results if not each.killed]
    yield Line(
        17,
        "hand-made faults that the tests named for them find",
        f"all, at least {_AT_LEAST} in the core",
        f"{len(results) - len(survived)} of {len(results)}, {core} in the core"
        + (f"; not found: {', '.join(survived)}" if survived else ""),
        not survived and core >= _AT_LEAST,
    )


def _lost() -> list[str]:
    lost = []
    for mutant in MUTANTS:
        try:
            mutated(mutant, (ROOT / "src" / "rerankd" / mutant.file).read_text("utf-8"))
        except ValueError as error:
            lost.append(str(error))
    return lost
