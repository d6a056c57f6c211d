"""What every speaker does; run by the Python of its client's own environment, so nothing of ours is imported.

python SPEAKER.py < '{"urls": {mode: URL}, "query": ..., "texts": [...]}', and a line of JSON for each answer.
"""

import json
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

__all__ = ["speak"]

Ask = Callable[[str, Sequence[str]], list[int]]
"""Sends a query and texts, and tells the texts' positions in the order of the answer."""


def speak(ways: dict[str, Callable[[str], Ask]]) -> None:
    """Ask each service in each of the ways that this client has. A way is given a URL, and makes an `Ask`.

    The first question of each is not timed: clients import on it what they need.
    """
    told = json.load(sys.stdin)
    for mode, url in told["urls"].items():
        for way, make in ways.items():
            ask = make(url)
            answers = [_answer(ask, told["query"], told["texts"]) for _ in range(2)]
            print(json.dumps({"mode": mode, "way": way, "answers": answers}), flush=True)


def _answer(ask: Ask, query: str, texts: Sequence[str]) -> dict[str, Any]:
    began = time.perf_counter()
    try:
        order, error = ask(query, texts), None
    except Exception as raised:
        order, error = [], f"{type(raised).__name__}: {raised}"[:300]
    return {"order": order, "error": error, "ms": (time.perf_counter() - began) * 1000}
