"""Programs from npm judge the demo's trust list, status lists and codes; we decode the lists they encode."""

from __future__ import annotations

import random
from base64 import b64decode, b64encode
from pathlib import Path
from typing import Any

import pytest

from tests.interop.strangers import Programs
from tests.interop.test_npm_licences import claims_of, flipped
from verifiers.encoding import b64u_decode
from verifiers.errors import Reason
from verifiers.jws import read_json
from verifiers.status_list import compress, inflate, pack

pytestmark = [pytest.mark.interop, pytest.mark.long, pytest.mark.timeout(900)]

TRUST_LIST, STATUS_LIST = "elicence-trust-list+jwt", "statuslist+jwt"
SLOTS = 1 << 12


def status_tokens(folder: Path) -> dict[str, str]:
    """Return every status list token the demo left, by file."""
    files = [*(folder / "status").glob("*.jwt"), *folder.glob("status-list-*.jwt")]
    return {str(path.relative_to(folder)): path.read_text().strip() for path in files}


def header_of(token: str) -> dict[str, Any]:
    """Return the header of a compact JWS, unverified."""
    header: dict[str, Any] = read_json(b64u_decode(token.split(".")[0]), Reason.TRUST)
    return header


def statuses(packed: bytes, bits: int) -> bytes:
    """Return packed statuses one byte a slot."""
    mask = (1 << bits) - 1
    return bytes(byte >> shift & mask for byte in packed for shift in range(0, 8, bits))


def test_jose_verifies_the_trust_list_and_every_status_list(node: Programs, demo: Path) -> None:
    """With the key of the leaf certificate, which Node's X.509 code finds signed by the pinned root."""
    trust = (demo / "trust-list.jwt").read_text().strip()
    tokens = {"trust": {"token": trust, "typ": TRUST_LIST}}
    tokens |= {name: {"token": token, "typ": STATUS_LIST} for name, token in status_tokens(demo).items()}

    answers = node.ask("tokens.mjs", {"tokens": tokens, "root": header_of(trust)["x5c"][-1]})

    root = (demo / "root.txt").read_text().strip()
    assert len(answers) == 6
    for name, given in tokens.items():
        kid = header_of(given["token"])["kid"]
        assert answers[name] == {"found": {"claims": claims_of(given["token"]), "kid": kid, "root": root}}, name


def test_jose_refuses_another_signature_and_another_type(node: Programs, demo: Path) -> None:
    """A forged list fails, and a status list never passes as a trust list."""
    trust = (demo / "trust-list.jwt").read_text().strip()
    status = (demo / "status-list-after.jwt").read_text().strip()
    tokens = {
        "forged trust": {"token": flipped(trust), "typ": TRUST_LIST},
        "forged status": {"token": flipped(status), "typ": STATUS_LIST},
        "status as trust": {"token": status, "typ": TRUST_LIST},
    }

    answers = node.ask("tokens.mjs", {"tokens": tokens, "root": header_of(trust)["x5c"][-1]})

    assert all(answer.keys() == {"error"} for answer in answers.values())


def test_another_codec_decodes_every_status_list_equal(node: Programs, demo: Path) -> None:
    """@sd-jwt/jwt-status-list finds our value in every slot, and the decision of the demo is among them."""
    tokens = status_tokens(demo)
    decoded = node.ask("status.mjs", {"tokens": tokens, "encode": {}})["decoded"]

    for name, token in tokens.items():
        claim = claims_of(token)["status_list"]
        assert decoded[name]["bits"] == claim["bits"] == 2
        assert b64decode(decoded[name]["statuses"]) == statuses(inflate(claim["lst"]), 2)
    assert any(b64decode(decoded["status-list-after.jwt"]["statuses"]))


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_both_codecs_read_what_the_other_writes(node: Programs, bits: int) -> None:
    """From empty to full, at every width."""
    chance = random.Random(bits)
    values = {
        f"{share}": {idx: chance.randrange(1 << bits) for idx in range(SLOTS) if chance.random() < share}
        for share in (0.0, 0.001, 0.1, 1.0)
    }
    packed = {name: pack(each, SLOTS, bits) for name, each in values.items()}
    head = "eyJhbGciOiJFUzI1NiIsInR5cCI6InN0YXR1c2xpc3Qrand0In0"
    given = {
        "tokens": {name: f"{head}.{_claims(compress(each), bits)}.AA" for name, each in packed.items()},
        "encode": {
            name: {"bits": bits, "statuses": b64encode(statuses(each, bits)).decode()} for name, each in packed.items()
        },
    }

    answers = node.ask("status.mjs", given)

    for name, each in packed.items():
        assert b64decode(answers["decoded"][name]["statuses"]) == statuses(each, bits)
        assert inflate(answers["encoded"][name]) == each


def _claims(lst: str, bits: int) -> str:
    text = f'{{"status_list":{{"bits":{bits},"lst":"{lst}"}}}}'
    return b64encode(text.encode(), altchars=b"-_").decode().rstrip("=")


def test_two_readers_read_both_codes(node: Programs, demo: Path) -> None:
    """jsqr and zxing-wasm find in the pictures what was signed."""
    names = ["code-static", "code-dynamic"]
    pictures = {name: b64encode((demo / f"{name}.png").read_bytes()).decode() for name in names}

    answers = node.ask("codes.mjs", {"pictures": pictures})

    for name in names:
        text = (demo / f"{name}.txt").read_text().strip()
        assert answers[name] == {"jsqr": text, "zxing": text}
