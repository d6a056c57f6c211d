"""Whether the quality has fallen since a report was written: the guard that a host keeps in its own tests."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rerankd.errors import ConfigError

__all__ = ["Fall", "falls", "read_report", "unsaid"]

_MADE_ON = ("dataset", "queries", "run", "relevant_from", "group", "sample")
"""What two reports must have in common; depth and budget belong to each system."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fall:
    """A measure that lies below the report's by more than the tolerance."""

    system: str
    measure: str
    before: float
    now: float


def read_report(path: Path) -> dict[str, Any]:
    """What `rerankd evaluate --json` printed. Raises `ConfigError` naming the file."""
    try:
        report = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"baseline: there is no file {str(path)!r}") from None
    except (OSError, ValueError) as error:
        raise ConfigError(f"baseline: {path} cannot be read ({type(error).__name__})") from None
    if not isinstance(report, dict) or not all(_is_system(system) for system in _systems(report)):
        raise ConfigError(f"baseline: {path} is no report of rerankd evaluate --json")
    return report


def falls(report: Mapping[str, Any], baseline: Mapping[str, Any], *, tolerance: float) -> list[Fall]:
    """Every measure of the baseline that is now lower by more than `tolerance`.

    Both are reports as JSON. Raises `ConfigError` when they were not made on the same collection, queries, run,
    grade, group and sample, or when a system or a measure of the baseline is missing now: what is not measured
    must not pass. A run is known by its digest: a copy under another name is the same. What an older baseline
    does not say (`unsaid`) cannot be compared.
    """
    silent = unsaid(baseline)
    for name in _MADE_ON:
        if name not in silent and _same(report.get(name)) != _same(baseline.get(name)):
            raise ConfigError(
                f"baseline: its {name} is {_told(baseline.get(name))}, this report's {_told(report.get(name))}"
            )
    now = {_key(system): system for system in _systems(report)}
    found = []
    for before in _systems(baseline):
        system = now.get(_key(before))
        if system is None:
            raise ConfigError(f"baseline: {_name(before)} was not evaluated this time")
        for measure, value in before["reranked"].items():
            if measure not in system["reranked"]:
                raise ConfigError(f"baseline: {measure} was not measured this time")
            # the report's own rounding must not make an equal value fall
            if system["reranked"][measure] < value - tolerance - 1e-9:
                found.append(
                    Fall(system=_name(before), measure=measure, before=value, now=system["reranked"][measure])
                )
    return found


def unsaid(baseline: Mapping[str, Any]) -> tuple[str, ...]:
    """What a report does not say of how it was made: older ones had neither run, grade, group nor sample."""
    return tuple(name for name in _MADE_ON[2:] if name not in baseline)


def _same(value: Any) -> Any:
    """By what two values are the same."""
    return value["digest"] if isinstance(value, dict) and "digest" in value else value


def _told(value: Any) -> str:
    if isinstance(value, dict) and "digest" in value:
        return f"{value.get('file')!r} (digest {str(value['digest'])[:12]})"
    return repr(value)


def _systems(report: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    systems = report.get("systems", [report])
    yield from systems if isinstance(systems, list) and systems else [{}]


def _is_system(system: object) -> bool:
    if not isinstance(system, dict) or not {"model", "depth", "budget_ms"} <= system.keys():
        return False
    values = system.get("reranked")
    return isinstance(values, dict) and all(isinstance(value, int | float) for value in values.values())


def _key(system: Mapping[str, Any]) -> tuple[Any, ...]:
    return system["model"], system["depth"], system["budget_ms"]


def _name(system: Mapping[str, Any]) -> str:
    budget = "no limit" if system["budget_ms"] is None else f"{system['budget_ms']:g} ms"
    return f"{system['model']} at depth {system['depth']}, {budget}"
