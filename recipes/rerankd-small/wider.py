"""The second set of texts: what the first one lacks. An encyclopaedia, descriptions of everything that Debian has,
and manuals of another kind, besides some of the first set again."""

import bz2
import importlib.util
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

SHARE = Path("/usr/share")
DOC = SHARE / "doc"
PACKAGES = {
    "debian-policy": "GPL-2+",
    "developers-reference": "GPL-2+",
    "git-doc": "GPL-2",
    "harden-doc": "GPL-2+",
    "installation-guide-amd64": "GPL-2+",
    "octave-doc": "GPL-3+",
    "python-astropy-doc": "BSD-3-clause",
    "python-django-doc": "BSD-3-clause",
    "python-pandas-doc": "BSD-3-clause",
    "python-scipy-doc": "BSD-3-clause",
    "python-sklearn-doc": "BSD-3-clause",
    "python-statsmodels-doc": "BSD-3-clause",
    "rust-doc": "Apache-2.0 or MIT",
    "sqlite3-doc": "public domain",
    "apt (descriptions of packages, with apt-get -o Acquire::Languages=en update)": "each package's own",
    "gensim (101 articles of Wikipedia, from PyPI)": "CC-BY-SA-3.0",
}
HTML = {
    "rust": (DOC / "rust-doc/html/book", 1_500),
    "rust-std": (DOC / "rust-doc/html/std", 500),
    "sqlite": (DOC / "sqlite3", 2_500),
    "sklearn": (DOC / "python-sklearn-doc/html", 2_500),
    "scipy": (DOC / "python-scipy-doc/html/tutorial", 800),
    "scipy-reference": (DOC / "python-scipy-doc/html/reference", 800),
    "statsmodels": (DOC / "python-statsmodels-doc/html/examples", 800),
    "pandas": (DOC / "python-pandas-doc/html/user_guide", 700),
    "astropy": (DOC / "python-astropy-doc/html", 1_200),
    "django": (DOC / "python-django-doc/html", 2_500),
    "octave": (DOC / "octave/octave.html", 1_200),
    "policy": (DOC / "debian-policy", 800),
    "developers": (DOC / "developers-reference/docs", 600),
    "harden": (DOC / "harden-doc/html", 1_000),
    "installation": (DOC / "installation-guide-amd64/en", 800),
    "git": (DOC / "git/html", 1_500),
}
DESCRIPTIONS, ARTICLES = 8_000, 8_000
AGAIN = 0.25
"""Of so much of each source of the first set, other passages where it has more."""
LEFT_OUT = frozenset(["Algorithm", "Alphabet", "Anthropology", "Appellate court"])
"""Articles of which sentences are in the collections that the model is evaluated on."""
_WORDS = 15, 60
_BARE = re.compile(
    r"^(See also|References|Further reading|External links|Notes|Bibliography|Citations|Sources)$"
)


def descriptions() -> Iterator[tuple[str, str]]:
    """What each package is, in a line and in a few paragraphs."""
    lists = [str(each) for each in Path("/var/lib/apt/lists").glob("*_main_i18n_Translation-en*")]
    if not lists:
        raise SystemExit("there are no descriptions here: apt-get -o Acquire::Languages=en update")
    command = ["/usr/lib/apt/apt-helper", "cat-file", *lists]
    listed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    for record in listed.split("\n\n"):
        name = re.search(r"^Package: (.+)", record, re.M)
        found = re.search(r"^Description(?:-en)?: (.+)\n((?: .*\n?)+)", record, re.M)
        if name is None or found is None:
            continue
        title = f"{name[1]} - {found[1]}" if len(name[1]) % 2 else found[1]
        for paragraph in re.split(r"\n \.\n", found[2]):
            words = re.sub(r"\s+", " ", paragraph).split()
            if _WORDS[0] <= len(words) and not paragraph.lstrip().startswith(
                ("*", "-", "This package contains")
            ):
                yield title, " ".join(words[: 2 * _WORDS[1]])


def articles() -> Iterator[tuple[str, str]]:
    """Passages of the articles that gensim's own tests read, each under its article and section."""
    import mwparserfromhell  # type: ignore[import-not-found]

    spec = importlib.util.find_spec("gensim")
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit("gensim is not installed: make distill-default does it")
    folder = Path(spec.submodule_search_locations[0]) / "test/test_data"
    (dump,) = folder.glob("enwiki-latest-pages-articles1*-shortened.bz2")
    title = ""
    with bz2.open(dump) as file:
        for _, element in ElementTree.iterparse(file):
            if element.tag.endswith("}title"):
                title = element.text or ""
            elif element.tag.endswith("}text") and len(element.text or "") > 1_000 and title not in LEFT_OUT:
                wiki = mwparserfromhell.parse(
                    re.sub(r"<ref[^>/]*/>|<ref.*?</ref>", "", element.text or "", flags=re.S)
                )
                for section in wiki.get_sections(flat=True, include_lead=True):
                    yield from _section(title, section)


def _section(title: str, section: object) -> Iterator[tuple[str, str]]:
    headings = section.filter_headings()  # type: ignore[attr-defined]
    heading = str(headings[0].title.strip_code()).strip() if headings else ""
    if _BARE.match(heading):
        return
    for each in headings:
        section.remove(each)  # type: ignore[attr-defined]
    kept: list[str] = []
    longest = _WORDS[1] if len(heading) % 2 else 2 * _WORDS[1]
    for line in section.strip_code().split("\n"):  # type: ignore[attr-defined]
        words = [] if re.match(r"\s*([|!{*#:;]|thumb|File:|Image:|Category:)", line) else line.split()
        while words:
            room = longest - len(kept)
            kept += words[:room]
            words = words[room:]
            if len(kept) >= longest:
                yield f"{title} {heading}".strip(), " ".join(kept)
                kept = []
    if len(kept) >= _WORDS[0]:
        yield f"{title} {heading}".strip(), " ".join(kept)
