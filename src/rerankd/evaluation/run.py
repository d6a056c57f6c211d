"""A run: the order in which a first stage returned the documents of each query."""

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from rerankd.evaluation.collection import Collection, CollectionError, lines

__all__ = ["Run", "choose_run", "read_orders", "read_run"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """Query id → document ids, best first."""

    name: str
    orders: Mapping[str, tuple[str, ...]] = field(repr=False)
    file: str | None = None
    """The name of the file that it was read from."""

    def digest(self) -> str:
        """SHA-256 of the orders, by which two runs are told apart; scores and tags do not count."""
        digest = hashlib.sha256()
        for query in sorted(self.orders):
            digest.update(json.dumps([query, *self.orders[query]]).encode())
        return digest.hexdigest()


def choose_run(folder: Path, given: Path | None = None) -> Path:
    """The run file to rerank: the given one (a path, or a name in FOLDER/runs), else `runs/bm25.trec`, else
    the only file there."""
    runs = folder / "runs"
    if given is not None:
        for path in (given, runs / given, runs / f"{given}.trec"):
            if path.is_file():
                return path
        raise CollectionError(f"{given}: no such run{_offer(runs)}")
    usual = runs / "bm25.trec"
    if usual.is_file():
        return usual
    found = sorted(runs.glob("*.trec"))
    if len(found) == 1:
        return found[0]
    if not found:
        raise CollectionError(f"{runs}: no run (*.trec); a first-stage order is needed, give one with --run")
    raise CollectionError(f"{runs}: several runs and none is bm25.trec; choose one with --run{_offer(runs)}")


def read_run(path: Path, collection: Collection) -> Run:
    """Read a TREC run (`query Q0 document rank score tag` a line) and check it against its collection.

    The order is by score, as trec_eval reads a run; the rank decides between equal scores. Raises
    `CollectionError` when an id does not resolve, or when no judged query is in it.
    """
    orders = read_orders(path)
    _check(path, orders, collection)
    return Run(name=path.stem, file=path.name, orders=orders)


def read_orders(path: Path) -> dict[str, tuple[str, ...]]:
    """Query id → document ids, best first, of a TREC run. Raises `CollectionError` naming the line."""
    rows: dict[str, list[tuple[float, int, str]]] = {}
    seen: set[tuple[str, str]] = set()
    for number, line in lines(path):
        query, document, rank, score = _row(path, number, line)
        if (query, document) in seen:
            raise CollectionError(f"{path} line {number}: {document!r} appears twice for query {query!r}")
        seen.add((query, document))
        rows.setdefault(query, []).append((-score, rank, document))
    if not rows:
        raise CollectionError(f"{path}: empty")
    return {query: tuple(document for _, _, document in sorted(found)) for query, found in rows.items()}


def _row(path: Path, number: int, line: str) -> tuple[str, str, int, float]:
    fields = line.split()
    if len(fields) not in (5, 6):  # the tag is often left out
        raise CollectionError(f"{path} line {number}: not a TREC run line (query Q0 document rank score tag)")
    try:
        rank, score = int(fields[3]), float(fields[4])
    except ValueError:
        rank, score = 0, math.nan
    if not math.isfinite(score):
        raise CollectionError(f"{path} line {number}: rank and score must be numbers")
    return fields[0], fields[2], rank, score


def _check(path: Path, rows: Mapping[str, tuple[str, ...]], collection: Collection) -> None:
    if not any(query in collection.queries for query in rows):
        raise CollectionError(
            f"{path}: no query of it is in {collection.name}; it belongs to another collection"
        )
    unknown = [query for query in rows if query not in collection.queries]
    if unknown:
        raise CollectionError(
            f"{path}: {len(unknown):,} of {len(rows):,} queries are not in queries.jsonl"
            f" (the first: {unknown[0]!r})"
        )
    if not any(query in collection.judgements for query in rows):
        raise CollectionError(f"{path}: none of its {len(rows):,} queries is judged in qrels/test.tsv")
    documents = {document: query for query, found in rows.items() for document in found}
    missing = [document for document in documents if document not in collection.documents]
    if missing:
        raise CollectionError(
            f"{path}: {len(missing):,} of {len(documents):,} documents are not in corpus.jsonl"
            f" (the first: {missing[0]!r}, for query {documents[missing[0]]!r})"
        )


def _offer(runs: Path) -> str:
    found = ", ".join(sorted(path.name for path in runs.glob("*.trec")))
    return f"; {runs} has {found}" if found else ""
