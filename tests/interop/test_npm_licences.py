"""@sd-jwt/sd-jwt-vc from npm judges every licence of the demo and licences of many shapes; we judge what it issues."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ledger.type_definition import parse_definition
from ledger.types import metadata
from tests.interop.credential_world import LICENCE_KEY, issue, many, private_scalar, region_of_today
from tests.interop.strangers import Programs
from tests.verifiers.issuer import LIST_URI, judge
from verifiers.encoding import b64_encode, b64u_decode, b64u_encode
from verifiers.errors import Reason
from verifiers.jws import read_json
from verifiers.licence import parse, present

pytestmark = [pytest.mark.interop, pytest.mark.long, pytest.mark.timeout(900)]

REFUSED = "Status is not valid"
EXAMPLES = Path(__file__).parent.parent.parent / "examples" / "types"


def claims_of(token: str) -> dict[str, Any]:
    """Return the claims of a compact JWS, unverified."""
    claims: dict[str, Any] = read_json(b64u_decode(token.strip().split(".")[1]), Reason.STATUS)
    return claims


def licences(folder: Path) -> dict[str, str]:
    """Return every licence the demo issued, by its name there."""
    return {path.stem: path.read_text().strip() for path in sorted((folder / "licences").glob("*.sdjwt"))}


def lists(folder: Path, *others: str) -> dict[str, str]:
    """Return the newest status list tokens of the demo by their URI, some replaced by the files `others`."""
    tokens = [path.read_text().strip() for path in sorted((folder / "status").glob("*.jwt"))]
    tokens += [(folder / name).read_text().strip() for name in others]
    return {claims_of(token)["sub"]: token for token in tokens}


def flipped(token: str) -> str:
    """Return the compact JWS or SD-JWT with one bit of its signature changed."""
    signed, tilde, rest = token.partition("~")
    head, _, tail = signed.rpartition(".")
    signature = b64u_decode(tail)
    return f"{head}.{b64u_encode(bytes((signature[0] ^ 1, *signature[1:])))}{tilde}{rest}"


def test_it_verifies_every_licence_and_looks_up_its_status(node: Programs, demo: Path) -> None:
    """It reads the same claims as we do, and asks for the list that the licence names."""
    shown = licences(demo)
    answers = node.ask("licences.mjs", {"licences": shown, "lists": lists(demo)})

    assert len(shown) == 6
    for name, compact in shown.items():
        ours = parse(compact)
        assert answers[name] == {"found": {"claims": ours.claims, "asked": [ours.status_uri]}}, name


def test_it_refuses_a_licence_once_the_list_says_so(node: Programs, demo: Path) -> None:
    """The company's licence is good under the list from before the decision, and not under the one after it."""
    shown = {"shown": (demo / "licence.sdjwt").read_text().strip()}
    found = {
        when: node.ask("licences.mjs", {"licences": shown, "lists": lists(demo, f"status-list-{when}.jwt")})["shown"]
        for when in ("before", "after")
    }

    assert "found" in found["before"]
    assert REFUSED in found["after"]["error"]


def test_it_refuses_a_changed_signature_of_licence_or_list(node: Programs, demo: Path) -> None:
    """Neither forged licences nor forged lists pass."""
    shown, given = licences(demo), lists(demo)
    forged = {name: flipped(compact) for name, compact in shown.items()}

    of_licences = node.ask("licences.mjs", {"licences": forged, "lists": given})
    of_lists = node.ask(
        "licences.mjs", {"licences": shown, "lists": {uri: flipped(token) for uri, token in given.items()}}
    )

    assert all("error" in answer for answer in of_licences.values())
    assert all("Status List JWT verification failed" in answer["error"] for answer in of_lists.values())


def test_it_verifies_presentations_of_every_shape(node: Programs) -> None:
    """With all disclosures, with some and with none; none to many fields, one to three holders, open end."""
    region = region_of_today()
    shapes = {f"{place}": issued.compact for place, issued in enumerate(many(region))}
    shown = dict(shapes)
    for name, compact in shapes.items():
        shown[f"{name} some"] = present(compact, [("holders", 0, "name"), ("number",)])
        shown[f"{name} none"] = present(compact, [])

    answers = node.ask("licences.mjs", {"licences": shown, "lists": {LIST_URI: region.status_token()}})

    assert {name: answer.get("found", answer) for name, answer in answers.items()} == {
        name: {"claims": parse(compact).claims, "asked": [LIST_URI]} for name, compact in shown.items()
    }


def test_we_verify_what_it_issues(node: Programs) -> None:
    """Its own salts, decoys and order of members: same claims, every step but those that need the log."""
    region = region_of_today()
    face = parse(issue(region, 91).compact)
    scalar = private_scalar(region)
    given = {
        "key": {**region.public(LICENCE_KEY).jwk(), "d": b64u_encode(scalar.to_bytes(32))},
        "certificate": b64_encode(region.certificate(LICENCE_KEY)),
        "claims": face.claims,
        "frame": {
            "_sd": ["number"],
            "holders": {"0": {"_sd": ["name", "id"], "_sd_decoy": 2}},
            "fields": {"_sd": ["premises"], "_sd_decoy": 3},
        },
    }

    issued = node.ask("issue.mjs", given)

    licence = parse(issued)
    region.public(LICENCE_KEY).check(licence.signing_input, licence.sd_jwt.jws.signature)
    trust = region.trust()
    verdict = judge(issued, trust, status=[region.status(trust)], at=region.now)
    assert licence.claims == face.claims
    assert len(licence.sd_jwt.disclosures) == 4
    assert [finding.reason for finding in verdict.findings] == [Reason.RECEIPT_MISSING]


def test_it_reads_the_metadata_of_every_example_type(node: Programs) -> None:
    """Nothing is lost or changed under its schema."""
    definitions = [parse_definition(json.loads(path.read_text("utf-8"))) for path in EXAMPLES.glob("*.json")]
    documents = {each.code: json.loads(metadata(each, each.vct("https://region.example"))) for each in definitions}

    answers = node.ask("types.mjs", {"documents": documents})

    assert len(documents) >= 4
    assert answers == {name: {"found": document} for name, document in documents.items()}
