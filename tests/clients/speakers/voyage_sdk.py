"""Voyage AI's own SDK."""

import voyageai
from speaker import speak


def way(url):
    client = voyageai.Client(api_key="any", base_url=url)
    return lambda query, texts: [
        each.index for each in client.rerank(query, list(texts), model="rerank-2.5").results
    ]


speak({"/voyage/v1": lambda url: way(f"{url}/voyage/v1"), "no prefix": way})
