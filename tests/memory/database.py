"""A real PostgreSQL for tests: the embedded one, in a folder that its user may enter, and not flushed to disk."""

import itertools
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg

from rerankd.core.secret import Secret
from rerankd.memory.store.embedded import EmbeddedPostgres, Urls
from rerankd.memory.store.migrate import migrate

__all__ = ["Server", "run_server"]

_HASTY = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}


class Server:
    """The server of a run, and further databases on it."""

    def __init__(self, embedded: EmbeddedPostgres, urls: Urls) -> None:
        self.embedded = embedded
        self.urls = urls
        self._numbers = itertools.count(1)

    def database(self, *, migrated: bool = True, extension: bool = True, partitions: int = 0) -> Urls:
        """A new database, for tests that change what all share."""
        name = f"test_{next(self._numbers)}"
        with psycopg.connect(self.superuser(), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name} OWNER rerankd_owner")
        with psycopg.connect(self.superuser(name), autocommit=True) as connection:
            connection.execute("ALTER SCHEMA public OWNER TO rerankd_owner")
            if extension:
                connection.execute("CREATE EXTENSION vector")
        urls = Urls(
            app=_in(self.urls.app, name),
            owner=_in(self.urls.owner, name),
            maintain=_in(self.urls.maintain, name),
        )
        if migrated:
            migrate(urls.owner, partitions=partitions)
        return urls

    def superuser(self, database: str = "postgres") -> Secret:
        return Secret(_in(self.urls.app, database).replace("rerankd_app@", "postgres@"))


def _in(url: str, database: str) -> Secret:
    return Secret(url.replace("/rerankd?", f"/{database}?"))


@contextmanager
def run_server(options: dict[str, str] | None = None) -> Iterator[Server]:
    """A server that is gone afterwards, and its data with it."""
    folder = Path(tempfile.mkdtemp(prefix="rerankd-test-"))
    if os.geteuid() == 0:
        folder.chmod(0o711)  # as root the server is another user
    embedded = EmbeddedPostgres(folder, options=_HASTY if options is None else options)
    try:
        yield Server(embedded, embedded.start())
    finally:
        embedded.stop()
        shutil.rmtree(folder, ignore_errors=True)
