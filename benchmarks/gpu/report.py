"""The report as Markdown."""

from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["markdown"]


def markdown(report: Mapping[str, Any]) -> str:
    """Sections in their order, each a table of its rows, and first of all what was missed, failed or left out."""
    lines = [
        f"# rerankd on {report['device']}",
        "",
        f"{report['date']}{', quick form: too little for a judgement' if report['quick'] else ''}.",
        "",
        "**Missed:** " + ("; ".join(report["missed"]) or "nothing") + ".",
    ]
    for title, found in (("Failed", report["failed"]), ("Not usable", report["unusable"])):
        if found:
            lines += ["", f"**{title}:** " + "; ".join(found) + "."]
    if not report["finished"]:
        lines += ["", "**Not finished:** the sections below are those that came to their end."]
    for section in report["sections"]:
        lines += ["", f"## {section['title']}", "", section["meaning"]]
        if section.get("failed"):
            lines += ["", f"**Failed:** {section['failed']}"]
        if section["rows"]:
            lines += ["", *_table(section["rows"])]
    return "\n".join(lines) + "\n"


def _table(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    names = list(dict.fromkeys(name for row in rows for name in row))
    return [
        "| " + " | ".join(names) + " |",
        "|---" * len(names) + "|",
        *("| " + " | ".join(_cell(row.get(name)) for name in names) + " |" for row in rows),
    ]


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "**no**"
    return str(value).replace("|", "\\|").replace("\n", " ")
