"""Scorers, one a file. Each imports its own heavy library, so import them by name, where they are needed."""
