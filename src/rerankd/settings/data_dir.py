"""Where a user's data live if nothing is said."""

import os
import sys
from collections.abc import Mapping
from pathlib import Path

__all__ = ["default_data_dir"]


def default_data_dir(
    environ: Mapping[str, str] | None = None, *, platform: str = sys.platform, root: bool | None = None
) -> Path:
    """Where this user's data live if nothing is said: the system's own place, as root `/var/lib/rerankd`."""
    environ = os.environ if environ is None else environ
    if root is None:
        root = getattr(os, "geteuid", lambda: 1)() == 0
    if platform == "win32":
        local = environ.get("LOCALAPPDATA", "")
        return Path(local) / "rerankd" if local else Path.home() / "AppData" / "Local" / "rerankd"
    if root:
        return Path("/var/lib/rerankd")
    home = environ.get("HOME") or os.path.expanduser("~")
    if not os.path.isabs(home):  # a user without an entry and without HOME, as in some containers
        return Path("/var/lib/rerankd")
    if platform == "darwin":
        return Path(home) / "Library" / "Application Support" / "rerankd"
    shared = environ.get("XDG_DATA_HOME", "")
    # The XDG specification says that a relative path here is to be ignored.
    return Path(shared if os.path.isabs(shared) else f"{home}/.local/share") / "rerankd"
