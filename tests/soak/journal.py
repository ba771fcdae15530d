"""What clients were told, kept outside the service: one line for each acknowledgement, only ever added to."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson


class Journal:
    """A file of acknowledgements; many threads write, any may read what was there when it began."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._lock = threading.Lock()
        self._end = 0
        self._writing = file.open("ab")
        self.lines = 0

    def note(self, what: str, **facts: Any) -> None:
        """Write one acknowledgement down."""
        line = orjson.dumps({"what": what, **facts}) + b"\n"
        with self._lock:
            self._writing.write(line)
            self._writing.flush()
            self._end += len(line)
            self.lines += 1

    @property
    def end(self) -> int:
        """Where the next line will begin."""
        return self._end

    def read(self, start: int, end: int) -> Iterator[dict[str, Any]]:
        """Give the acknowledgements that lie from `start` up to `end`."""
        with self._file.open("rb") as file:
            file.seek(start)
            while file.tell() < end:
                yield json.loads(file.readline())

    def close(self) -> None:
        """Write no more."""
        self._writing.close()


def digest(answer: Any) -> str:
    """Return the digest of an answer, whatever the order of its members.

    A receipt is left out: asked for again it ends in the newest checkpoint, and says the same of the same entry.
    """
    if isinstance(answer, dict):
        answer = {name: value for name, value in answer.items() if name != "receipt"}
    return hashlib.sha256(orjson.dumps(answer, option=orjson.OPT_SORT_KEYS)).hexdigest()
