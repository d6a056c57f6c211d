"""What is to be done: which file's columns, by which model, into which folder."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rerankd.core.policy import check_one_of, check_range
from rerankd.core.request import RerankPolicy
from rerankd.core.types import LongText
from rerankd.errors import ConfigError

__all__ = ["RESULT_COLUMNS", "Job", "ModelIdentity"]

RESULT_COLUMNS = ("rerank_scores", "rerank_logits", "rerank_order", "rerank_model", "rerank_digest")
"""What each row is given beside its own columns: for each candidate, in the order in which they came, the score
from 0 to 1 and the model's raw value; the candidates' positions, best first; the model's id, and the SHA-256 of
its weights."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelIdentity:
    """Which model scored."""

    model: str
    digest: str
    """The SHA-256 of its weights; empty where that is not known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A job for bulk scoring. Two runs with equal jobs, inputs and models write equal rows."""

    input: str
    """A file, a folder of files or a pattern: a path or any URL that fsspec knows."""
    output: str
    """A folder: one that is not there, an empty one, or this very job's."""
    query_column: str
    candidates_column: str
    """A list of texts, or of objects with `text`."""
    shard_rows: int = 250
    """Rows of one output file, and so what a kill can lose of each worker's work."""
    top_k: int | None = None
    """How many positions the order names; None: all of them."""
    long_text: LongText = "truncate"
    """What happens to a candidate longer than the model's window; there is no budget to `fit` it to."""
    max_chunks: int = 4
    max_candidates: int = 10_000

    def __post_init__(self) -> None:
        check_range(self, "shard_rows", 1)
        check_one_of(self, "long_text", ("truncate", "chunk"))
        if self.top_k is not None and self.top_k < 1:
            raise ConfigError(f"Job.top_k: must be at least 1, got {self.top_k}")
        if self.query_column == self.candidates_column:
            raise ConfigError(f"the query and the candidates cannot both be the column {self.query_column}")
        for column in (self.query_column, self.candidates_column):
            if column in RESULT_COLUMNS:
                raise ConfigError(f"the column {column} is one that results are written to")

    @property
    def policy(self) -> RerankPolicy:
        """What a row must be like to be scored."""
        return RerankPolicy(
            long_text=self.long_text, max_chunks=self.max_chunks, max_candidates=self.max_candidates
        )

    def settings(self) -> Mapping[str, Any]:
        """What the rows depend on, as plain data; the folder of the output is none of it."""
        return {
            "input": self.input,
            "query_column": self.query_column,
            "candidates_column": self.candidates_column,
            "shard_rows": self.shard_rows,
            "top_k": self.top_k,
            "long_text": self.long_text,
            "max_chunks": self.max_chunks if self.long_text == "chunk" else None,
            "max_candidates": self.max_candidates,
        }
