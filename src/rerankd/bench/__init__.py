"""A load generator that knows nothing of models: when to send, how long it took, what that comes to."""
