"""A made-up conversation: what four people told a chat over eight months, and ten questions about it.

The questions were chosen among about a hundred because the memory that answers each is not the nearest by its
vector: they show what reranking is for. On how often it helps, they say nothing.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from importlib.resources import files
from typing import Any

from rerankd.core.types import Text

__all__ = ["Asked", "Turn", "asked", "turns"]

_FOLDER = "chat"


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """Something that a user said."""

    user: str
    text: Text
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A question of a user, and the one turn that answers it."""

    user: str
    question: Text
    answer: Text = field(repr=False)


@cache
def turns() -> tuple[Turn, ...]:
    """All turns, oldest first."""
    return tuple(
        Turn(
            user=row["user"],
            text=Text(row["text"]),
            created_at=datetime.fromisoformat(row["created_at"]),
        )
        for row in _rows("turns.jsonl")
    )


@cache
def asked() -> tuple[Asked, ...]:
    """The ten questions."""
    return tuple(
        Asked(user=row["user"], question=Text(row["question"]), answer=Text(row["answer"]))
        for row in _rows("questions.jsonl")
    )


def _rows(name: str) -> Iterator[dict[str, Any]]:
    text = files(__package__).joinpath(_FOLDER, name).read_text("utf-8")
    return map(json.loads, text.splitlines())
