"""sentence-transformers' CrossEncoder, on PyTorch, with the same weights in fp32."""

from typing import Any

import torch
from sentence_transformers import CrossEncoder

from benchmarks.peers.files import checkpoint


class SentenceTransformers:
    def __init__(self, threads: int | None, batch_size: int | None) -> None:
        if threads is not None:
            torch.set_num_threads(threads)
        self._arguments: dict[str, Any] = {} if batch_size is None else {"batch_size": batch_size}
        self._encoder = CrossEncoder(str(checkpoint()), device="cpu", local_files_only=True)
        chosen = f"batch_size={batch_size}" if batch_size else "defaults (batch_size=32)"
        self.settings = f"fp32, {chosen}" + (f", torch threads={threads}" if threads else "")

    def run(self, query: str, texts: list[str]) -> Any:
        return self._encoder.rank(query, texts, show_progress_bar=False, **self._arguments)

    def logits(self, answer: Any) -> list[float]:
        scores = {row["corpus_id"]: float(row["score"]) for row in answer}
        odds = torch.logit(
            torch.tensor([scores[place] for place in range(len(scores))], dtype=torch.float64), 1e-12
        )
        return [float(value) for value in odds]
