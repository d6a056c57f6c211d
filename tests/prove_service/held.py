"""What another process holds: memory, threads, descriptors."""

import os
from pathlib import Path

from tests.prove.rss import Held

__all__ = ["held_by"]


def held_by(pid: int) -> Held:
    folder = Path(f"/proc/{pid}")
    pages = int((folder / "statm").read_text(encoding="ascii").split()[1])
    return Held(
        pages * os.sysconf("SC_PAGE_SIZE") / 1e6,
        len(os.listdir(folder / "task")),
        len(os.listdir(folder / "fd")),
    )
