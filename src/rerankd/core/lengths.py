"""How many tokens a text will have, guessed from its characters until a tokenizer has counted them."""

from rerankd.core.types import Text

__all__ = ["CHARACTERS_PER_TOKEN", "estimated_tokens"]

CHARACTERS_PER_TOKEN = 4.5
"""English prose in a 30,000-word WordPiece vocabulary."""
_DENSE_CHARACTERS_PER_TOKEN = 2.0
"""Other scripts, which such a vocabulary cuts into shorter pieces."""
_SPECIAL_TOKENS = 3


def estimated_tokens(query: Text, text: Text, *, max_tokens: int, max_chunks: int = 1) -> int:
    """Tokens of the pair; with chunks, of the chunk that all of them would fill on average."""
    asked = min(_tokens(query), max_tokens // 2)
    length = asked + _tokens(text) + _SPECIAL_TOKENS
    return max(1, min(length, max_tokens * max_chunks))


def _tokens(text: Text) -> int:
    # isascii() is a flag lookup; len() is a field: neither touches the text, however long it is
    per_token = CHARACTERS_PER_TOKEN if text.isascii() else _DENSE_CHARACTERS_PER_TOKEN
    return int(len(text) / per_token) + 1
