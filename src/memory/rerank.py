"""The names that this application's own code has always imported, now over rerankd: see `rerankd.compat`."""

import sys

from rerankd import compat
from rerankd.compat import *  # noqa: F403 - for readers and type checkers

# the module itself, not copies of its names: replacing one here has to be seen in there
sys.modules[__name__] = compat
