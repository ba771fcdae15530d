"""`elicence-verify`: files in, exit status and words out; run as a process of its own where that is the point."""

import datetime as dt
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.verifiers.issuer import NOW, Issued, Issuer
from verifiers.__main__ import main

AT = "2026-11-21T16:00:10+08:00"


class Kit:
    """The files of a verifier."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.region = Issuer(now=dt.datetime.now(dt.UTC).replace(microsecond=0))
        today = self.region.now.date() - dt.timedelta(days=1)
        self.issued: Issued = self.region.issue(7, issued_on=today, valid_from=today)
        receipt = self.region.receipt(self.issued.index, self.issued.opening)
        self.licence = self.write("licence.sdjwt", self.issued.compact)
        self.code = self.write("code.txt", self.issued.code + "\r\n")
        self.receipt = self.write("receipt.tlog-proof", receipt)
        self.trust = self.write("trust-list.jwt", self.region.trust_token() + "\n")
        self.status = self.write("status-list.jwt", self.region.status_token() + "\n")
        self.bundle = self.write("bundle.json", self.region.bundle(self.issued) + b"\n")
        self.root = self.write("root.txt", ":".join(self.region.pin[i : i + 2].upper() for i in range(0, 64, 2)))
        self.certificate = self.write("root.der", self.region.root)

    def write(self, name: str, content: str | bytes) -> str:
        """A file in the folder."""
        path = self.folder / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return str(path)


@pytest.fixture
def kit(tmp_path: Path) -> Kit:
    """Files of one licence, of this very moment."""
    return Kit(tmp_path)


def test_exit_status_follows_the_outcome(kit: Kit) -> None:
    """0 valid, 1 invalid, 2 undetermined, and of several the worst."""
    trusting = ["--trust", kit.trust, "--root", kit.root]
    knowing = [*trusting, "--status", kit.status]
    revoked = kit.write("revoked.jwt", kit.region.status_token(values={7: 1}))

    assert main([kit.code, *trusting]) == 2
    assert main([kit.code, *knowing]) == 0
    assert main([kit.licence, *knowing]) == 2
    assert main([kit.licence, *knowing, "--receipt", kit.receipt]) == 0
    assert main([kit.bundle, "--root", kit.root]) == 0
    assert main([kit.receipt, *trusting]) == 0
    assert main([kit.code, *trusting, "--status", revoked]) == 1
    assert main([kit.code, kit.licence, *knowing]) == 2
    assert main([kit.bundle]) == 2


def test_the_root_may_be_a_fingerprint_or_a_certificate(kit: Kit) -> None:
    """As printed by openssl, as plain hex, as a file of either, as PEM or DER."""
    from keys.certification import to_pem

    pem = kit.write("root.pem", to_pem(kit.region.root))
    for root in (kit.region.pin, kit.root, kit.certificate, pem):
        assert main([kit.code, "--trust", kit.trust, "--root", root, "--status", kit.status]) == 0


def test_the_verdict_is_printed_as_json(kit: Kit, capsys: pytest.CaptureFixture[str]) -> None:
    """In the form of the contract, for one file an object, for several an array."""
    arguments = ["--json", "--lang", "en", "--trust", kit.trust, "--root", kit.root]

    main([kit.code, *arguments])
    one: dict[str, Any] = json.loads(capsys.readouterr().out)
    main([kit.code, kit.licence, *arguments])
    two: list[dict[str, Any]] = json.loads(capsys.readouterr().out)

    assert (one["outcome"], one["reasons"][0]["code"]) == ("undetermined", "status.missing")
    assert one["reasons"][0]["title"] == "no status list" and one["bound_s"] is None
    assert [Path(verdict["file"]).name for verdict in two] == ["code.txt", "licence.sdjwt"]


def test_the_verdict_is_told_in_words(kit: Kit, capsys: pytest.CaptureFixture[str]) -> None:
    """In Chinese unless asked otherwise."""
    main([kit.code, "--trust", kit.trust, "--root", kit.root])
    assert "无法判定" in capsys.readouterr().out
    main([kit.code, "--trust", kit.trust, "--root", kit.root, "--lang", "en"])
    assert "UNDETERMINED" in capsys.readouterr().out


def test_a_forged_input_is_invalid_and_names_itself(kit: Kit, capsys: pytest.CaptureFixture[str]) -> None:
    """A trust list or status list that does not hold up counts against the verdict."""
    forged = kit.write("forged.jwt", kit.region.status_token()[:-4] + "AAAA")
    stranger = kit.write("stranger.jwt", Issuer().trust_token())

    status = main([kit.code, "--json", "--trust", kit.trust, "--root", kit.root, "--status", forged])
    assert status == 1 and "status.signature" in capsys.readouterr().out
    trust = main([kit.code, "--json", "--trust", stranger, "--root", kit.root])
    assert trust == 1 and "root.mismatch" in capsys.readouterr().out


def test_the_state_file_remembers_and_refuses_what_is_older(kit: Kit, capsys: pytest.CaptureFixture[str]) -> None:
    """The highest trust list number and the newest state of each list."""
    state = kit.folder / "state.json"
    newer = kit.write("newer.jwt", kit.region.trust_token(kit.region.document(seq=5)))
    common = ["--root", kit.root, "--status", kit.status, "--state", str(state), "--json"]

    assert main([kit.code, "--trust", newer, *common]) == 0
    assert json.loads(state.read_text())["trust"] == [{"region": "610000", "root": kit.region.pin, "seq": 5}]
    capsys.readouterr()
    assert main([kit.code, "--trust", kit.trust, *common]) == 2
    assert "trust.rollback" in capsys.readouterr().out
    assert list(kit.folder.glob(".state.json.*")) == []


def test_a_damaged_state_file_is_refused_and_not_forgotten(kit: Kit) -> None:
    """Starting afresh would let a rollback through."""
    state = kit.folder / "state.json"
    for content in ("", "{}", "[" * 100_000, '{"v":1,"trust":[],"lists":[],"newest":"x"}'):
        state.write_text(content)
        assert main([kit.code, "--trust", kit.trust, "--state", str(state)]) == 3
        assert state.read_text() == content


def test_a_time_in_the_past_is_judged_with_lists_of_then(kit: Kit) -> None:
    """And leaves no state behind."""
    state = kit.folder / "state.json"
    arguments = ["--trust", kit.trust, "--root", kit.root, "--status", kit.status, "--state", str(state)]
    then, before = (kit.region.now + dt.timedelta(minutes=minutes) for minutes in (1, -1))

    assert main([kit.code, *arguments, "--at", then.isoformat()]) == 0
    assert main([kit.code, *arguments, "--at", before.isoformat()]) == 2
    assert not state.exists()


@pytest.mark.parametrize(
    "arguments",
    [
        ["{missing}"],
        ["{code}", "--trust", "{missing}"],
        ["{code}", "--root", "{missing}"],
        ["{code}", "--root", "{code}"],
        ["{code}", "--root", "{empty}"],
        ["{code}", "--at", "yesterday"],
        ["{code}", "--at", "2026-11-21T08:00:00"],
        ["{code}", "{code}", "--receipt", "{code}"],
        ["{code}", "--state", "{missing}/x/state.json"],
        ["{folder}"],
    ],
)
def test_what_it_cannot_do_is_a_usage_error(kit: Kit, arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Exit status 3 and one line on standard error, never a traceback."""
    missing, empty = str(kit.folder / "none"), kit.write("empty", "")
    names = {"code": kit.code, "missing": missing, "empty": empty, "folder": str(kit.folder)}

    assert main([argument.format(**names) for argument in arguments]) == 3
    assert capsys.readouterr().err.count("\n") == 1


def test_unknown_options_are_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    """3, not argparse's 2, which means undetermined here."""
    assert main([]) == 3
    for arguments in (["x", "--lang", "fr"], ["x", "--nonsense"]):
        with pytest.raises(SystemExit) as caught:
            main(arguments)
        assert caught.value.code == 3


def test_it_runs_as_a_module_and_reads_standard_input(kit: Kit) -> None:
    """`python -m verifiers -` in a process where neither FastAPI nor SQLAlchemy can be imported."""
    blocked = "import sys; sys.modules.update(dict.fromkeys(('fastapi','sqlalchemy','pydantic','psycopg','httpx')));"
    program = f"{blocked} import runpy; runpy.run_module('verifiers', run_name='__main__')"
    arguments = ["-", "--trust", kit.trust, "--root", kit.root, "--status", kit.status]

    done = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        input=kit.issued.code.encode(),
        capture_output=True,
        env={**os.environ, "PYTHONIOENCODING": "utf-8"},
        timeout=60,
    )

    assert done.returncode == 0, done.stderr
    assert "有效" in done.stdout.decode()


def test_the_time_of_the_example_is_understood() -> None:
    """An offset is as good as Z."""
    assert dt.datetime.fromisoformat(AT) == NOW + dt.timedelta(seconds=10)
