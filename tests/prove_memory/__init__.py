"""The figures that the memory promises, measured on a real PostgreSQL."""
