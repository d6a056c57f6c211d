"""A teacher of two tiny layers, and texts to ask about: the same in every process."""

import torch
from transformers import BertConfig, BertForSequenceClassification

from rerankd.distill.texts import Passage

__all__ = ["tiny_bert", "tiny_passages"]


def tiny_bert() -> BertForSequenceClassification:
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


def tiny_passages() -> list[Passage]:
    things = [
        "the sky is blue",
        "rain is falling why",
        "the red sky falls",
        "a bike is red",
        "tea is in the cup",
    ]
    return [Passage(f"thing {at}", f"{things[at % 5]} in place number {at} of the town") for at in range(60)]
