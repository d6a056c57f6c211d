"""Hand-made faults in the safety code, each of which a named test must notice.

`python -m tests.mutants` tries them all; `run` is for `make prove`.
"""

from tests.mutants.runner import Result, run

__all__ = ["Result", "run"]
