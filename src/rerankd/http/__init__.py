"""The service: every common rerank dialect over HTTP, answered inside the budget."""
