"""LlamaIndex's postprocessor for Text Embeddings Inference."""

from llama_index.core.schema import NodeWithScore, QueryBundle, TextNode
from llama_index.postprocessor.tei_rerank import TextEmbeddingInference
from speaker import speak


def way(url):
    def ask(query, texts):
        reranker = TextEmbeddingInference(top_n=len(texts), base_url=url)
        nodes = [
            NodeWithScore(node=TextNode(text=text, id_=str(place)), score=0.5)
            for place, text in enumerate(texts)
        ]
        found = reranker.postprocess_nodes(nodes, query_bundle=QueryBundle(query))
        return [int(each.node.node_id) for each in found]

    return ask


speak({"/tei": lambda url: way(f"{url}/tei"), "no prefix": way})
