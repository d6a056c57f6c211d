"""Writes the tables that come from the code: python docs/generate.py (or `make docs`).

A page has a place for each: between `<!-- generated: NAME -->` and `<!-- end -->`. `--check` writes nothing
and fails when a table is not up to date; the tests do the same.
"""

import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rerankd.models.registry import KnownModel

DOCS = Path(__file__).resolve().parent
PLACE = re.compile(r"(<!-- generated: ([\w.-]+) -->\n)(.*?)(<!-- end -->)", re.DOTALL)
UNITS = {"ms": "ms", "days": "days", "%": "%", "tokens": "tokens", "pairs": "pairs"}


def main() -> int:
    stale = [page for page in pages() if page.read_text(encoding="utf-8") != render(page)]
    if "--check" in sys.argv[1:]:
        for page in stale:
            print(f"{page.relative_to(DOCS)} is not up to date: run `make docs`")
        return 1 if stale else 0
    for page in stale:
        page.write_text(render(page), encoding="utf-8")
        print(f"{page.relative_to(DOCS)} written")
    return 0


def pages() -> list[Path]:
    return [page for page in sorted(DOCS.rglob("*.md")) if PLACE.search(page.read_text(encoding="utf-8"))]


def render(page: Path) -> str:
    """The page with every table as the code has it now."""
    return PLACE.sub(
        lambda found: f"{found[1]}\n{TABLES[found[2]]()}\n\n{found[4]}", page.read_text(encoding="utf-8")
    )


def circuit() -> str:
    from rerankd.core.breaker import TRANSITIONS

    return table(
        ("state", "what happens", "next state", "what else"),
        ((_words(state), event, _words(following), more) for state, event, following, more in TRANSITIONS),
    )


def settings() -> str:
    """A heading and a table a section, in the order of the code."""
    from rerankd.settings import describe

    sections: dict[str, list[tuple[str, ...]]] = {}
    for each in describe():
        section = each.name.rpartition(".")[0]
        names = "<br>".join(f"`{name}`" for name in (each.env, *each.aliases))
        default = "" if each.default in (None, "") else f"{_shown(each.default)} {UNITS.get(each.unit, '')}"
        sections.setdefault(section, []).append((names, default.strip(), each.allowed, each.doc))
    parts = []
    for section, rows in sections.items():
        parts.append(f"### {f'`[{section}]`' if section else 'General'}")
        parts.append(table(("variable", "default", "allowed", "meaning"), rows))
    return "\n\n".join(parts)


def metrics() -> str:
    from rerankd.metrics import PrometheusObserver

    observer = PrometheusObserver()
    rows = []
    for metric in observer.registry.collect():
        total = "_total" if metric.type == "counter" else ""
        rows.append((f"`{metric.name}{total}`", metric.type, metric.documentation))
    return table(("name", "type", "meaning"), rows)


def models() -> str:
    from rerankd.models.registry import known_models

    return table(
        ("model", "alias", "languages", "size", "licence", "from"),
        (
            (
                f"`{model.id}`",
                ", ".join(f"`{alias}`" for alias in model.aliases),
                model.languages,
                f"{model.parameters_millions:g} M parameters",
                model.licence,
                _origin(model),
            )
            for model in known_models()
        ),
    )


def _origin(model: "KnownModel") -> str:
    if model.carried is None:
        return "the hub"
    if not model.carried.extra:
        return "rerankd itself"
    return f"`rerankd[{model.carried.extra}]`, or the hub"


TABLES: dict[str, Callable[[], str]] = {
    "circuit": circuit,
    "metrics": metrics,
    "models": models,
    "settings": settings,
}


def table(head: tuple[str, ...], rows: Iterator[tuple[str, ...]] | list[tuple[str, ...]]) -> str:
    lines = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    lines += [f"| {' | '.join(_cell(cell) for cell in row)} |" for row in rows]
    return "\n".join(lines)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _words(state: str) -> str:
    return state.replace("_", "-")


if __name__ == "__main__":
    sys.exit(main())
