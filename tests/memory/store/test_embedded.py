"""The embedded server: closed to everybody else, shared by whoever uses it, gone with the last one."""

import os
import stat
import tempfile
from contextlib import nullcontext
from pathlib import Path

import psycopg
import pytest

import rerankd.memory.store.embedded as embedded_module
from rerankd.errors import StoreError
from rerankd.memory.store.account import Account
from rerankd.memory.store.embedded import EmbeddedPostgres
from tests.memory.database import Server, run_server


def test_it_is_reached_by_its_user_through_a_closed_folder_and_never_through_the_network(
    server: Server,
) -> None:
    """No password is needed as the operating system says who calls; nothing trusts anybody."""
    folder = server.embedded.socket_folder
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE(server.embedded.data.stat().st_mode) == 0o700
    rules = (server.embedded.data / "pg_hba.conf").read_text().splitlines()
    assert rules == ["local all all peer map=rerankd"]
    with psycopg.connect(server.urls.app) as connection:
        assert connection.execute("SHOW listen_addresses").fetchone() == ("",)
        assert connection.execute("SHOW log_error_verbosity").fetchone() == ("terse",)


def test_the_application_is_a_plain_role(server: Server) -> None:
    """Whoever is a superuser or owns the tables would see everything, and no test of isolation meant anything."""
    for url, role in ((server.urls.app, "rerankd_app"), (server.urls.maintain, "rerankd_maintain")):
        with psycopg.connect(url) as connection:
            found = connection.execute(
                "SELECT current_user, rolsuper, rolbypassrls, rolcreaterole, rolcreatedb,"
                " pg_has_role('rerankd_owner', 'MEMBER') FROM pg_roles WHERE rolname = current_user"
            ).fetchone()
        assert found == (role, False, False, False, False, False)


def test_no_folder_above_the_data_changes_its_mode(tmp_path: Path) -> None:
    """The wheel's own start makes each of them readable to all."""
    with run_server() as running:
        above = list(running.embedded.folder.parent.parents)
        closed = tmp_path / "closed"
        closed.mkdir(mode=0o700)
        before = {folder: folder.stat().st_mode for folder in (*above, tmp_path, closed)}
        other = EmbeddedPostgres(closed)
        # as root the server's user cannot get in there
        with pytest.raises(StoreError, match="RERANKD_DATA_DIR") if os.geteuid() == 0 else nullcontext():
            other.start()
        other.stop()
        assert {folder: folder.stat().st_mode for folder in before} == before


@pytest.mark.skipif(os.geteuid() != 0, reason="only as root is the server another user")
def test_folders_that_are_made_let_the_servers_user_pass_whatever_the_umask() -> None:
    before = os.umask(0o077)
    try:
        with tempfile.TemporaryDirectory() as above:
            Path(above).chmod(0o711)
            with EmbeddedPostgres(Path(above) / "made" / "by us") as embedded:
                assert embedded.data.exists()
                assert stat.S_IMODE((Path(above) / "made").stat().st_mode) == 0o711
    finally:
        os.umask(before)


def test_programs_that_the_servers_user_cannot_reach_are_copied(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in an environment below a home that is closed to others; no mode there changes."""
    monkeypatch.setattr(Account, "may_run", lambda self, program: False)
    with run_server() as running:
        copy = running.embedded.folder / "programs-18"
        assert running.embedded._programs().is_relative_to(copy)
        with psycopg.connect(running.urls.app) as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)


def test_who_uses_it_at_the_same_time_shares_it_and_the_last_one_stops_it(server: Server) -> None:
    """The data are there again at the next start."""
    with run_server() as running:
        first = running.embedded
        data = first.folder.parent
        with psycopg.connect(running.urls.owner) as connection:
            connection.execute("INSERT INTO memory_epochs (kind, id) VALUES ('key', 'one')")
        second = EmbeddedPostgres(data)
        assert second.start() == running.urls
        first.stop()
        with psycopg.connect(running.urls.app) as connection:
            assert connection.execute("SELECT id FROM memory_epochs").fetchone() == ("one",)
        second.stop()
        with pytest.raises(psycopg.OperationalError):
            psycopg.connect(running.urls.app)
        with first, psycopg.connect(running.urls.app) as connection:
            assert connection.execute("SELECT id FROM memory_epochs").fetchone() == ("one",)


def test_an_unfinished_start_is_begun_anew(tmp_path: Path) -> None:
    """What a start that was killed left behind is neither used nor in the way."""
    with run_server() as running:
        folder = running.embedded.folder
        running.embedded.stop()
        running.embedded.data.rename(folder / "data.unfinished")
        with running.embedded, psycopg.connect(running.urls.app) as connection:
            assert connection.execute("SELECT count(*) FROM memory_epochs").fetchone() == (0,)


def test_without_the_wheel_the_remedy_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded_module.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(StoreError, match=r"rerankd\[embedded\].*DATABASE_URL"):
        EmbeddedPostgres(tmp_path).start()
    assert not (tmp_path / "postgres" / "data").exists()


def test_a_folder_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="RERANKD_DATA_DIR"):
        EmbeddedPostgres(tmp_path / "file").start()


def test_a_path_too_long_for_a_socket_gets_a_short_one_of_its_own(tmp_path: Path) -> None:
    long = EmbeddedPostgres(tmp_path / ("x" * 90))
    other = EmbeddedPostgres(tmp_path / ("y" * 90))
    assert len(os.fsencode(long.socket_folder / ".s.PGSQL.5432")) < 104
    assert long.socket_folder != other.socket_folder
