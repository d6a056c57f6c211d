"""Gathers the texts that rerankd-small is distilled on, from packages that Debian 12 carries.

python recipes/rerankd-small/texts.py --out FOLDER             writes texts.jsonl and sources.json there
python recipes/rerankd-small/texts.py --wider --out FOLDER     the second set, for going on from small

No test collection and no text of the teacher's own training is among them: dictionaries, manuals and FAQs under
free licences, and chat turns that this program makes up. `packages` names them for `apt-get install`.
"""

import argparse
import gzip
import html
import json
import random
import re
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import wider
from chat import conversations

PACKAGES = {
    "dict-foldoc": "GFDL-1.2+",
    "dict-wn": "WordNet",
    "dict-gcide": "GPL-3+",
    "dict-jargon": "public domain",
    "libreoffice-help-en-us": "MPL-2.0",
    "gnome-user-docs": "CC-BY-SA-3.0",
    "gimp-help-en": "GFDL-1.2+",
    "perl-doc": "GPL-1+ or Artistic",
    "postgresql-doc": "PostgreSQL",
    "apache2-doc": "Apache-2.0",
    "debian-handbook": "CC-BY-SA-3.0 or GPL-2+",
    "debian-faq": "GPL-2+",
    "debian-reference-en": "GPL-2+",
    "python3-doc": "PSF-2.0",
}
SHARE = Path("/usr/share")
HTML = {
    "libreoffice": (SHARE / "libreoffice/help/en-US", 9_000),
    "gimp": (SHARE / "gimp/2.0/help/en", 3_000),
    "postgresql": (SHARE / "doc/postgresql-doc-15/html", 7_000),
    "apache": (SHARE / "doc/apache2-doc/manual/en", 3_000),
    "handbook": (SHARE / "doc/debian-handbook/html/en-US", 4_000),
    "faq": (SHARE / "doc/debian/FAQ", 1_500),
    "reference": (SHARE / "doc/debian-reference-en/html", 1_500),
    "reference2": (SHARE / "debian-reference", 1_500),
    "python": (SHARE / "doc/python3.11/html", 8_000),
}
DICTIONARIES = {"foldoc": 14_000, "wn": 20_000, "gcide": 9_000, "jargon": 2_000}
CHAT_TURNS = 9_000
WORDS = (8, 110)
"""Shortest and longest passage."""
LONG = 2, 240
"""Every so-many-th page is cut into passages of up to so many words: abstracts and chunks are ranked as well."""
SEED = 2026


class Sections(HTMLParser):
    """Passages of a page, each with the heading that it stands under."""

    def __init__(self, longest: int = WORDS[1]) -> None:
        super().__init__()
        self.longest = longest
        self.found: list[tuple[str, str]] = []
        self._heading = ""
        self._words: list[str] = []
        self._buffer: list[str] = []
        self._skip = 0
        self._in_heading = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in ("script", "style", "nav", "table", "pre", "footer", "aside"):
            self._skip += 1
        elif tag in ("h1", "h2", "h3", "h4", "dt"):
            self._flush()
            self._in_heading, self._buffer = True, []
        elif tag in ("p", "li", "dd"):
            self._paragraph()

    def handle_endtag(self, tag: str) -> None:
        if tag in ("script", "style", "nav", "table", "pre", "footer", "aside"):
            self._skip = max(0, self._skip - 1)
        elif tag in ("h1", "h2", "h3", "h4", "dt"):
            self._heading = clean("".join(self._buffer))
            self._in_heading, self._buffer = False, []
        elif tag in ("p", "li", "dd"):
            self._paragraph()

    def handle_data(self, data: str) -> None:
        if not self._skip:
            self._buffer.append(data)

    def close(self) -> None:
        super().close()
        self._paragraph()
        self._flush()

    def _paragraph(self) -> None:
        if self._in_heading:
            return
        words = clean("".join(self._buffer)).split()
        self._buffer = []
        if len(self._words) + len(words) > self.longest:
            self._flush()
        self._words += words[: self.longest]

    def _flush(self) -> None:
        if len(self._words) >= WORDS[0] * 2:
            self.found.append((self._heading, " ".join(self._words)))
        self._words = []


def clean(text: str) -> str:
    text = re.sub(r"\s+", " ", html.unescape(text)).strip().strip("¶#")
    return re.sub(r"^(\d+(\.\d+)*\.?|Chapter \d+\.?|[A-Z]\.\d+\.?)\s+", "", text).strip()


def pages(folder: Path) -> Iterator[tuple[str, str]]:
    for at, path in enumerate(sorted(folder.rglob("*.html*"))):
        if not path.is_file() or path.suffix not in (".html", ".en") or path.stat().st_size > 800_000:
            continue
        parser = Sections(WORDS[1] if at % LONG[0] else LONG[1])
        parser.feed(path.read_text(encoding="utf-8", errors="ignore"))
        parser.close()
        yield from parser.found


def gnome() -> Iterator[tuple[str, str]]:
    for path in sorted((SHARE / "help/C").rglob("*.page")):
        text = re.sub(r"<!--.*?-->|<info>.*?</info>", " ", path.read_text(encoding="utf-8"), flags=re.DOTALL)
        for section in re.split(r"<section", text):
            title = re.search(r"<title>(.*?)</title>", section, re.DOTALL)
            body = " ".join(re.findall(r"<p>(.*?)</p>", section, re.DOTALL))
            words = clean(re.sub(r"<[^>]+>", "", body)).split()
            heading = clean(re.sub(r"<[^>]+>", "", title[1] if title else ""))
            for first in range(0, len(words), 90):
                if len(words[first : first + 90]) >= 15:
                    yield heading, " ".join(words[first : first + 90])


def perl_faq() -> Iterator[tuple[str, str]]:
    for path in sorted(SHARE.glob("perl/*/pod/perlfaq*.pod")):
        for section in re.split(r"^=head2 ", path.read_text(encoding="utf-8", errors="ignore"), flags=re.M)[
            1:
        ]:
            title, _, body = section.partition("\n")
            prose = " ".join(part for part in body.split("\n\n") if part[:1] not in (" ", "="))
            plain = re.sub(r"[A-Z]<+\s?(.*?)\s?>+", r"\1", prose)
            words = clean(plain).split()
            if len(words) >= 15:
                yield clean(re.sub(r"[A-Z]<(.*?)>", r"\1", title)), " ".join(words[:100])


ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"


def number(text: str) -> int:
    value = 0
    for char in text:
        value = value * 64 + ALPHABET.index(char)
    return value


def dictionary(name: str) -> Iterator[tuple[str, str]]:
    with gzip.open(SHARE / f"dictd/{name}.dict.dz") as file:
        whole = file.read()
    seen: set[tuple[int, int]] = set()
    for line in (SHARE / f"dictd/{name}.index").read_text(encoding="utf-8", errors="ignore").splitlines():
        head, _, rest = line.partition("\t")
        start, _, size = rest.partition("\t")
        place = number(start), number(size.split("\t")[0])
        if head.startswith("00") or place in seen:
            continue
        seen.add(place)
        entry = whole[place[0] : sum(place)].decode("utf-8", "ignore")
        yield from ENTRIES.get(name, plain_entry)(head, entry)


def plain_entry(head: str, entry: str) -> Iterator[tuple[str, str]]:
    lines = entry.split("\n")
    body = clean(re.sub(r"[{}<>]|\[[^\]]*\]", "", " ".join(lines[1:])))
    words = body.split()[: WORDS[1]]
    if len(words) >= WORDS[0]:
        yield head, f"{head}: {' '.join(words)}"


def wordnet(head: str, entry: str) -> Iterator[tuple[str, str]]:
    for sense in re.split(r"\s(?:n |v |adj |adv )?\d*:\s", " " + " ".join(entry.split("\n")[1:]))[1:][:2]:
        gloss = clean(re.sub(r"\[(syn|ant):.*?\]|[{}]", "", sense))
        if len(gloss.split()) >= 6:
            yield head, f"{head}: {gloss}"


ENTRIES = {"wn": wordnet}


Stream = tuple[Iterator[tuple[str, str]], int]


def first_set() -> dict[str, Stream]:
    streams: dict[str, Stream] = {
        name: (pages(folder), most) for name, (folder, most) in HTML.items() if folder.is_dir()
    }
    streams["gnome"] = (gnome(), 5_000)
    streams["perl"] = (perl_faq(), 2_000)
    streams |= {name: (dictionary(name), most) for name, most in DICTIONARIES.items()}
    streams["chat"] = (conversations(CHAT_TURNS, SEED), CHAT_TURNS)
    return streams


def wider_set() -> dict[str, Stream]:
    streams = {name: (stream, int(most * wider.AGAIN)) for name, (stream, most) in first_set().items()}
    streams["chat"] = (conversations(CHAT_TURNS, SEED + 1), CHAT_TURNS // 2)
    for name, (folder, most) in wider.HTML.items():
        if folder.is_dir():  # without the lines that say where a page stands
            streams[name] = ((each for each in pages(folder) if "»" not in each[1]), most)
    streams["descriptions"] = (wider.descriptions(), wider.DESCRIPTIONS)
    streams["articles"] = (wider.articles(), wider.ARTICLES)
    return streams


def gather(streams: dict[str, Stream], seed: int) -> Iterator[dict[str, str]]:
    chance = random.Random(seed)
    for name, (stream, most) in streams.items():
        found = list({text: (title, text) for title, text in stream}.values())
        chance.shuffle(found)
        print(f"{name}: {len(found)} passages, {min(most, len(found))} taken", file=sys.stderr)
        for title, text in found[:most]:
            yield {"title": title, "text": text, "source": name}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--wider", action="store_true")
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    streams, seed = (wider_set(), SEED + 1) if given.wider else (first_set(), SEED)
    with (given.out / "texts.jsonl").open("w", encoding="utf-8") as file:
        for row in gather(streams, seed):
            file.write(json.dumps(row, ensure_ascii=False) + "\n")
    sources = PACKAGES | (wider.PACKAGES if given.wider else {})
    (given.out / "sources.json").write_text(json.dumps(sources, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
