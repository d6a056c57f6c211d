"""Haystack's ranker for Text Embeddings Inference; from version 3 on it is in a package of its own."""

from haystack import Document
from haystack.utils import Secret
from speaker import speak

try:
    from haystack.components.rankers import HuggingFaceTEIRanker
except ImportError:
    from haystack_integrations.components.rankers.huggingface_api import HuggingFaceTEIRanker


def way(url):
    def ask(query, texts):
        # it drops a path in the URL, so it is pointed at the root
        ranker = HuggingFaceTEIRanker(url=url, top_k=len(texts), token=Secret.from_token("any"))
        documents = [Document(content=text, meta={"place": place}) for place, text in enumerate(texts)]
        return [each.meta["place"] for each in ranker.run(query=query, documents=documents)["documents"]]

    return ask


speak({"no prefix": way})
