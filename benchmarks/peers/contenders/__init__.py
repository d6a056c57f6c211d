"""One file a library. Each runs in a process of its own; none knows of the others."""

from typing import Any, Protocol

__all__ = ["CONTENDERS", "OURS", "Contender", "open_contender"]

OURS = "rerankd"
CONTENDERS = (
    OURS,
    "flashrank",
    "fastembed",
    "fastembed+threads",
    "sentence-transformers",
    "sentence-transformers+threads",
    "sentence-transformers+small-batch",
)
"""`+threads`: the number of threads set to the number of cores, where the library has a setting for it.
`+small-batch`: its documentation says to try a few batch sizes; 8 suits this many candidates."""


class Contender(Protocol):
    """A reranker, ready to run."""

    settings: str
    """What was set, for the report."""

    def run(self, query: str, texts: list[str]) -> Any:
        """What is timed: from plain strings to the library's own answer."""
        ...

    def logits(self, answer: Any) -> list[float]:
        """The raw scores of an answer, in the order of the texts. Not timed."""
        ...


def open_contender(name: str, cores: int) -> Contender:
    """Load a contender, importing its library only now."""
    library, _, variant = name.partition("+")
    if library == OURS:
        from benchmarks.peers.contenders.ours import Ours

        return Ours()
    if library == "flashrank":
        from benchmarks.peers.contenders.flash import FlashRank

        return FlashRank()
    if library == "fastembed":
        from benchmarks.peers.contenders.fast import FastEmbed

        return FastEmbed(threads=cores if variant == "threads" else None)
    if library == "sentence-transformers":
        from benchmarks.peers.contenders.sentence import SentenceTransformers

        return SentenceTransformers(
            threads=cores if variant == "threads" else None,
            batch_size=8 if variant == "small-batch" else None,
        )
    raise SystemExit(f"no contender is called {name!r}; there are: {', '.join(CONTENDERS)}")
