"""The reranker in virtual time: every rule is the real one, only what has threads is replaced."""
