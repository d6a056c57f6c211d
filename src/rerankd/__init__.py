"""rerankd: the best order that fits your budget, on time, every time, and it tells you which one you got.

    with rerankd.open() as reranker:
        ranking = reranker.rerank("why is the sky blue", texts, budget_ms=250, top_k=8)

Importing this package imports no model runtime: that happens when a reranker loads.
"""

from typing import TYPE_CHECKING, Any

from rerankd.core.answer import RankedCandidate, Ranking
from rerankd.core.flag import Flag, Mode
from rerankd.core.types import Outcome, Reason
from rerankd.errors import BackendError, ConfigError, InvalidRequest, RerankdError
from rerankd.reranker import Reranker
from rerankd.wiring import open_reranker as open

if TYPE_CHECKING:
    from rerankd.client import AsyncClient as AsyncClient
    from rerankd.client import Client as Client

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


def __getattr__(name: str) -> Any:
    """The clients, when they are asked for: they need httpx, which the base does not bring."""
    if name in ("AsyncClient", "Client"):
        try:
            from rerankd import client
        except ModuleNotFoundError as error:
            raise ImportError(f"rerankd.{name} needs {error.name}: pip install 'rerankd[client]'") from error
        return getattr(client, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
