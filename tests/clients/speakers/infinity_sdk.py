"""Infinity's generated client."""

from infinity_client import Client
from infinity_client.api.default import rerank
from infinity_client.models import RerankInput, ReRankResult
from speaker import speak


def way(url):
    client = Client(base_url=f"{url}/infinity")

    def ask(query, texts):
        body = RerankInput(query=query, documents=list(texts), return_documents=True)
        answer = rerank.sync(client=client, body=body)
        assert isinstance(answer, ReRankResult), answer
        assert [each.document for each in answer.results] == [texts[each.index] for each in answer.results]
        return [each.index for each in answer.results]

    return ask


speak({"/infinity": way})
