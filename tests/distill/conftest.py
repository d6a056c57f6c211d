"""A teacher of two tiny layers, and texts to ask about."""

from pathlib import Path

import pytest
import torch
from transformers import BertConfig, BertForSequenceClassification

from rerankd.distill.lessons import Lesson
from rerankd.distill.texts import Passage
from tests.embedded_model import embedded
from tests.tokenizer_files import write_bert

__all__ = ["embedded"]


@pytest.fixture
def bert() -> BertForSequenceClassification:
    torch.manual_seed(7)
    config = BertConfig(
        vocab_size=200,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=128,
        max_position_embeddings=64,
        num_labels=1,
    )
    return BertForSequenceClassification(config).eval()


@pytest.fixture
def tokenizer(tmp_path: Path) -> Path:
    return write_bert(tmp_path / "tokenizer.json", window=64)


@pytest.fixture
def passages() -> list[Passage]:
    things = [
        "the sky is blue",
        "rain is falling why",
        "the red sky falls",
        "a bike is red",
        "tea is in the cup",
    ]
    return [Passage(f"thing {at}", f"{things[at % 5]} in place number {at} of the town") for at in range(60)]


@pytest.fixture
def lessons() -> list[Lesson]:
    chance = torch.Generator().manual_seed(3)
    made = []
    for _ in range(30):
        ids = [torch.randint(4, 200, (12,), generator=chance).tolist() for _ in range(3)]
        made.append(Lesson(ids, [[0] * 5 + [1] * 7 for _ in ids], [1.0, 0.0, -1.0]))
    return made
