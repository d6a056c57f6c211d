"""With what bulk work needs: rows are read, scored by a fake model, and written, as lines and as Parquet."""

import os
import tempfile
from pathlib import Path

os.environ["RERANKD_DATA_DIR"] = tempfile.mkdtemp()

import pyarrow
import pyarrow.parquet

from rerankd.bulk.job import Job
from rerankd.bulk.plan import plan
from rerankd.bulk.run import run
from rerankd.core.ports import Model
from rerankd.testing import FakeScorer

folder = Path(tempfile.mkdtemp())
rows = [{"query": "green tea", "texts": ["old bikes", "tea", "green tea"]} for _ in range(10)]
pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), folder / "in.parquet")
job = Job(
    input=str(folder / "in.parquet"),
    output=str(folder / "out"),
    query_column="query",
    candidates_column="texts",
    shard_rows=4,
)
model = Model(scorer=FakeScorer(), tokenizer=None, max_tokens=512)  # no model is installed here
for _ in range(2):  # the second time there is nothing left to do
    summary = run(plan(job), model)
    assert (summary.shards, summary.good, summary.pairs) == (3, 10, 30), summary
found = pyarrow.parquet.read_table(folder / "out").to_pylist()
assert [row["rerank_order"] for row in found] == [[2, 1, 0]] * 10, found
