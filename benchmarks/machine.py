"""On what something was measured, and where its figures are put down."""

import datetime
import importlib.metadata
import json
import os
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.others import cores

__all__ = ["RESULTS", "in_words", "machine", "onnxruntime_version", "save"]

RESULTS = Path(__file__).resolve().parents[1] / "artefacts" / "benchmarks"
"""Figures of this machine; `python -m benchmarks.page` takes them into the checkout."""


def machine() -> dict[str, Any]:
    """Date, processor, cores, versions, and how busy it was before."""
    return {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "processor": _processor(),
        "cores": cores(),
        "python": platform.python_version(),
        "rerankd": importlib.metadata.version("rerankd"),
        "onnxruntime": onnxruntime_version(),
        "tokenizers": importlib.metadata.version("tokenizers"),
        "load average": round(os.getloadavg()[0], 2),
    }


def in_words(about: Mapping[str, Any]) -> str:
    """What `machine` gave, as a sentence of a page."""
    return ", ".join(f"{value}" if key == "date" else f"{key} {value}" for key, value in about.items()) + "."


def onnxruntime_version() -> str:
    """Of whichever of its two packages is there; that for CUDA is named with it. Raises `PackageNotFoundError`."""
    try:
        return importlib.metadata.version("onnxruntime")
    except importlib.metadata.PackageNotFoundError:
        return f"{importlib.metadata.version('onnxruntime-gpu')} (onnxruntime-gpu)"


def save(path: Path, report: Mapping[str, Any]) -> None:
    """As JSON, with figures of at most four digits behind the point."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(_rounded(report), indent=1) + "\n", encoding="utf-8")


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, 4)
    if isinstance(value, Mapping):
        return {key: _rounded(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(each) for each in value]
    return value


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:
            return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
