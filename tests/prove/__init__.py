"""The reliability figures of the library, measured: `python -m tests.prove`."""
