"""With LlamaIndex: the postprocessor reorders nodes, in threads and event loops, and falls open."""

import asyncio
import warnings

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # its own imports' affair
    from llama_index.core.schema import NodeWithScore, QueryBundle, TextNode

    from rerankd.integrations.llamaindex import RerankdPostprocessor
from rerankd.testing import fake_reranker

TEXTS = ["a green pear", "an apple", "a red apple"]
QUERY = QueryBundle("red apple")
nodes = [NodeWithScore(node=TextNode(text=text, id_=str(at)), score=0.5) for at, text in enumerate(TEXTS)]

with fake_reranker() as reranker:
    processor = RerankdPostprocessor(reranker=reranker, budget_ms=None)
    found = processor.postprocess_nodes(nodes, query_bundle=QUERY)
    assert [each.node.node_id for each in found] == ["2", "1", "0"], found
    scores = [each.score for each in found]
    assert scores == sorted(scores, reverse=True), scores
    assert nodes[2].score == 0.5
    best = RerankdPostprocessor(reranker=reranker, top_n=1, budget_ms=None)
    found = asyncio.run(best.apostprocess_nodes(nodes, query_str="red apple"))
    assert [each.node.node_id for each in found] == ["2"], found
    assert processor.postprocess_nodes([], query_bundle=QUERY) == []
    try:
        processor.postprocess_nodes(nodes)
    except ValueError:
        pass
    else:
        raise AssertionError("it ranked without a query")


def broken(pair):
    if "apple" in pair.query:
        raise RuntimeError
    return 0.0


heard = []
with fake_reranker(broken) as reranker:
    processor = RerankdPostprocessor(reranker=reranker, budget_ms=5_000, on_ranking=heard.append)
    found = processor.postprocess_nodes(nodes, query_bundle=QUERY)
assert [each.node.node_id for each in found] == ["0", "1", "2"], found
assert [(each.outcome, each.reason) for each in heard] == [("skipped", "model_error")], heard
