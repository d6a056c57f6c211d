"""With the memory: it imports, seals and opens, and says which extra brings a database to a machine without one."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from uuid import uuid4

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["RERANKD_DATA_DIR"] = tempfile.mkdtemp()

import rerankd.memory  # noqa: F401 - that it imports is the point
from rerankd.memory.sealing import DataKey, Sealer, TamperedError

row, place = uuid4(), {"table": "memory_chunks", "column": "text_cipher"}
key, subject = DataKey.new(), uuid4()
sealed = Sealer(key, subject).seal(b"a text", row=row, **place)
assert Sealer(key, subject).open(sealed, row=row, **place) == b"a text"
try:
    Sealer(key, uuid4()).open(sealed, row=row, **place)
except TamperedError:
    pass
else:
    raise AssertionError("it opened for another user")

command = Path(sys.executable).with_name("rerankd")
environ = {name: value for name, value in os.environ.items() if name != "DATABASE_URL"}
done = subprocess.run(
    [command, "memory", "count", "--user", "ada"], capture_output=True, text=True, check=False, env=environ
)
assert done.returncode == 1, done.stdout + done.stderr
assert "rerankd[embedded]" in done.stderr, done.stderr
