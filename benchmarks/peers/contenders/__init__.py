"""One file a library. Each runs in a process of its own; none knows of the others.

Their environments differ too, since what they stand on excludes each other: see `ENVIRONMENTS`.
"""

from typing import Any, Protocol

__all__ = [
    "CONTENDERS",
    "ENVIRONMENTS",
    "OURS",
    "PACKAGES",
    "WRONG",
    "Contender",
    "environment",
    "open_contender",
]

OURS = "rerankd"
CONTENDERS = (
    OURS,
    "flashrank",
    "fastembed",
    "fastembed+tuned",
    "sentence-transformers",
    "sentence-transformers+tuned",
    "sentence-transformers-onnx",
    "sentence-transformers-onnx+tuned",
    "sentence-transformers-openvino",
    "sentence-transformers-openvino+tuned",
    "rerankers",
    "rerankers+tuned",
    "rerankers-flashrank",
    "infinity",
    "infinity+batch-4",
    "infinity-onnx",
)
"""Each as it comes. `+tuned`: as many threads as cores, and of `TUNED_SIZES` the batch size that is quickest with
the workload's first request; FlashRank has no setting for either. `+batch-4`: as many threads as cores, and a batch
size that has to be said before Infinity loads; it sorts by length what it batches."""

ENVIRONMENTS = {
    "sentence-transformers-onnx": ".venv-optimum",
    "sentence-transformers-openvino": ".venv-optimum",
    "infinity": ".venv-infinity",
    "infinity-onnx": ".venv-infinity",
}
"""Where a library is not installed beside rerankd, the folder of its environment in the checkout."""

PACKAGES = (
    *("flashrank", "fastembed", "sentence-transformers", "rerankers", "infinity-emb", "onnxruntime", "torch"),
    *("transformers", "tokenizers", "optimum", "optimum-onnx", "optimum-intel", "openvino"),
)
"""What a contender may stand on; it says which version of those it has loaded."""

WRONG = {
    "infinity-onnx": "its ONNX engine leaves out the token types, so its scores are wrong: here for its speed only",
}
"""Contenders that do other work, and why; the report says so beside them."""


class Contender(Protocol):
    """A reranker, ready to run."""

    settings: str
    """What was set, for the report."""
    weights: str
    """`int8`: the carried file itself. `fp32`: what it is when dequantised."""

    def run(self, query: str, texts: list[str]) -> Any:
        """What is timed: from plain strings to the library's own answer."""
        ...

    def logits(self, answer: Any) -> list[float]:
        """The raw scores of an answer, in the order of the texts. Not timed."""
        ...

    def set_batch_size(self, size: int) -> None:
        """Use batches of this size from now on. Only `+tuned` contenders are asked."""
        ...

    def close(self) -> None:
        """End its threads, where it does not do so by itself."""
        ...


def environment(name: str) -> str | None:
    """The environment of a contender; None: the one that this runs in."""
    return ENVIRONMENTS.get(name.partition("+")[0])


def open_contender(name: str, cores: int) -> Contender:
    """Load a contender, importing its library only now."""
    library, _, variant = name.partition("+")
    threads = cores if variant else None
    if library == OURS:
        from benchmarks.peers.contenders.ours import Ours

        return Ours()
    if library == "flashrank":
        from benchmarks.peers.contenders.flash import FlashRank

        return FlashRank()
    if library == "fastembed":
        from benchmarks.peers.contenders.fast import FastEmbed

        return FastEmbed(threads)
    if library.startswith("sentence-transformers"):
        from benchmarks.peers.contenders.sentence import SentenceTransformers

        return SentenceTransformers(
            library.removeprefix("sentence-transformers").strip("-") or "torch", threads
        )
    if library == "rerankers":
        from benchmarks.peers.contenders.rerankers import Transformers

        return Transformers(threads)
    if library == "rerankers-flashrank":
        from benchmarks.peers.contenders.rerankers import OfFlashRank

        return OfFlashRank()
    if library.startswith("infinity"):
        from benchmarks.peers.contenders.infinity import Infinity

        size = int(variant.removeprefix("batch-")) if variant else None
        return Infinity("optimum" if library == "infinity-onnx" else "torch", threads, size)
    raise SystemExit(f"no contender is called {name!r}; there are: {', '.join(CONTENDERS)}")
