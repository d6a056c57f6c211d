"""How many tokens a text will have, guessed from its characters until a tokenizer has counted them."""

import math
from collections.abc import Iterable
from typing import NamedTuple

from rerankd.core.types import Text

__all__ = ["CHARACTERS_PER_TOKEN", "USUAL", "Density", "PerToken", "estimated_tokens"]

CHARACTERS_PER_TOKEN = 4.5
"""English prose in a 30,000-word WordPiece vocabulary."""
_DENSE_CHARACTERS_PER_TOKEN = 2.0
"""Other scripts, which such a vocabulary cuts into shorter pieces."""
_SPECIAL_TOKENS = 3

_FEWEST, _MOST = 1.0, 12.0
"""Characters a token that are believed: a text of one endless word is a single token, and says nothing."""
_BELIEF = 500.0
"""Tokens that must be counted for what they say to weigh as much as what is usual."""
_MEMORY = 10_000.0
"""Tokens after which the ones before count for less: some 130 passages of 80."""
_HALF_LIFE_S = 30.0
"""In which half of it is doubted that texts have more tokens than is usual, while none is counted."""


class PerToken(NamedTuple):
    """Characters a token."""

    ascii: float
    """Of texts in plain ASCII."""
    other: float
    """Of all others."""

    def near(self, other: "PerToken") -> bool:
        """Whether lengths guessed with either would be the same within a few per cent."""
        return all(math.isclose(one, two, rel_tol=0.02) for one, two in zip(self, other, strict=True))


USUAL = PerToken(CHARACTERS_PER_TOKEN, _DENSE_CHARACTERS_PER_TOKEN)


def estimated_tokens(
    query: Text, text: Text, *, max_tokens: int, max_chunks: int = 1, per_token: PerToken = USUAL
) -> int:
    """Tokens of the pair; with chunks, of the chunk that all of them would fill on average."""
    asked = min(_tokens(query, per_token), max_tokens // 2)
    length = asked + _tokens(text, per_token) + _SPECIAL_TOKENS
    return max(1, min(length, max_tokens * max_chunks))


class Density:
    """How many characters a token takes, learned from the texts that a tokenizer has counted.

    The ratio of two sums in which older texts count for less. What was learned of texts with more tokens than is
    usual fades while none is counted: it could refuse every request as too long for its budget, and so never hear
    that others have come. What was learned of texts with fewer refuses nobody, and stays.
    """

    __slots__ = ("_ascii", "_other")

    def __init__(self) -> None:
        self._ascii = _Ratio(USUAL.ascii)
        self._other = _Ratio(USUAL.other)

    def per_token(self, now: float) -> PerToken:
        return PerToken(self._ascii.value(now), self._other.value(now))

    def observe(
        self, query: Text, counted: Iterable[tuple[Text, int]], *, max_tokens: int, now: float
    ) -> None:
        """Learn from texts and the tokens of their pairs with this query, cut to the window."""
        per_token = self.per_token(now)
        asked = _tokens(query, per_token)
        if asked >= max_tokens // 2:
            return  # nobody knows how much of the query was cut
        for text, tokens in counted:
            cut = tokens >= max_tokens
            if (
                cut
                and estimated_tokens(query, text, max_tokens=max_tokens, per_token=per_token) == max_tokens
            ):
                continue  # as was guessed, and how much longer it is cannot be seen
            # a guess rounds up, by half a token on average
            left = max(0.5, min(tokens, max_tokens) - asked - _SPECIAL_TOKENS - 0.5)
            (self._ascii if text.isascii() else self._other).add(len(text), left, now)


class _Ratio:
    """Characters a token of one kind of text."""

    __slots__ = ("_at", "_characters", "_tokens", "_usual")

    def __init__(self, usual: float) -> None:
        self._usual = usual
        self._characters = usual * _BELIEF
        self._tokens = _BELIEF
        self._at = 0.0

    def value(self, now: float) -> float:
        learned = self._characters / self._tokens
        if learned >= self._usual:
            return learned
        doubt = math.exp2(-max(0.0, now - self._at) / _HALF_LIFE_S)
        return self._usual - (self._usual - learned) * doubt

    def add(self, characters: int, tokens: float, now: float) -> None:
        self._characters += min(max(characters, _FEWEST * tokens), _MOST * tokens)
        self._tokens += tokens
        share = min(1.0, _MEMORY / self._tokens)
        self._characters *= share
        self._tokens *= share
        self._at = now


def _tokens(text: Text, per_token: PerToken) -> int:
    # isascii() is a flag lookup; len() is a field: neither touches the text, however long it is
    return int(len(text) / (per_token.ascii if text.isascii() else per_token.other)) + 1
