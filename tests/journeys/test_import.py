"""A department brings its backlog in overnight; the import is killed, run again, and accounts for every row."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import orjson
import pytest

from api.cli.demo_service import DemoService, running
from benchmarks import requests

ROWS = 3000
BAD = (7, 1500, 2999)


@pytest.fixture
def service(tmp_path: Path) -> Any:
    """Serve an example region."""
    with running(tmp_path / "service") as serving:
        yield serving


def backlog(path: Path) -> None:
    """Write a backlog in which some rows cannot be taken over, each for a reason of its own."""
    with path.open("wb") as out:
        for number in range(1, ROWS + 1):
            row = requests.licence(number) | {
                "client_ref": f"archive-{number}", "issuer": "示例省教育厅", "issued_on": "2012-07-01", "version": 1,
                "assurance": "declared",
            }  # fmt: skip
            if number == BAD[0]:
                row["type"] = "11100000MB00000C90999"
            if number == BAD[1]:
                out.write(b'{"client_ref":"archive-1500","client_ref":"twice"}\n')
                continue
            if number == BAD[2]:
                del row["fields"]["school"]
                row["fields"]["unheard_of"] = "x"
            out.write(orjson.dumps(row) + b"\n")


def start(service: DemoService, path: Path) -> subprocess.Popen[bytes]:
    """Start the command as a department would."""
    key = service.folder / "client-keys" / f"{requests.ISSUER}.jwk.json"
    command = [
        sys.executable, "-m", "api.cli", "import", str(path), "--client", requests.ISSUER, "--key", str(key),
        "--operator", "IMPORT-1", "--url", service.settings.base_url, "--rule", "strict", "--json",
    ]  # fmt: skip
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=dict(os.environ))


def lines(path: Path) -> list[dict[str, Any]]:
    """Return the rows of a result file."""
    return [orjson.loads(line) for line in path.read_bytes().splitlines()] if path.exists() else []


def test_an_import_that_was_killed_goes_on_and_loses_nothing(service: DemoService, tmp_path: Path) -> None:
    """Every row is answered once; the refused ones stand in a file with row number and reason."""
    path = tmp_path / "backlog.ndjson"
    backlog(path)
    results, errors = path.with_name("backlog.ndjson.results.ndjson"), path.with_name("backlog.ndjson.errors.ndjson")

    killed = start(service, path)
    deadline = time.monotonic() + 60
    while not lines(results) and killed.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    before = len(lines(results))
    done = start(service, path)
    out, err = done.communicate(timeout=120)

    assert done.returncode == 1, err.decode()[-2000:]
    assert 0 < before < ROWS, "the first run was not killed in the middle"
    told = json.loads(out)
    assert (told["rows"], told["done"], told["refused"]) == (ROWS, ROWS - len(BAD), len(BAD))
    taken = lines(results)
    assert len({row["row"] for row in taken}) == len(taken) == ROWS - len(BAD)
    assert len({row["entry"] for row in taken}) == len(taken)
    refused = {row["row"]: row["problem"]["code"] for row in lines(errors)}
    assert refused == {7: "type.unknown", 1500: "body.duplicate_name", 2999: "field.unknown"}
    again = start(service, path)
    again.communicate(timeout=60)
    assert lines(results) == taken
