"""A collection of the ir_datasets catalogue is evaluated like a folder."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rerankd.errors import ConfigError
from rerankd.evaluation.collection import CollectionError
from rerankd.evaluation.evaluate import evaluate
from rerankd.evaluation.irds import read_ir_dataset

NAME = "handmade-for-rerankd"


@pytest.fixture
def catalogue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The catalogue with a collection of our own in it; nothing is downloaded."""
    monkeypatch.setenv("IR_DATASETS_HOME", str(tmp_path / "home"))
    import ir_datasets

    (tmp_path / "docs.tsv").write_text("tea\tgreen tea leaves\nbike\toil the bike chain\nother\tnothing\n")
    (tmp_path / "queries.tsv").write_text("q1\tgreen tea\nq2\tbike chain\nq3\tunjudged\n")
    (tmp_path / "qrels").write_text("q1 0 tea 2\nq2 0 bike 1\nq2 0 gone 1\n")
    made = ir_datasets.create_dataset(
        docs_tsv=str(tmp_path / "docs.tsv"),
        queries_tsv=str(tmp_path / "queries.tsv"),
        qrels_trec=str(tmp_path / "qrels"),
    )
    ir_datasets.registry.register(NAME, made)
    yield tmp_path
    del ir_datasets.registry._registered[NAME]


def a_run(folder: Path, text: str) -> Path:
    path = folder / "first.trec"
    path.write_text(text)
    return path


def test_it_is_evaluated_with_a_run_of_its_own(catalogue: Path, fake: Any) -> None:
    run = a_run(catalogue, "q1 Q0 bike 1 2 x\nq1 Q0 tea 2 1 x\nq2 Q0 bike 1 2 x\nq3 Q0 tea 1 1 x\n")
    collection, orders = read_ir_dataset(NAME, run)
    result = evaluate(collection, orders, fake)
    assert result.as_json()["retrieval"]["mrr@10"] == pytest.approx((1 / 2 + 1) / 2)
    assert result.as_json()["reranked"]["mrr@10"] == 1.0
    assert fake.asked[0][0] == "green tea"
    # a judged document that nobody found is no reason to refuse, and only what was found was fetched
    assert set(collection.documents) == {"tea", "bike"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("q1 Q0 nobody 1 2 x\n", "'nobody', for query 'q1'"),
        ("q3 Q0 tea 1 2 x\n", "none of its 1 queries is judged"),
        ("q1 Q0 tea 1 2 x\nq9 Q0 tea 1 2 x\n", "1 of 2 queries are not in .* \\(the first: 'q9'\\)"),
        ("not a run\n", "line 1"),
    ],
)
def test_a_run_that_does_not_fit_is_named(catalogue: Path, text: str, said: str) -> None:
    with pytest.raises(CollectionError, match=said):
        read_ir_dataset(NAME, a_run(catalogue, text))


def test_without_a_run_it_must_have_a_first_stage_order_itself(catalogue: Path) -> None:
    with pytest.raises(CollectionError, match="--run"):
        read_ir_dataset(NAME, None)


def test_an_unknown_id_is_named(catalogue: Path) -> None:
    with pytest.raises(CollectionError, match="no-such-thing: no such id"):
        read_ir_dataset("no-such-thing", None)


def test_without_the_package_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ir_datasets", None)
    with pytest.raises(ConfigError, match="pip install ir_datasets"):
        read_ir_dataset("anything", None)
