"""Small tokenizer.json files of the kinds that cross-encoders come with, made on the spot."""

import string
from pathlib import Path

from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

WORDS = ["the", "sky", "is", "blue", "why", "##s", "##ing", "rain", "fall", "red"]


def write_bert(path: Path, *, padded: bool = True, window: int = 512) -> Path:
    """WordPiece with BERT's template; fixed padding and truncation switched on, as exporters leave it."""
    letters = [*string.ascii_lowercase, *string.digits, *string.punctuation, "\N{REPLACEMENT CHARACTER}", "é"]
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *WORDS, *letters, *(f"##{letter}" for letter in letters)]
    vocabulary = {token: at for at, token in enumerate(dict.fromkeys(tokens))}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]", max_input_chars_per_word=100))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True, strip_accents=False)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", vocabulary["[CLS]"]), ("[SEP]", vocabulary["[SEP]"])],
    )
    if padded:
        tokenizer.enable_padding(length=window, pad_id=0)
        tokenizer.enable_truncation(window)
    return _save(tokenizer, path)


def write_roberta(path: Path) -> Path:
    """Unigram with a metaspace and RoBERTa's doubled separator, as XLM-R has it: all types 0, pad id 1."""
    pieces = [("<s>", 0.0), ("<pad>", 0.0), ("</s>", 0.0), ("<unk>", -20.0), ("▁", -3.0)]
    pieces += [(f"▁{word.removeprefix('##')}", -4.0) for word in WORDS]
    pieces += [(letter, -8.0) for letter in string.ascii_lowercase + string.punctuation]
    tokenizer = Tokenizer(models.Unigram(pieces, unk_id=3, byte_fallback=False))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="first")
    tokenizer.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0), trim_offsets=True)
    return _save(tokenizer, path)


def write_bytes(path: Path) -> Path:
    """Byte-level BPE with a template, as ModernBERT-like models have it; no pad token, no truncation."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: at for at, token in enumerate(["[CLS]", "[SEP]", *alphabet, "th", "the"])}
    tokenizer = Tokenizer(models.BPE(vocabulary, [("t", "h"), ("th", "e")]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B [SEP]",
        special_tokens=[("[CLS]", 0), ("[SEP]", 1)],
    )
    return _save(tokenizer, path)


def write_backwards(path: Path) -> Path:
    """A template that puts the text before the query."""
    write_bert(path, padded=False)
    tokenizer = Tokenizer.from_file(str(path))
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A", pair="[CLS] $B [SEP] $A", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    return _save(tokenizer, path)


def _save(tokenizer: Tokenizer, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(path))
    return path
