"""Row 17: faults made by hand in isolation and sealing are found by the tests that are named for them."""

from collections.abc import Iterator

from tests.mutants.runner import ROOT, mutated, run
from tests.prove.line import Line
from tests.prove_memory.faults import FAULTS

__all__ = ["measure"]

_AT_LEAST = 8


def measure(quick: bool) -> Iterator[Line]:
    if quick:
        lost = _lost()
        yield Line(
            17,
            "hand-made faults in isolation and sealing that still fit the source",
            f"all, at least {_AT_LEAST}",
            f"{len(FAULTS) - len(lost)} of {len(FAULTS)}" + "".join(f"; {each}" for each in lost),
            not lost and len(FAULTS) >= _AT_LEAST,
        )
        return
    survived = [
        f"{each.mutant.name} ({each.verdict})" for each in run(False, mutants=FAULTS) if not each.killed
    ]
    yield Line(
        17,
        "hand-made faults in isolation and sealing that the tests named for them find",
        f"all, at least {_AT_LEAST}",
        f"{len(FAULTS) - len(survived)} of {len(FAULTS)}"
        + (f"; not found: {', '.join(survived)}" if survived else ""),
        not survived and len(FAULTS) >= _AT_LEAST,
    )


def _lost() -> list[str]:
    lost = []
    for fault in FAULTS:
        try:
            mutated(fault, (ROOT / "src" / "rerankd" / fault.file).read_text("utf-8"))
        except ValueError as error:
            lost.append(str(error))
    return lost
