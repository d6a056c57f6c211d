"""How long this process has been there."""

import os
from pathlib import Path

__all__ = ["process_age"]


def process_age(proc: Path = Path("/proc")) -> float | None:
    """Seconds since the process began, the interpreter's start included; None where the system does not tell.

    From `/proc/self/stat`, field 22 (clock ticks after boot), and `/proc/uptime`: see proc(5).
    """
    try:
        stat = (proc / "self" / "stat").read_text(encoding="utf-8", errors="replace")
        uptime = float((proc / "uptime").read_text(encoding="utf-8").split()[0])
        # the command's name, field 2, may hold blanks and brackets
        started = int(stat.rpartition(")")[2].split()[19])
        return uptime - started / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, IndexError, AttributeError):
        return None
