"""Everything that is to be known of a GPU host, as Markdown and JSON.

    make gpu-report                                  on a host with an NVIDIA GPU: about ten minutes
    make gpu-report ARGS='--device cpu --quick'      every line of it, on any machine: four minutes of a core

The exit status is 1 when a figure that has a limit missed it, or a section failed; in the quick form it is not
judged by speed. It is 2 when the device cannot be used. The files are written anew after each section.
"""

import argparse
import datetime
import json
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from benchmarks.gpu import sections
from benchmarks.gpu.models import Forms
from benchmarks.gpu.report import markdown
from benchmarks.gpu.sections import Plan, Rows
from rerankd.backends.devices import devices, what_torch_lacks
from rerankd.backends.failures import words
from rerankd.errors import ConfigError
from rerankd.settings import Settings

__all__: list[str] = []

ARTEFACTS = Path(__file__).resolve().parents[2] / "artefacts" / "gpu"
SCHEMA = 1


def main() -> int:
    parser = argparse.ArgumentParser(prog="benchmarks.gpu", description=__doc__)
    parser.add_argument("--device", default="cuda:0", help="cuda:N or cpu")
    parser.add_argument("--quick", action="store_true", help="little of everything")
    parser.add_argument("--out", type=Path, default=ARTEFACTS, help="the folder of report.md and report.json")
    arguments = parser.parse_args()
    try:
        device = devices(arguments.device, what_torch_lacks)[0]
    except ConfigError:
        return _refused(f"--device must be cpu, cuda or cuda:N, got {arguments.device!r}")
    if str(device) != arguments.device.replace("cuda", "cuda:0") and str(device) != arguments.device:
        return _refused(
            f"{arguments.device} is not usable: {what_torch_lacks(device) or 'see the warning above'}"
        )

    def keep(report: dict[str, Any]) -> None:
        arguments.out.mkdir(parents=True, exist_ok=True)
        (arguments.out / "report.json").write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
        (arguments.out / "report.md").write_text(markdown(report), encoding="utf-8")

    plan = _plan(device, arguments.out / "models", quick=arguments.quick)
    report = measure(plan, quick=arguments.quick, keep=keep)
    print(f"Written: {arguments.out / 'report.md'} and report.json. Missed: {report['missed'] or 'nothing'}")
    if report["unusable"]:
        print(f"Not usable: {report['unusable']}")
    if report["failed"]:
        print(f"Failed: {report['failed']}")
    return 1 if report["missed"] or report["failed"] else 0


def _refused(why: str) -> int:
    print(why, file=sys.stderr)
    return 2


def _plan(device: Any, folder: Path, *, quick: bool) -> Plan:
    forms = Forms(folder=folder)
    if quick:
        return Plan(
            device=device, forms=forms, queries=3, lengths=(16, 64), budgets=(256, 1_024), pairs=8, requests=6
        )
    return Plan(
        device=device,
        forms=forms,
        queries=500,
        lengths=(16, 32, 64, 128, 256, 512),
        budgets=(1_024, 4_096, 8_192, 16_384, 32_768, 65_536),
        pairs=1_024,
        requests=2_000,
    )


def measure(
    plan: Plan, *, quick: bool, keep: Callable[[dict[str, Any]], None] = lambda report: None
) -> dict[str, Any]:
    """The report. `keep` is given what there is of it after each section; one that fails is noted in it."""
    settings = Settings.load(data_dir=str(plan.forms.folder)).uncached()
    report: dict[str, Any] = {
        "schema": SCHEMA,
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "device": str(plan.device),
        "quick": quick,
        "finished": False,
        "missed": [],
        "failed": [],
        "unusable": [],
        "sections": [],
    }
    capacity = [0.0]
    with sections.nvml_under() as readings:
        for title, meaning, act in _sections(plan, settings, lambda: capacity[0]):
            print(f"{title} ...", flush=True)
            section: dict[str, Any] = {"title": title, "meaning": meaning, "rows": []}
            report["sections"].append(section)
            try:
                section["rows"] = act()
            except Exception as error:  # noqa: BLE001 - what was measured is kept, and the rest measured
                traceback.print_exc()
                section["failed"] = f"{type(error).__name__}: {words(error)}"
                report["failed"].append(f"{title}: {section['failed']}")
            else:
                _judge(report, section)
                if title == "Latency and throughput":
                    capacity[0] = _capacity(section["rows"])
            keep(report)
    report["sections"].append(
        {"title": "NVML", "meaning": "The largest readings while all this ran.", "rows": readings}
    )
    report["finished"] = True
    keep(report)
    return report


def _judge(report: dict[str, Any], section: dict[str, Any]) -> None:
    """Put down what of a section missed its limit, and what could not be used."""
    title, rows = section["title"], section["rows"]
    report["missed"] += [f"{title}: {_named(row)}" for row in rows if row.get("good") is False]
    report["unusable"] += [f"{title}: {_named(row)}" for row in rows if "note" in row]
    if title == "Doctor":
        timed = ("Latency", "Throughput", "Model loads")
        report["missed"] += [
            row["name"]
            for row in rows
            if row["status"] == "fail" and not (report["quick"] and row["name"].startswith(timed))
        ]


def _capacity(rows: Rows) -> float:
    """Queries a second that eight closed callers got done; 0: PyTorch was not usable."""
    done = [
        row["queries a minute"]
        for row in rows
        if row["back end"] == "PyTorch" and row["callers"] == 8 and "note" not in row
    ]
    return float(done[0]) / 60 if done else 0.0


def _sections(
    plan: Plan, settings: Settings, capacity: Callable[[], float]
) -> Iterator[tuple[str, str, Callable[[], Rows]]]:
    def of(act: Callable[[Plan], Rows]) -> Callable[[], Rows]:
        return lambda: act(plan)

    yield "Versions", "What was measured.", of(sections.versions)
    yield "Doctor", str(sections.doctor.__doc__), lambda: sections.doctor(plan, settings)
    for title, act in (
        ("Parity", sections.parity),
        ("Pairs a second", sections.speed),
        ("Latency and throughput", sections.throughput),
    ):
        yield title, str(act.__doc__), of(act)
    yield "Open arrivals", str(sections.arrivals.__doc__), lambda: sections.arrivals(plan, capacity())
    yield "Out of memory", str(sections.memory.__doc__), of(sections.memory)
    yield "A lost device", str(sections.lost.__doc__), of(sections.lost)


def _named(row: dict[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in list(row.items())[:2])


if __name__ == "__main__":
    raise SystemExit(main())
