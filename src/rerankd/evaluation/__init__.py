"""Measures what reranking does to a judged test collection: retrieval order against reranked order."""
