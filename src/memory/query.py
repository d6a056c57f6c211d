"""The names that this application's own code has always imported, now over rerankd: see `rerankd.compat_memory`."""

import sys

from rerankd import compat_memory
from rerankd.compat_memory import *  # noqa: F403 - for readers and type checkers

# the module itself, not copies of its names: replacing one here has to be seen in there
sys.modules[__name__] = compat_memory
