"""A made-up support corpus in BEIR's layout (`support/`), for the demo, the load generator and the checks.

Lorvane, the product that its passages talk about, does not exist. The first-stage order is plain BM25, which
passages mislead that share words with the query and answer something else. The judgements are ours. It shows
how reranking behaves; how well it does on other data, it cannot show.
"""
