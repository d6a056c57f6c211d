"""LangChain's document compressor for Cohere."""

import cohere
from langchain_cohere import CohereRerank
from langchain_core.documents import Document
from speaker import speak


def way(url):
    client = cohere.ClientV2(api_key="any", base_url=f"{url}/cohere")
    compressor = CohereRerank(client=client, model="rerank-v3.5", top_n=None)

    def ask(query, texts):
        documents = [Document(text, metadata={"place": place}) for place, text in enumerate(texts)]
        return [each.metadata["place"] for each in compressor.compress_documents(documents, query)]

    return ask


speak({"CohereRerank": way})
