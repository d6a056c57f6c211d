"""The docs name everything that a user can meet, their links lead somewhere, and what they show works."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from rerankd.core.types import Outcome, Reason
from tests.programs import program

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "benchmarks").rglob("*.md")])
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
MACHINE_PATH = re.compile(r"(?<![\w.])/(work|root|home|tmp|Users|mnt)/", re.IGNORECASE)


def read(*paths: str) -> str:
    return "\n".join((ROOT / path).read_text(encoding="utf-8") for path in paths)


def generator() -> ModuleType:
    return program("docs/generate.py")


def test_the_tables_are_those_of_the_code() -> None:
    generate = generator()
    stale = [
        page.name for page in generate.pages() if generate.render(page) != page.read_text(encoding="utf-8")
    ]
    assert stale == [], "run `make docs`"


def test_every_table_that_can_be_generated_has_a_place() -> None:
    generate = generator()
    places = {
        found[2] for page in generate.pages() for found in generate.PLACE.finditer(page.read_text("utf-8"))
    }
    assert places == set(generate.TABLES)


@pytest.mark.parametrize("page", ["README.md", "docs/index.md"])
def test_every_outcome_and_reason_is_explained(page: str) -> None:
    text = read(page)
    assert [word.value for word in (*Outcome, *Reason) if f"`{word}`" not in text] == []


def test_every_reason_has_a_remedy() -> None:
    text = read("docs/operate.md")
    # Shadow is no symptom: it is what was asked for.
    assert [word.value for word in Reason if word not in text and word is not Reason.SHADOW] == []


def test_every_command_is_named() -> None:
    text = read("docs/index.md")
    assert [name for name in commands() if not re.search(rf"`(rerankd )?{name}\b", text)] == []


def commands() -> Iterator[str]:
    """As they are typed: `bench`, `models list`."""
    import typer

    from rerankd.cli import app

    def walk(command: object, path: str) -> Iterator[str]:
        inner = getattr(command, "commands", None)
        if inner is None:
            yield path
        for name, each in (inner or {}).items():
            if not each.hidden:
                yield from walk(each, f"{path} {name}".strip())

    yield from walk(typer.main.get_command(app), "")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_local_link_leads_somewhere(page: Path) -> None:
    broken = []
    for target in LINK.findall(page.read_text(encoding="utf-8")):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        if not file.exists() or (anchor and anchor not in anchors(file)):
            broken.append(target)
    assert broken == []


def anchors(page: Path) -> set[str]:
    """Headings as links name them: small letters, hyphens for spaces, no punctuation."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_no_page_names_a_place_on_somebody_s_machine(page: Path) -> None:
    assert MACHINE_PATH.findall(page.read_text(encoding="utf-8")) == []


def test_every_make_target_that_is_named_exists() -> None:
    makefile = read("Makefile")
    named = {target for page in PAGES for target in re.findall(r"\bmake ([a-z]+(?:-[a-z]+)*)\b", code(page))}
    assert {"demo", "test"} <= named
    assert [target for target in sorted(named) if not re.search(rf"^{target}:", makefile, re.MULTILINE)] == []


def code(page: Path) -> str:
    """What is set as code: between backticks, or indented by four."""
    text = page.read_text(encoding="utf-8")
    return "\n".join([*re.findall(r"`([^`\n]+)`", text), *re.findall(r"^ {4}(.+)$", text, re.MULTILINE)])


@pytest.mark.model
def test_the_readme_s_example_runs_and_finds_the_answer(tmp_path: Path) -> None:
    (example,) = re.findall(r"```python\n(.*?)```", read("README.md"), re.DOTALL)
    # A busy machine may need longer than the budget that the README shows.
    patient = example.replace("budget_ms=250", "budget_ms=None")
    assert patient != example
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", patient],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    first, best, *_ = done.stdout.splitlines()
    assert first == "reranked None 3/3"
    assert best.startswith("1 3 "), done.stdout


def test_every_route_of_the_service_is_named() -> None:
    from rerankd.http.access import OpenAccess
    from rerankd.http.app import create_app
    from rerankd.http.policy import HttpPolicy
    from rerankd.testing import fake_reranker

    app = create_app(fake_reranker(), policy=HttpPolicy(), access=OpenAccess())
    text = read("docs/serve.md", "docs/memory.md")
    assert [path for path in app.openapi()["paths"] if f" {path}`" not in text] == []
