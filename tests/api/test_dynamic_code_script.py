"""The phone's minter of dynamic codes against Python's: same handle, key and moment, same text."""

from __future__ import annotations

import datetime as dt
import json
import shutil
import subprocess
from importlib import resources
from typing import Any

import pytest

from verifiers.dynamic_code import match, mint, parse_dynamic_code, slice_at
from verifiers.encoding import b64u_encode

BASES = ("https://ledger.example", "http://127.0.0.1:8080/", "https://licence.example.gov.cn//")
MOMENTS = (0, 29, 30, 7_679, 7_680, 1_795_305_600, 1_795_305_629, 2**32 * 30, 2**37)
SECRETS = ((bytes(10), bytes(32)), (bytes(range(10)), bytes(range(32))), (b"\xff" * 10, b"\xff" * 32))

ASKED = """
const bytes = (text) => new Uint8Array(Buffer.from(text, "base64url"));
const answers = [];
for (const { base, handle, key, seconds } of JSON.parse(process.env.ASKED)) {
  try {
    answers.push(await (await minter(base, bytes(handle), bytes(key)))(seconds));
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    answers.push(null);
  }
}
console.log(JSON.stringify(answers));
"""


def minted(asked: list[dict[str, Any]]) -> list[str | None]:
    """Return what the script mints for each of `asked`, `None` for what it refuses."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("Node.js is not at hand: the phone's script was not compared with Python")
    script = resources.files("api").joinpath("pages", "dynamic_code.js").read_text("utf-8") + ASKED
    done = subprocess.run(
        [node, "--input-type=module"],
        input=script,
        env={"ASKED": json.dumps(asked)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    found: list[str | None] = json.loads(done.stdout)
    return found


def one(base: str, handle: bytes, key: bytes, seconds: float) -> dict[str, Any]:
    """Ask for one text."""
    return {"base": base, "handle": b64u_encode(handle), "key": b64u_encode(key), "seconds": seconds}


def test_the_script_mints_what_python_mints() -> None:
    """At the edges of slices, of a byte and of 32 bits, and in the middle of a second."""
    cases = [(base, *secret, moment) for base in BASES for secret in SECRETS for moment in MOMENTS]
    expected = [
        mint(base, handle, key, dt.datetime.fromtimestamp(moment, dt.UTC)) for base, handle, key, moment in cases
    ]

    assert minted([one(*case) for case in cases]) == expected
    assert minted([one(BASES[0], *SECRETS[1], 1_795_305_629.9)]) == minted([one(BASES[0], *SECRETS[1], 1_795_305_600)])


def test_the_service_matches_what_the_script_mints() -> None:
    """As it does what any other phone shows."""
    at = dt.datetime(2026, 11, 22, tzinfo=dt.UTC)
    handle, key = SECRETS[1]

    [text] = minted([one(BASES[0], handle, key, at.timestamp())])

    assert text is not None and match(parse_dynamic_code(text), key, at) == slice_at(at)


def test_wrong_lengths_are_minted_by_neither() -> None:
    """Nor a base that is no bare host."""
    handle, key = SECRETS[1]
    wrong = [("https://a/b", handle, key), ("ledger", handle, key), (BASES[0], b"1", key), (BASES[0], handle, b"1")]

    assert minted([one(*each, 0) for each in wrong]) == [None] * len(wrong)
    for each in wrong:
        with pytest.raises(ValueError):
            mint(*each, dt.datetime.fromtimestamp(0, dt.UTC))
