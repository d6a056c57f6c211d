"""Rows as Parquet files."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from rerankd.bulk.formats import Shard
from rerankd.bulk.job import RESULT_COLUMNS, Job, ModelIdentity
from rerankd.bulk.place import Place
from rerankd.bulk.row import Row, Scored
from rerankd.errors import BackendError, InvalidRequest, RerankdError

__all__ = ["Parquet"]

_READ_ROWS = 64
"""Rows that are unpacked at once."""


class Parquet:
    """The `Format` of `.parquet` files."""

    extension = "parquet"

    def check(self, file: Place, job: Job) -> None:
        with _opened(file) as parquet:
            schema = parquet.schema_arrow
        for column in (job.query_column, job.candidates_column):
            if schema.names.count(column) != 1:
                raise InvalidRequest(
                    "INPUT", f"{file.url}: has no column {column}; it has {', '.join(schema.names)}"
                )
        taken = next((column for column in RESULT_COLUMNS if column in schema.names), None)
        if taken is not None:
            raise InvalidRequest(
                "INPUT", f"{file.url}: has a column {taken} already, which results are written to"
            )
        query, candidates = schema.field(job.query_column).type, schema.field(job.candidates_column).type
        if not _is_text(query):
            raise InvalidRequest("INPUT", f"{file.url}: {job.query_column} must be a string, is {query}")
        if not _is_texts(candidates):
            raise InvalidRequest(
                "INPUT",
                f"{file.url}: {job.candidates_column} must be a list of strings, or of structs with a text,"
                f" is {candidates}",
            )

    def shards(self, file: Place, rows: int) -> Iterator[tuple[int, int, int]]:
        with _opened(file) as parquet:
            total = parquet.metadata.num_rows
        for first in range(0, total, rows):
            yield first, min(rows, total - first), 0

    @contextmanager
    def read(self, file: Place, shard: Shard, job: Job) -> Iterator[Iterator[Row]]:
        with _opened(file) as parquet:
            yield _rows(parquet, shard, job)

    @contextmanager
    def part(self, output: Any, file: Place, model: ModelIdentity) -> "Iterator[_Part]":
        import pyarrow as arrow  # type: ignore[import-untyped]
        from pyarrow.parquet import ParquetWriter  # type: ignore[import-untyped]

        kinds = (
            arrow.list_(arrow.float64()),
            arrow.list_(arrow.float64()),
            arrow.list_(arrow.int32()),
            arrow.string(),
            arrow.string(),
        )
        with _opened(file) as parquet:
            schema = parquet.schema_arrow
        for name, kind in zip(RESULT_COLUMNS, kinds, strict=True):
            schema = schema.append(arrow.field(name, kind))
        with ParquetWriter(output, schema) as writer:
            yield _Part(writer, schema, model)


class _Part:
    def __init__(self, writer: Any, schema: Any, model: ModelIdentity) -> None:
        self._writer = writer
        self._schema = schema
        self._model = model

    def write(self, scored: Sequence[tuple[Row, Scored]]) -> None:
        import pyarrow as arrow

        if not scored:
            return
        given = arrow.Table.from_batches([row.carried for row, _ in scored])
        results = (
            [result.scores for _, result in scored],
            [result.logits for _, result in scored],
            [result.order for _, result in scored],
            [self._model.model] * len(scored),
            [self._model.digest] * len(scored),
        )
        new = [
            arrow.array(values, self._schema.field(name).type)
            for name, values in zip(RESULT_COLUMNS, results, strict=True)
        ]
        table = arrow.Table.from_arrays([*given.columns, *new], schema=self._schema)
        self._writer.write_table(table.unify_dictionaries())


@contextmanager
def _opened(file: Place) -> Iterator[Any]:
    try:
        import pyarrow as arrow
        from pyarrow.parquet import ParquetFile
    except ImportError as error:
        raise BackendError(f"bulk work needs more: pip install 'rerankd[batch]' ({error})") from error
    with file.reading() as opened:
        try:
            with ParquetFile(opened) as parquet:
                yield parquet
        except (arrow.ArrowInvalid, arrow.ArrowNotImplementedError, OSError) as error:
            # its words tell of the file's structure
            raise RerankdError(f"{file.url}: is not a good Parquet file: {str(error)[:200]}") from error


def _rows(parquet: Any, shard: Shard, job: Job) -> Iterator[Row]:
    """The shard's rows; what comes before them in their row groups is unpacked and left."""
    wanted, begin = [], None
    end = 0
    for group in range(parquet.metadata.num_row_groups):
        start, end = end, end + parquet.metadata.row_group(group).num_rows
        if end > shard.first and start < shard.first + shard.rows:
            wanted.append(group)
            begin = start if begin is None else begin
    at = begin or 0
    last = shard.first + shard.rows
    for batch in parquet.iter_batches(batch_size=_READ_ROWS, row_groups=wanted):
        skipped = max(0, shard.first - at)
        part = batch.slice(skipped, max(0, last - at - skipped))
        first, at = at + skipped, at + batch.num_rows
        if part.num_rows:
            queries = part.column(job.query_column).to_pylist()
            candidates = part.column(job.candidates_column).to_pylist()
            for number, (query, texts) in enumerate(zip(queries, candidates, strict=True)):
                yield Row(first + number, query, texts, part.slice(number, 1))
        if at >= last:
            return


def _is_text(kind: Any) -> bool:
    from pyarrow import types

    if types.is_dictionary(kind):
        return _is_text(kind.value_type)
    return bool(types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind))


def _is_texts(kind: Any) -> bool:
    from pyarrow import types

    lists = (
        types.is_list,
        types.is_large_list,
        types.is_fixed_size_list,
        types.is_list_view,
        types.is_large_list_view,
    )
    if not any(is_kind(kind) for is_kind in lists):
        return False
    inner = kind.value_type
    if types.is_struct(inner):
        return inner.get_field_index("text") >= 0 and _is_text(inner.field("text").type)
    return _is_text(inner)
