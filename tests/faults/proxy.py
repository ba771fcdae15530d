"""A man in the middle of a PostgreSQL connection: passes everything on, until entries are committed."""

from __future__ import annotations

import contextlib
import socket
import tempfile
import threading
from enum import StrEnum
from pathlib import Path
from types import TracebackType

from sqlalchemy import make_url

_NAME = ".s.PGSQL.5432"
_COMMIT = b"COMMIT\0"
_APPENDS = b"COPY entries"
"""What a transaction says that appends; others commit, too."""
_CHUNK = 1 << 16


class Cut(StrEnum):
    """What becomes of the connection when COMMIT comes by."""

    BEFORE = "COMMIT never reaches the server"
    AFTER = "the server commits and its word is lost"


class Proxy:
    """Stands between a service and the server at `url`; `url` of the proxy is what the service is given."""

    def __init__(self, url: str) -> None:
        parsed = make_url(url)
        server = parsed.query["host"]
        assert isinstance(server, str)
        self._server = str(Path(server) / _NAME)
        self._folder = tempfile.TemporaryDirectory(prefix="cut-", dir="/tmp")
        self.url = parsed.set(query={**parsed.query, "host": self._folder.name}).render_as_string(hide_password=False)
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(Path(self._folder.name) / _NAME))
        self._listener.listen(64)
        self._armed: Cut | None = None
        self._clients: list[socket.socket] = []
        self.cuts = 0
        self.closed = False
        """While true nobody gets through: connections are shut as soon as they are made."""
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> Proxy:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._listener.close()
        self._folder.cleanup()

    def arm(self, cut: Cut, *, then_closed: bool = False) -> None:
        """Cut the next connection over which COMMIT comes."""
        self._armed, self._then_closed = cut, then_closed

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            if self.closed:
                client.close()
                continue
            self._clients.append(client)
            server = socket.socket(socket.AF_UNIX)
            server.connect(self._server)
            threading.Thread(target=self._upstream, args=(client, server), daemon=True).start()
            threading.Thread(target=_pass_on, args=(server, client), daemon=True).start()

    def _upstream(self, client: socket.socket, server: socket.socket) -> None:
        with contextlib.suppress(OSError), client, server:
            appends = False
            while data := client.recv(_CHUNK):
                appends = appends or _APPENDS in data
                if _COMMIT in data:
                    if self._armed is not None and appends:
                        self._cut(data, client, server)
                        return
                    appends = False
                server.sendall(data)
        _shut(server)

    def _cut(self, data: bytes, client: socket.socket, server: socket.socket) -> None:
        cut, self._armed = self._armed, None
        self.cuts += 1
        self.closed = self._then_closed
        for other in self._clients if self.closed else ():
            if other is not client:
                _shut(other)
        if cut is Cut.AFTER:
            _shut(client)  # the word that comes back finds nobody
            server.sendall(data)
            server.shutdown(socket.SHUT_WR)
            return
        _shut(server)
        _shut(client)


def _pass_on(server: socket.socket, client: socket.socket) -> None:
    while True:
        try:
            data = server.recv(_CHUNK)
            if not data:
                break
            client.sendall(data)
        except OSError:
            break
    _shut(client)


def _shut(one: socket.socket) -> None:
    with contextlib.suppress(OSError):
        one.shutdown(socket.SHUT_RDWR)
