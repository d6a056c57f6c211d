import json
from pathlib import Path

import pytest
from transformers import BertConfig, BertForSequenceClassification, DistilBertConfig

from rerankd.core.types import Pair
from rerankd.distill import teacher
from rerankd.distill.pairs import Group
from rerankd.distill.teacher import read_scores, score_groups
from rerankd.distill.teacher_weights import network_of_checkpoint, network_of_onnx
from rerankd.errors import BackendError
from rerankd.testing import fake_reranker, word_overlap
from tests.onnx_graphs import write_reranker

TEXTS = ["the sky", "the sea", "a bike", "tea"]
GROUPS = [Group(f"the sky {at}", (3, 0, at % 3)) for at in range(5)]


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(teacher, "SHARD", 2)
    monkeypatch.setattr(teacher, "_PAUSE_SECONDS", 0.0)


def test_scores_stand_beside_the_texts_that_they_are_of(tmp_path: Path) -> None:
    heard: list[int] = []
    with fake_reranker() as one:
        score_groups(one, GROUPS, TEXTS, tmp_path, heard.append)
    assert heard == [0, 2, 4, 5]
    found = read_scores(tmp_path)
    assert [query for query, _, _ in found] == [group.query for group in GROUPS]
    assert [texts for _, texts, _ in found] == [[TEXTS[at] for at in group.texts] for group in GROUPS]
    assert found[1][2][1] > found[1][2][2] > found[1][2][0]  # the sky, the sea, tea


def test_only_the_shards_that_are_not_there_are_asked_for(tmp_path: Path) -> None:
    asked: list[str] = []

    def score(pair: Pair) -> float:
        asked.append(pair.query)
        return word_overlap(pair)

    with fake_reranker(score) as one:
        score_groups(one, GROUPS, TEXTS, tmp_path)
        whole = read_scores(tmp_path)
        (tmp_path / "scores-00001.parquet").unlink()
        (tmp_path / "scores-00002.parquet").rename(tmp_path / "scores-00002.partial")
        asked.clear()
        heard: list[int] = []
        score_groups(one, GROUPS, TEXTS, tmp_path, heard.append)
    assert heard == [2, 4, 5]  # the last shard is not whole either
    assert set(asked) == {"the sky 2", "the sky 3", "the sky 4"}
    assert read_scores(tmp_path) == whole


def test_a_teacher_that_leaves_pairs_unscored_once_is_asked_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(teacher, "_PAUSE_SECONDS", 0.5)  # a lost model is loaded anew after a second
    asked = 0

    def score(pair: Pair) -> float:
        nonlocal asked
        asked += 1
        if asked == 1:
            raise BackendError("busy")
        return word_overlap(pair)

    with fake_reranker(score) as one:
        score_groups(one, GROUPS[:1], TEXTS, tmp_path)
    assert read_scores(tmp_path) == [("the sky 0", ["tea", "the sky", "the sky"], [0.0, 2.0, 2.0])]
    assert asked > 3


def test_a_teacher_that_leaves_pairs_unscored_is_asked_again_and_then_given_up(tmp_path: Path) -> None:
    failures = 0

    def fails(pair: Pair) -> float:
        nonlocal failures
        failures += 1
        raise BackendError("out of order")

    with (
        fake_reranker(fails) as one,
        pytest.raises(BackendError, match=r"the teacher left 3 of 3 unscored: \w+"),
    ):
        score_groups(one, GROUPS[:1], TEXTS, tmp_path)
    assert failures >= 1
    assert not list(tmp_path.glob("*.parquet"))


def test_a_teacher_has_one_label_and_is_a_bert(tmp_path: Path) -> None:
    tiny = {"vocab_size": 40, "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2}
    two = tmp_path / "two"
    BertForSequenceClassification(BertConfig(**tiny, intermediate_size=8, num_labels=2)).save_pretrained(two)
    with pytest.raises(BackendError, match="one score a pair, this one has 2 labels"):
        network_of_checkpoint(two)
    other = tmp_path / "other"
    other.mkdir()
    config = DistilBertConfig(num_labels=1).to_dict() | {"model_type": "distilbert"}
    (other / "config.json").write_text(json.dumps(config), encoding="utf-8")
    with pytest.raises(BackendError, match="must be a BERT, this one is a distilbert"):
        network_of_checkpoint(other)


def test_a_graph_that_is_no_quantised_bert_says_what_to_name_instead(tmp_path: Path) -> None:
    path = write_reranker(tmp_path / "model.onnx")
    with pytest.raises(BackendError, match=r"model\.onnx: is not the graph .* name as --teacher a folder"):
        network_of_onnx(path)
