"""rerankd, through its public library, with no deadline so that everything is scored."""

import rerankd
from rerankd.settings import Settings


class Ours:
    weights = "int8"

    def __init__(self) -> None:
        self._reranker = rerankd.open(settings=Settings.load().uncached(), require_model=True).__enter__()
        self.settings = f"defaults, budget_ms=None, {self._reranker.status().workers} workers"

    def set_batch_size(self, size: int) -> None:
        raise SystemExit("rerankd chooses for itself")

    def close(self) -> None:
        pass

    def run(self, query: str, texts: list[str]) -> rerankd.Ranking:
        return self._reranker.rerank(query, texts, budget_ms=None)

    def logits(self, answer: rerankd.Ranking) -> list[float]:
        if answer.outcome != "reranked":
            raise SystemExit(f"rerankd did not score everything: {answer.outcome}, {answer.reason}")
        scores = {candidate.id: candidate.logit for candidate in answer}
        return [float(scores[place] or 0.0) for place in range(len(scores))]
