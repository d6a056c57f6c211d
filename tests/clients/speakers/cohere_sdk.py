"""Cohere's own SDK, both of its clients."""

import cohere
from speaker import speak


def v2(url):
    client = cohere.ClientV2(api_key="any", base_url=url)
    return lambda query, texts: [
        each.index for each in client.rerank(model="rerank-v3.5", query=query, documents=list(texts)).results
    ]


def v1(url):
    client = cohere.Client(api_key="any", base_url=f"{url}/cohere")

    def ask(query, texts):
        answer = client.rerank(
            model="rerank-english-v3.0",
            query=query,
            documents=[{"text": text} for text in texts],
            return_documents=True,
        )
        assert [each.document.text for each in answer.results] == [
            texts[each.index] for each in answer.results
        ]
        return [each.index for each in answer.results]

    return ask


speak(
    {"ClientV2, /cohere": lambda url: v2(f"{url}/cohere"), "ClientV2, no prefix": v2, "Client, /cohere": v1}
)
