"""A second server that follows a first one by streaming replication, and can be made to take over."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Mapping

import psycopg
from psycopg import sql
from sqlalchemy import make_url

from tests.postgres_server import START_S, Cluster, PostgresFailed, PostgresServer

_DURABLE = {"wal_level": "replica", "max_wal_senders": "5", "hot_standby": "on", "wal_receiver_timeout": "10s"}


def primary(options: Mapping[str, str] | None = None) -> PostgresServer:
    """Start a server that others may follow."""
    server = PostgresServer({**_DURABLE, **(options or {})})
    server.start()
    return server


class Standby(PostgresServer):
    """A copy of `first` that goes on copying; the first waits for it before it says that anything is committed."""

    def __init__(self, first: PostgresServer) -> None:
        self._first = first
        super().__init__()

    def _initdb(self) -> None:
        url = self._first.url("postgres", "postgresql")
        command = [str(self._bin / "pg_basebackup"), "-c", "fast", "-X", "stream", "-R", "-D", f"{self._folder}/data"]
        done = subprocess.run(
            [*command, "-d", url],
            capture_output=True,
            text=True,
            env={**os.environ, "LC_ALL": "C"},
            user=self._user,
            group=self._user,
            extra_groups=self._groups,
            check=False,
        )
        if done.returncode:
            raise PostgresFailed(f"pg_basebackup ended {done.returncode}: {done.stderr[-2000:]}")
        (self._folder / "data").chmod(0o700)
        self._password = str(make_url(url).password)

    def follow(self, how: str) -> None:
        """Start, and have the first server wait for this one: `how` is its `synchronous_commit`."""
        self.start()
        alter(self._first, "synchronous_commit", how)
        alter(self._first, "synchronous_standby_names", "*")
        deadline = time.monotonic() + START_S
        while ask(self._first, "SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'") != 1:
            if time.monotonic() > deadline:
                raise PostgresFailed(f"the standby does not follow:\n{self.log[-2000:]}")
            time.sleep(0.05)

    def take_over(self) -> None:
        """Become the first server."""
        assert ask(self, "SELECT pg_promote(true, 60)") is True


def alter(server: Cluster, name: str, value: str) -> None:
    """Change a setting of a running server."""
    server.execute(sql.SQL("ALTER SYSTEM SET {} = {}").format(sql.Identifier(name), sql.Literal(value)))
    server.execute(sql.SQL("SELECT pg_reload_conf()").format())


def ask(server: Cluster, question: str) -> object:
    """Ask a server one thing."""
    with psycopg.connect(server.url("postgres", "postgresql"), autocommit=True) as connection:
        row = connection.execute(question.encode()).fetchone()
    return row[0] if row else None


def either(first: PostgresServer, second: PostgresServer, database: str) -> str:
    """Give the URL of `database` on whichever of two servers takes writes, as a service is given it."""
    one, two = make_url(first.url(database)), make_url(second.url(database))
    hosts = (str(one.query["host"]), str(two.query["host"]))
    return one.set(query={"host": hosts, "target_session_attrs": "read-write"}).render_as_string(hide_password=False)
