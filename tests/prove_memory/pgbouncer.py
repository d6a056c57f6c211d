"""The real PgBouncer in transaction mode, where it is installed, before the embedded server."""

import asyncio
import os
import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import quote

import psycopg

from rerankd.core.secret import Secret
from rerankd.memory.store.account import Account

__all__ = ["run_pgbouncer"]

_SETTINGS = """
[databases]
* = host={server}
[pgbouncer]
pool_mode = transaction
default_pool_size = 3
max_client_conn = 200
auth_type = any
listen_addr =
unix_socket_dir = {own}
logfile = {own}/log
pidfile = {own}/pid
"""


@asynccontextmanager
async def run_pgbouncer(url: Secret) -> AsyncIterator[Secret]:
    """The same URL through it."""
    account = Account()
    account.ensure()
    server = url.partition("host=")[2].replace("%2F", "/")
    with tempfile.TemporaryDirectory(prefix="pgbouncer-") as own:
        settings = Path(own) / "settings.ini"
        role = url.partition("://")[2].partition("@")[0]
        settings.write_text(
            _SETTINGS.format(server=server, own=own).replace("host=" + server, f"host={server} user={role}")
        )
        if account.other:  # it does not run as root either
            os.chown(own, account.uid, account.gid)
            settings.chmod(0o644)
        program = shutil.which("pgbouncer")
        assert program is not None
        running = subprocess.Popen(
            [program, "-q", str(settings)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            **account.identity(),
        )
        try:
            pooled = url.partition("?")[0].replace("@/", "@/", 1) + "?port=6432&host=" + quote(own, safe="")
            await _answers(pooled)
            yield Secret(pooled)
        finally:
            running.terminate()
            running.wait(10)


async def _answers(url: str) -> None:
    for _ in range(100):
        try:
            async with await psycopg.AsyncConnection.connect(url):
                return
        except psycopg.OperationalError:
            await asyncio.sleep(0.05)
    raise RuntimeError("PgBouncer does not answer")
