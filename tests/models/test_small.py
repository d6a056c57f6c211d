"""The model that rerankd carries itself: its bytes, and what it says of a few pairs."""

from pathlib import Path

import pytest

import rerankd
from rerankd.models.policy import ModelPolicy
from rerankd.models.registry import find
from rerankd.models.resolve import resolve, verify

QUERY = "how tall is mount everest"
RECORDED = {
    "Mount Everest is 8,849 metres tall.": 8.56,
    "Everest was first climbed in 1953 by Hillary and Tenzing.": -6.58,
    "Bananas are rich in potassium.": -11.26,
}


def test_its_bytes_are_those_that_the_release_knows(tmp_path: Path) -> None:
    checks = verify(ModelPolicy(model="small"), data_dir=tmp_path)
    assert {check.name for check in checks} == {"model.onnx", "tokenizer.json"}
    assert all(check.status == "known" and not check.problem for check in checks)
    assert resolve(ModelPolicy(model="small"), data_dir=tmp_path).model == "rerankd-small"


def test_it_is_below_24_megabytes_with_its_tokenizer() -> None:
    carried = find("small").carried
    assert carried is not None
    assert carried.onnx.size + carried.tokenizer.size < 24_000_000


def test_its_scores_are_those_recorded() -> None:
    with rerankd.open("small", require_model=True) as reranker:
        ranking = reranker.rerank(QUERY, list(RECORDED), budget_ms=None)
    texts = list(RECORDED)
    logits = {texts[each.retrieval_rank - 1]: each.logit for each in ranking}
    assert list(logits) == sorted(RECORDED, key=lambda text: -RECORDED[text])
    # kernels differ between CPUs
    assert logits == pytest.approx(RECORDED, abs=0.5)
