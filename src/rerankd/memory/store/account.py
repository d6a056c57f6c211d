"""The system's account that the embedded database runs as."""

import logging
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rerankd.errors import StoreError

__all__ = ["ENVIRONMENT", "SYSTEM_USER", "Account"]

SYSTEM_USER = "rerankd-db"
ENVIRONMENT = {"LC_ALL": "C", "PATH": "/usr/bin:/bin", "TZ": "UTC"}
"""What the database's programs see of the environment: nothing that could turn them elsewhere."""
_LOG = logging.getLogger(__name__)


class Account:
    """Whom the server runs as: the caller, or as root somebody else."""

    def __init__(self) -> None:
        self.other = os.geteuid() == 0
        self.uid = self.gid = -1
        self.name = ""

    @property
    def caller(self) -> str:
        import pwd

        try:
            return pwd.getpwuid(os.geteuid()).pw_name
        except KeyError:
            raise StoreError(
                f"the user id {os.geteuid()} has no name, and PostgreSQL wants one:"
                " add it to /etc/passwd, or set DATABASE_URL to a PostgreSQL of your own"
            ) from None

    def ensure(self) -> None:
        """Know the account; as root, make it where it is missing."""
        import pwd

        if not self.other:
            self.uid, self.gid, self.name = os.geteuid(), os.getegid(), self.caller
            return
        try:
            entry = pwd.getpwnam(SYSTEM_USER)
        except KeyError:
            self._make()
            entry = pwd.getpwnam(SYSTEM_USER)
        self.uid, self.gid, self.name = entry.pw_uid, entry.pw_gid, entry.pw_name

    def _make(self) -> None:
        _LOG.warning("making the system user %s: PostgreSQL does not run as root", SYSTEM_USER)
        command = [
            "useradd",
            "--system",
            "--no-create-home",
            "--home-dir",
            "/",
            "--shell",
            "/usr/sbin/nologin",
        ]
        try:
            subprocess.run(
                [*command, SYSTEM_USER],
                check=True,
                capture_output=True,
                env={**ENVIRONMENT, "PATH": "/usr/sbin:/sbin:/usr/bin:/bin"},
            )
        except (OSError, subprocess.CalledProcessError):
            raise StoreError(
                f"PostgreSQL does not run as root, and the system user {SYSTEM_USER} cannot be made:"
                " run as another user, or set DATABASE_URL to a PostgreSQL of your own"
            ) from None

    def identity(self) -> dict[str, Any]:
        """Arguments for `subprocess.run`."""
        if not self.other:
            return {}
        self.ensure()
        return {"user": self.uid, "group": self.gid, "extra_groups": []}

    def may_run(self, program: Path) -> bool:
        return self._try([str(program), "--version"])

    def check_may_enter(self, folder: Path) -> None:
        if not self._try(["/bin/sh", "-c", 'cd "$1"', "sh", str(folder)]):
            raise StoreError(
                f"the database's user {self.name} cannot get into {folder}: a folder above it is closed to others."
                " Set RERANKD_DATA_DIR to a place like /var/lib/rerankd"
            )

    def _try(self, command: Sequence[str]) -> bool:
        try:
            return not subprocess.run(
                command,
                check=False,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                cwd="/",
                env=ENVIRONMENT,
                **self.identity(),
            ).returncode
        except OSError:
            return False
