"""rerankers: one interface to many. Its cross-encoder runs transformers itself; its FlashRank is FlashRank."""

from typing import Any

from rerankers import Reranker

from benchmarks.peers.contenders.odds import logit
from benchmarks.peers.files import FLASHRANK, FLASHRANK_NAME, FP32

_LIBRARY_SIZE = 16


class Transformers:
    weights = "fp32"

    def __init__(self, threads: int | None) -> None:
        if threads is not None:
            import torch

            torch.set_num_threads(threads)
        self._ranker = Reranker(str(FP32), model_type="cross-encoder", device="cpu", verbose=0)
        self._batch_size = _LIBRARY_SIZE
        self.settings = (
            f"its cross-encoder on transformers and PyTorch, defaults (batch_size={_LIBRARY_SIZE})"
        )

    def set_batch_size(self, size: int) -> None:
        self._batch_size = size

    def close(self) -> None:
        pass

    def run(self, query: str, texts: list[str]) -> Any:
        return self._ranker.rank(query, texts, batch_size=self._batch_size)

    def logits(self, answer: Any) -> list[float]:
        return _by_place(answer)


class OfFlashRank:
    settings = "wraps FlashRank, which has no setting for threads or batches"
    weights = "int8"

    def __init__(self) -> None:
        self._ranker = Reranker(FLASHRANK_NAME, model_type="flashrank", cache_dir=str(FLASHRANK), verbose=0)

    def set_batch_size(self, size: int) -> None:
        raise SystemExit("FlashRank has no setting for batches")

    def close(self) -> None:
        pass

    def run(self, query: str, texts: list[str]) -> Any:
        return self._ranker.rank(query, texts)

    def logits(self, answer: Any) -> list[float]:
        return [logit(score) for score in _by_place(answer)]


def _by_place(answer: Any) -> list[float]:
    scores = {result.document.doc_id: float(result.score) for result in answer.results}
    return [scores[place] for place in range(len(scores))]
