"""Row 16: a text of a megabyte costs next to nothing before any tokenizer, and little in it."""

import math
import time
from collections.abc import Iterator, Sequence

from rerankd.core.types import Pair, Text
from rerankd.testing import FakeTokenizer, fake_reranker
from tests.prove.event_loop import HOSTILE
from tests.prove.line import Line, percentile, seconds

__all__ = ["measure"]


class _Handed(FakeTokenizer):
    """Notes when it was asked, and encodes nothing."""

    def __init__(self) -> None:
        self.at = math.inf

    def encode(
        self, query: Text, texts: Sequence[Text], *, max_tokens: int, max_chunks: int = 1
    ) -> Sequence[tuple[Pair, ...]]:
        self.at = time.perf_counter()
        return [(Pair(query, text, 3, ids=(1, 2, 3)),) for text in texts]


def measure(quick: bool) -> Iterator[Line]:
    for where in ("candidate", "query"):
        took = _until_handed_over(where, 30 if quick else 500)
        worst = percentile(took, 0.99)
        yield Line(
            16,
            f"1 MB {where}: from the call until a tokenizer is handed it",
            "≤ 5 ms",
            f"p50 {seconds(percentile(took, 0.5))}, p99 {seconds(worst)}, max {seconds(max(took))}",
            worst <= 0.005,
            timed=True,
        )
    yield _cut(quick)


def _until_handed_over(where: str, count: int) -> list[float]:
    tokenizer = _Handed()
    took = []
    with fake_reranker(lambda _: 0.0, tokenizer=tokenizer) as reranker:
        for _ in range(count):
            for text in HOSTILE.values():
                # fresh each time: a string remembers its hash, and whether it is plain
                fresh = text[:-1] + "y"
                query, texts = (fresh, ["short"]) if where == "query" else ("short", [fresh])
                tokenizer.at = math.inf
                began = time.perf_counter()
                reranker.rerank(query, texts, budget_ms=1_000)
                took.append(tokenizer.at - began)
    return took


def _cut(quick: bool) -> Line:
    """How long the real tokenizer takes for it: it cuts before it encodes."""
    try:
        from importlib.metadata import PackageNotFoundError, distribution
        from pathlib import Path

        from rerankd.models.pairs import PairTokenizer
        from rerankd.models.registry import find

        carried = find("large").carried
        assert carried is not None
        folder = Path(str(distribution(carried.package).locate_file(carried.folder)))
        tokenizer = PairTokenizer(folder / "tokenizer.json")
    except PackageNotFoundError:
        return Line(16, "cut and encoded by the real tokenizer", "-", "the model is not installed", None)
    took, longest = [], 0
    for _ in range(5 if quick else 200):
        for text in HOSTILE.values():
            began = time.perf_counter()
            ((pair,),) = tokenizer.encode(Text("a query"), [Text(text)], max_tokens=512)
            took.append(time.perf_counter() - began)
            longest = max(longest, pair.tokens)
    return Line(
        16,
        "1 MB cut and encoded by the real tokenizer, on a worker",
        "for information",
        f"p50 {seconds(percentile(took, 0.5))}, max {seconds(max(took))}, at most {longest} tokens",
        None,
    )
