"""NDJSON from a caller, line by line, in bounded memory: too long a line costs that line, not the batch."""

from collections.abc import AsyncIterable, AsyncIterator, Sequence
from typing import IO, Any, Final

from api import strict_json
from api.settings import Settings
from ledger.batch_rows import BatchRow, key_of
from ledger.errors import Code, Refusal
from ledger.issue_requests import IssueRequest, parse_issue
from ledger.issued import Given, Written, written
from ledger.vault import Vault

NDJSON: Final = "application/x-ndjson"
MEDIA_TYPES: Final = frozenset({NDJSON, "application/ndjson", "application/jsonl", "application/json-lines"})
MAX_REF_CHARACTERS: Final = 128
_TOO_LONG: Final = 0xFFFF_FFFF
_CHUNK_BYTES: Final = 2 * 2**20


async def lines(stream: AsyncIterable[bytes], settings: Settings) -> AsyncIterator[tuple[int, bytes | None]]:
    """Yield every line that is not blank with its number from 1; `None` stands for one that is too long.

    Raises `Refusal` batch.too_long for too many rows, body.too_large for too many bytes in all.
    """
    held, number, rows, size, skipping = bytearray(), 0, 0, 0, False
    async for chunk in stream:
        size += len(chunk)
        if size > settings.max_batch_bytes:
            raise Refusal(Code.BODY_TOO_LARGE, limit=settings.max_batch_bytes)
        *ended, rest = chunk.split(b"\n")
        for part in ended:
            number += 1
            line = None if skipping or len(held) + len(part) > settings.max_row_bytes else bytes(held + part)
            held.clear()
            skipping = False
            if line is None or line.strip():
                rows = _counted(rows, settings)
                yield number, line
        held += rest
        if len(held) > settings.max_row_bytes:
            held.clear()
            skipping = True
    if skipping or held.strip():
        _counted(rows, settings)
        yield number + 1, None if skipping else bytes(held)


def _counted(rows: int, settings: Settings) -> int:
    if rows >= settings.max_batch_rows:
        raise Refusal(Code.BATCH_TOO_LONG, limit=settings.max_batch_rows)
    return rows + 1


def row_of(number: int, line: bytes | None, limit: int) -> BatchRow:
    """Read one line; what is wrong with it becomes the row's own refusal."""
    if line is None:
        return BatchRow(number, None, None, Refusal(Code.ROW_TOO_LONG, limit=limit))
    try:
        body = strict_json.parse(line, limit=limit)
    except Refusal as refusal:
        return BatchRow(number, None, None, refusal)
    if not isinstance(body, dict):
        return BatchRow(number, None, None, Refusal(Code.REQUEST_MEMBER_INVALID, "", expected="object"))
    ref: Any = body.pop("client_ref", None)
    if ref is None:
        return BatchRow(number, None, None, Refusal(Code.REQUEST_MEMBER_MISSING, "/client_ref"))
    if not isinstance(ref, str) or not 0 < len(ref) <= MAX_REF_CHARACTERS:
        limits = Refusal(Code.REQUEST_MEMBER_INVALID, "/client_ref", expected="text", limit=MAX_REF_CHARACTERS)
        return BatchRow(number, None, None, limits)
    return BatchRow(number, ref, body)


class Lines:
    """A chunk of lines as a source for `ledger.issuing`: read where they are prepared, and answered in bytes there."""

    def __init__(self, lines: Sequence[tuple[int, bytes | None]], limit: int, base_url: str) -> None:
        self.lines = lines
        self._limit = limit
        self._base_url = base_url
        self._refs: dict[int, str | None] = {}

    def __reduce__(self) -> tuple[type["Lines"], tuple[Any, ...]]:
        return Lines, (self.lines, self._limit, self._base_url)

    def __len__(self) -> int:
        return len(self.lines)

    def pick(self, positions: Sequence[int]) -> "Lines":
        """Return those at `positions` alone."""
        return Lines([self.lines[position] for position in positions], self._limit, self._base_url)

    def row(self, position: int) -> BatchRow:
        """Read one of them."""
        return row_of(*self.lines[position], self._limit)

    def request(self, position: int, client: str, vault: Vault) -> IssueRequest:
        """Read one of them as a request. Raises its `Refusal`."""
        row = self.row(position)
        if row.refusal is not None:
            raise row.refusal
        self._refs[position] = row.ref
        return parse_issue(row.body, key_of(vault, client, "issue", row))

    def shown(self, position: int, given: Given) -> Written:
        """Return the line of the answer, but for the number of the entry."""
        named = {"client_ref": self._refs[position], "row": self.lines[position][0]}
        return written(given, named, self._base_url)


def put(file: IO[bytes], number: int, line: bytes | None) -> None:
    """Write a line to a spool: number, length, bytes."""
    size = _TOO_LONG if line is None else len(line)
    file.write(number.to_bytes(4, "big") + size.to_bytes(4, "big") + (line or b""))


def take(file: IO[bytes], most: int) -> list[tuple[int, bytes | None]]:
    """Read up to `most` lines back from a spool, with their numbers; fewer where they are long."""
    found: list[tuple[int, bytes | None]] = []
    begun = file.tell()
    while len(found) < most and file.tell() - begun < _CHUNK_BYTES and (head := file.read(8)):
        size = int.from_bytes(head[4:], "big")
        found.append((int.from_bytes(head[:4], "big"), None if size == _TOO_LONG else file.read(size)))
    return found
