"""Other people's clients, each from its own package in an environment of its own, against a running service."""
