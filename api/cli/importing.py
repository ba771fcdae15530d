"""`elicence import FILE.ndjson`: bring a backlog in over HTTP, accounted for row by row, however often interrupted.

Rows go up in chunks; a row's `client_ref` (or, without one, a digest of the row) makes a repeated row find its first
answer. What is done is written down after every chunk: results first, then the position, so a kill in between repeats
one chunk, which changes nothing. Refused rows go to a file of their own with row number and reason, ready to be mended
and imported again.
"""

import hashlib
import json
import os
import secrets
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import httpx
import orjson
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from api.cli.answers import print_json, say
from api.cli.http_client import Refused, ServiceClient
from api.cli.key_refusals import EXIT_REFUSED, EXIT_UNUSABLE

CHUNK_ROWS = 500
MAX_ROW_BYTES = 65_536
"""The service's own bound: a longer row would be refused there, here it costs no transfer."""
_RETRIES = 6


@dataclass
class Position:
    """How far an import of this very file has come; sizes are those of the result files when it was written."""

    digest: str
    row: int = 0
    offset: int = 0
    done: int = 0
    refused: int = 0
    results_size: int = 0
    errors_size: int = 0


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the file."""

    number: int
    end: int
    text: bytes


class Import:
    """One import of one file: its position, results and errors lie beside the file."""

    def __init__(self, file: Path, client: ServiceClient, operator: str, rule: str) -> None:
        self._file = file
        self._client = client
        self._operator = operator
        self._rule = rule
        self._state = file.with_name(file.name + ".position")
        self.results = file.with_name(file.name + ".results.ndjson")
        self.errors = file.with_name(file.name + ".errors.ndjson")
        self.position = self._begin()

    def _begin(self) -> Position:
        """Go on where an earlier run stopped, if the file is the same."""
        digest = _digest(self._file)
        position = Position(digest)
        if self._state.exists():
            kept = Position(**json.loads(self._state.read_text("utf-8")))
            if kept.digest == digest:
                position = kept
        # What was written after the position was is written again, so it is cut off first.
        for path, size in ((self.results, position.results_size), (self.errors, position.errors_size)):
            with path.open("ab") as out:
                out.truncate(size)
        return position

    def rows(self) -> Iterator[Row]:
        """Yield the rows that are not done yet; empty lines are passed over."""
        with self._file.open("rb") as source:
            source.seek(self.position.offset)
            number, end = self.position.row, self.position.offset
            for line in source:
                number, end = number + 1, end + len(line)
                if line.strip():
                    yield Row(number, end, line.strip())

    def send(self, rows: list[Row]) -> None:
        """Send a chunk and write down what came of it.

        Raises `Refused` or `httpx.TransportError` for the whole chunk.
        """
        ready: list[tuple[Row, bytes]] = []
        answers: dict[int, dict[str, Any]] = {}
        for row in rows:
            prepared = _prepared(row)
            if isinstance(prepared, bytes):
                ready.append((row, prepared))
            else:
                answers[row.number] = prepared
        if ready:
            body = b"".join(text + b"\n" for _, text in ready)
            answer = self._client.request(
                "POST",
                "/v1/licences/batch",
                operator=self._operator,
                content=body,
                params={"kind": "import", "rule": self._rule},
                headers={"Content-Type": "application/x-ndjson", "Idempotency-Key": secrets.token_urlsafe(12)},
            )
            lines = answer.content.splitlines()
            for (row, _), line in zip(ready, lines, strict=True):
                answers[row.number] = orjson.loads(line)
        self._note(rows, answers)

    def _note(self, rows: list[Row], answers: dict[int, dict[str, Any]]) -> None:
        good, bad = bytearray(), bytearray()
        for row in rows:
            answer = answers[row.number]
            problem = answer.get("problem")
            if problem is None:
                self.position.done += 1
                brief = {name: answer[name] for name in ("client_ref", "id", "identifier", "entry") if name in answer}
                good += orjson.dumps({"row": row.number, **brief}) + b"\n"
            else:
                self.position.refused += 1
                bad += (
                    orjson.dumps({"row": row.number, "client_ref": answer.get("client_ref"), "problem": problem})
                    + b"\n"
                )
        self.position.results_size = _append(self.results, bytes(good))
        self.position.errors_size = _append(self.errors, bytes(bad))
        self.position.row, self.position.offset = rows[-1].number, rows[-1].end
        # A crash before this line: the next run cuts the result files back and repeats the chunk. After: it goes on.
        temporary = self._state.with_name(self._state.name + ".new")
        temporary.write_text(json.dumps(asdict(self.position)), "utf-8")
        with temporary.open("rb") as written:
            os.fsync(written.fileno())
        temporary.replace(self._state)


def _append(path: Path, data: bytes) -> int:
    with path.open("ab") as out:
        out.write(data)
        out.flush()
        os.fsync(out.fileno())
        return out.tell()


def _digest(file: Path) -> str:
    with file.open("rb") as source:
        return hashlib.file_digest(source, "sha256").hexdigest()


def _prepared(row: Row) -> bytes | dict[str, Any]:
    """Return the row as it is sent, with a `client_ref`; or the answer that says why it cannot be."""
    if len(row.text) > MAX_ROW_BYTES:
        return {"problem": {"code": "row.too_long", "title": "批量中的一行过长 A row of the batch is too long"}}
    try:
        value = orjson.loads(row.text)
    except orjson.JSONDecodeError:
        return row.text  # the service says precisely what is wrong with it
    if not isinstance(value, dict) or "client_ref" in value:
        return row.text
    reference = hashlib.sha256(row.text).hexdigest()[:32]
    # Spliced in as text: what was read loosely here must reach the service's strict reader as it was.
    inner = row.text[1:].lstrip()
    return b'{"client_ref":"' + reference.encode() + b'"' + (b"," if inner != b"}" else b"") + inner


def import_backlog(
    file: Annotated[Path, typer.Argument(help="每行一个 JSON / one JSON object a line", exists=True, dir_okay=False)],
    client: Annotated[str, typer.Option("--client", envvar="ELICENCE_CLIENT", help="客户端 / client id")],
    key: Annotated[
        Path,
        typer.Option(
            "--key", envvar="ELICENCE_CLIENT_KEY", help="私钥 JWK 文件 / its private JWK", exists=True, dir_okay=False
        ),
    ],
    operator: Annotated[str, typer.Option("--operator", envvar="ELICENCE_OPERATOR", help="经办人 / the officer")],
    url: Annotated[
        str, typer.Option("--url", envvar="ELICENCE_URL", help="服务地址 / the service")
    ] = "http://127.0.0.1:8000",
    rule: Annotated[
        Literal["strict", "lenient"], typer.Option(help="历史编号规则 / rule for numbers of history")
    ] = "lenient",
    as_json: Annotated[bool, typer.Option("--json", help="机器可读 / for programs")] = False,
) -> None:
    """导入历史证照：可中断、可续传、逐行给出结果。Import a backlog: resumable, accounted for row by row."""
    with httpx.Client(base_url=url, timeout=httpx.Timeout(600, connect=10)) as http:
        try:
            issuer = http.get("/.well-known/elicence-region").raise_for_status().json()["iss"]
            work = Import(file, ServiceClient.from_file(http, client, key, issuer), operator, rule)
            _run(work, file)
        except Refused as refused:
            say(f"{refused.problem.get('title')} [{refused.code}]；已完成的行不会丢失 rows done stay done")
            raise typer.Exit(EXIT_REFUSED) from None
        except (httpx.HTTPError, OSError) as error:
            say(f"服务或文件不可用，稍后重新运行即可续传 cannot go on; run it again to resume: {type(error).__name__}")
            raise typer.Exit(EXIT_UNUSABLE) from None
    position = work.position
    if as_json:
        print_json(
            {
                "rows": position.row,
                "done": position.done,
                "refused": position.refused,
                "results": str(work.results),
                "errors": str(work.errors),
            }
        )
    else:
        typer.echo(f"完成 done {position.done}，被拒 refused {position.refused} → {work.errors}")
    if position.refused:
        raise typer.Exit(EXIT_REFUSED)


def _run(work: Import, file: Path) -> None:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=False) as bar:
        task = bar.add_task("导入 import (bytes)", total=file.stat().st_size, completed=work.position.offset)
        chunk: list[Row] = []
        for row in work.rows():
            chunk.append(row)
            if len(chunk) == CHUNK_ROWS:
                _patiently(work, chunk)
                bar.update(task, completed=work.position.offset)
                chunk = []
        if chunk:
            _patiently(work, chunk)
        bar.update(task, completed=file.stat().st_size)


def _patiently(work: Import, chunk: list[Row]) -> None:
    """Send a chunk, waiting as asked where the service is busy; other refusals end the import."""
    for attempt in range(_RETRIES):
        try:
            work.send(chunk)
        except Refused as refused:
            if refused.status != 503 or attempt == _RETRIES - 1:
                raise
            time.sleep(min(30, 2**attempt))
        else:
            return
