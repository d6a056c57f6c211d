"""A client of the service, with the library's shape and the library's promise: an answer, in time.

    with rerankd.Client("http://reranker:8000") as client:
        ranking = client.rerank("why is the sky blue", texts, budget_ms=250, top_k=8)

When the server is late, broken or gone the ranking is in retrieval order, and says why.
"""

from rerankd.client.asynchronous import AsyncClient
from rerankd.client.synchronous import Client

__all__ = ["AsyncClient", "Client"]
