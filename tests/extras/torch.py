"""With PyTorch: a folder of safetensors is a model like any other."""

import os
import sys
import tempfile
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["RERANKD_DATA_DIR"] = tempfile.mkdtemp()
sys.path.pop(0)  # this script is called as what it imports

import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import BertConfig, BertForSequenceClassification

import rerankd

words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "tea", "green", "bike"]
tokenizer = Tokenizer(
    models.WordLevel({word: number for number, word in enumerate(words)}, unk_token="[UNK]")
)
tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
tokenizer.post_processor = processors.TemplateProcessing(
    single="[CLS] $A [SEP]",
    pair="[CLS] $A [SEP] $B:1 [SEP]:1",
    special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
)
torch.manual_seed(0)
config = BertConfig(
    vocab_size=len(words),
    hidden_size=8,
    num_hidden_layers=1,
    num_attention_heads=2,
    intermediate_size=16,
    max_position_embeddings=64,
    num_labels=1,
)
folder = Path(tempfile.mkdtemp()) / "tiny"
BertForSequenceClassification(config).save_pretrained(folder)
tokenizer.save(str(folder / "tokenizer.json"))

with rerankd.open(str(folder), device="cpu", require_model=True) as reranker:
    ranking = reranker.rerank("green tea", ["bike", "tea", "green"], budget_ms=None)
    scores = reranker.score("green tea", ["bike", "tea", "green"])
assert ranking.outcome == "reranked", ranking
assert [candidate.retrieval_rank - 1 for candidate in ranking] == sorted(range(3), key=lambda i: -scores[i])
assert ranking.model == "tiny"
