"""A teacher of two tiny layers, and texts to ask about."""

from pathlib import Path

import pytest
import torch
from transformers import BertForSequenceClassification

from rerankd.distill.lessons import Lesson
from rerankd.distill.texts import Passage
from tests.distill.tiny import tiny_bert, tiny_passages
from tests.embedded_model import embedded
from tests.tokenizer_files import write_bert

__all__ = ["embedded"]


@pytest.fixture
def bert() -> BertForSequenceClassification:
    return tiny_bert()


@pytest.fixture
def tokenizer(tmp_path: Path) -> Path:
    return write_bert(tmp_path / "tokenizer.json", window=64)


@pytest.fixture
def passages() -> list[Passage]:
    return tiny_passages()


@pytest.fixture
def lessons() -> list[Lesson]:
    chance = torch.Generator().manual_seed(3)
    made = []
    for _ in range(30):
        ids = [torch.randint(4, 200, (12,), generator=chance).tolist() for _ in range(3)]
        made.append(Lesson(ids, [[0] * 5 + [1] * 7 for _ in ids], [1.0, 0.0, -1.0]))
    return made
