"""The memory's benchmark asks each question of its own conversation, and compares the orders."""

import json
from pathlib import Path
from typing import Any

import pytest
from benchmarks.memory import ask, evaluate, load

from rerankd.evaluation.collection import Collection, read_collection
from rerankd.memory.testing import fake_memory
from rerankd.testing import fake_reranker

pytestmark = pytest.mark.threads


@pytest.fixture
def collection(tmp_path: Path) -> Collection:
    """Two conversations of ten turns; the last turn of each answers its question."""
    documents = [
        {"_id": f"{group}{turn}", "text": f"tea {group} {turn}", "metadata": {"conversation": group}}
        for group in "ab"
        for turn in range(10)
    ]
    queries = [{"_id": f"q{group}", "text": "tea", "metadata": {"conversation": group}} for group in "ab"]
    for name, rows in (("corpus", documents), ("queries", queries)):
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "qrels").mkdir()
    (tmp_path / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\nqa\ta9\t1\nqb\tb9\t1\n")
    return read_collection(tmp_path)


async def test_it_measures_both_orders_inside_each_conversation(collection: Collection) -> None:
    def likes_nine(pair: Any) -> float:
        return float(pair.text.endswith("9"))

    async with fake_memory(reranker=fake_reranker(likes_nine)) as memory:
        known = await load(memory, collection)
        assert await memory.count(user_id="a") == 10
        near, answered = await ask(memory, collection, ["qa", "qb"], known, budget_ms=None)
    assert answered.orders["qa"][0] == "a9"
    assert all(each.startswith("b") for each in near.orders["qb"])
    first, second = evaluate(collection, [near, answered])
    assert second["recall@8"] == second["ndcg@8"] == 1.0
    assert second["gain"]["ndcg@8"]["mean"] == pytest.approx(1.0 - first["ndcg@8"])
    assert second["outcomes"] == {"reranked": 1.0}
    assert second["depth"] == second["candidates"] == 10
