"""A collection from the `ir_datasets` catalogue, where that package and the collection's data are there.

Catalogue: https://ir-datasets.com. Large collections are not read whole: only the documents that the run or the
judgements name are fetched.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from rerankd.core.types import Text
from rerankd.errors import ConfigError
from rerankd.evaluation.collection import Collection, CollectionError, Entry
from rerankd.evaluation.run import Run, read_orders

__all__ = ["PREFIX", "read_ir_dataset"]

PREFIX = "ir_datasets:"
"""What tells a catalogue id from a folder, as in `ir_datasets:beir/scifact/test`."""


def read_ir_dataset(name: str, run: Path | None) -> tuple[Collection, Run]:
    """Read the collection of that id and a first-stage run: a TREC file, else the collection's own scored
    documents.

    Raises `ConfigError` when the package is missing, and `CollectionError` when the id is unknown, its data are
    not there, it lacks judgements, or the run does not fit it.
    """
    try:
        import ir_datasets  # type: ignore[import-untyped]
    except ImportError:
        raise ConfigError("ir_datasets: ids need the package ir_datasets: pip install ir_datasets") from None
    try:
        dataset = ir_datasets.load(name)
    except KeyError:
        raise CollectionError(f"{PREFIX}{name}: no such id in the catalogue") from None
    if not (dataset.has_docs() and dataset.has_queries() and dataset.has_qrels()):
        raise CollectionError(f"{PREFIX}{name}: it needs documents, queries and judgements")
    try:
        return _read(dataset, name, run)
    except (OSError, RuntimeError) as error:
        # its downloader raises either, and its messages are pages of advice
        raise CollectionError(
            f"{PREFIX}{name}: its data are not to be had ({type(error).__name__})"
        ) from None


def _read(dataset: Any, name: str, path: Path | None) -> tuple[Collection, Run]:
    queries = {
        query.query_id: Entry(id=query.query_id, text=Text(query.default_text()))
        for query in dataset.queries_iter()
    }
    judgements: dict[str, dict[str, int]] = {}
    for judgement in dataset.qrels_iter():
        if judgement.query_id in queries:
            judgements.setdefault(judgement.query_id, {})[judgement.doc_id] = int(judgement.relevance)
    if not judgements:
        raise CollectionError(f"{PREFIX}{name}: no judgements")
    if path is not None:
        label, file, orders = path.stem, path.name, read_orders(path)
    elif dataset.has_scoreddocs():
        label, file, orders = "scoreddocs", None, _scored(dataset.scoreddocs_iter())
    else:
        raise CollectionError(f"{PREFIX}{name}: it has no first-stage order; give one with --run")
    unknown = [query for query in orders if query not in queries]
    if unknown:  # as in a folder: such a run belongs to another collection, or only in part to this one
        raise CollectionError(
            f"{path or label}: {len(unknown):,} of {len(orders):,} queries are not in {name}"
            f" (the first: {unknown[0]!r})"
        )
    kept = {query: order for query, order in orders.items() if query in judgements}
    if not kept:
        raise CollectionError(f"{path or label}: none of its {len(orders):,} queries is judged in {name}")
    documents = _documents(dataset, {key for order in kept.values() for key in order})
    missing = [(key, query) for query, order in kept.items() for key in order if key not in documents]
    if missing:
        raise CollectionError(
            f"{path or label}: {len(missing):,} documents are not in {name}"
            f" (the first: {missing[0][0]!r}, for query {missing[0][1]!r})"
        )
    collection = Collection(name=name, documents=documents, queries=queries, judgements=judgements)
    return collection, Run(name=label, file=file, orders=kept)


def _documents(dataset: Any, wanted: set[str]) -> dict[str, Entry]:
    found: Mapping[str, Any] = dataset.docs_store().get_many(wanted)
    return {key: Entry(id=key, text=Text(document.default_text())) for key, document in found.items()}


def _scored(rows: Iterable[Any]) -> dict[str, tuple[str, ...]]:
    """Best first; of equal scores the one that was given first."""
    scored: dict[str, list[tuple[float, int, str]]] = {}
    for number, row in enumerate(rows):
        scored.setdefault(row.query_id, []).append((-float(row.score), number, row.doc_id))
    return {query: tuple(key for _, _, key in sorted(found)) for query, found in scored.items()}
