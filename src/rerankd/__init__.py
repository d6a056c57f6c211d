"""rerankd: the best order that fits your budget, on time, every time, and it tells you which one you got.

    with rerankd.open() as reranker:
        ranking = reranker.rerank("why is the sky blue", texts, budget_ms=250, top_k=8)

Importing this package imports no model runtime: that happens when a reranker loads.
"""

from rerankd.core.answer import RankedCandidate, Ranking
from rerankd.core.flag import Flag, Mode
from rerankd.core.types import Outcome, Reason
from rerankd.errors import BackendError, ConfigError, InvalidRequest, RerankdError
from rerankd.reranker import Reranker
from rerankd.wiring import open_reranker as open

__all__ = [
    "BackendError",
    "ConfigError",
    "Flag",
    "InvalidRequest",
    "Mode",
    "Outcome",
    "RankedCandidate",
    "Ranking",
    "Reason",
    "RerankdError",
    "Reranker",
    "open",
]
