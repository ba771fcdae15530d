"""Targets for what the log and the department sign: notes, receipts, statements, licences and their files."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any

from keys.private_key import PrivateKey
from tests.fuzz.target import Target, json_bytes, json_of, same, spliced, text_of
from tests.vectors import vectors
from tests.verifiers import log_world
from tests.verifiers.issuer import INTEGRITY, NOW, Issuer
from verifiers import (
    add_checkpoint,
    approval,
    bundle,
    canonical,
    checkpoint,
    commitment,
    entry,
    licence,
    licence_claims,
    note,
    receipt,
    rule,
    sd_jwt,
    statement,
    witness_policy,
)
from verifiers.audit import Part, open_record
from verifiers.checkpoint import Checkpoint
from verifiers.encoding import b64u_decode, b64u_encode
from verifiers.errors import Malformed, Reason, VerificationError
from verifiers.jws import encode_segment
from verifiers.members import Members
from verifiers.merkle import EMPTY_ROOT
from verifiers.policy import Seen, SeenList

KEY = PrivateKey.from_secret("ES256", bytes([9]) * 32)
LOG = log_world.Log.of(5)
NOTE = log_world.sign(LOG.head, witnesses=log_world.WITNESSES)
SHORT_NOTE = log_world.sign(LOG.head, signers=log_world.LOG_KEYS[:1])
OPENED = checkpoint.open_checkpoint(NOTE, log_world.POLICY)
RECEIPT = LOG.receipt(3, NOTE)
NOTE_KEYS = tuple(key for key, _ in (*log_world.LOG_KEYS[:1], *log_world.WITNESSES))
REGION = Issuer()
LICENCE = REGION.issue(7)
VKEY = NOTE_KEYS[0].to_text()


def _request(data: bytes) -> None:
    with suppress(Malformed):
        found = add_checkpoint.parse_request(data)
        same(add_checkpoint.format_request(found.old, found.proof, found.note_text), data)


def _checkpoint(data: bytes) -> None:
    text = text_of(data)
    for any_root in (False, True):
        with suppress(Malformed):
            same(checkpoint.parse_checkpoint(text, any_root=any_root).to_text(), text)


def _open_checkpoint(data: bytes) -> None:
    with suppress(VerificationError):
        same(checkpoint.open_checkpoint(data, log_world.POLICY).text, data.decode())


def _note(data: bytes) -> None:
    with suppress(Malformed):
        same(note.parse_note(data).to_text(), data.decode())
    with suppress(VerificationError):
        note.open_note(text_of(data), NOTE_KEYS)


def _lines(data: bytes) -> None:
    text = text_of(data)
    with suppress(Malformed):
        same("".join(line.to_text() for line in note.parse_lines(text)), text.removesuffix("\n") + "\n")


def _vkey(data: bytes) -> None:
    text = text_of(data)
    with suppress(Malformed):
        same(note.NoteKey.from_text(text).to_text(), text)


def _receipt(data: bytes) -> None:
    text = text_of(data)
    with suppress(Malformed):
        same(receipt.parse_receipt(text).to_text(), text)


def _open_receipt(data: bytes) -> None:
    text = spliced(RECEIPT.encode(), data)
    with suppress(VerificationError):
        found = receipt.parse_receipt(text)
        if found.checkpoint == OPENED.text:
            receipt.open_receipt(found, OPENED)
        receipt.check_receipt(text, log_world.POLICY)


def _policy_file(data: bytes) -> None:
    with suppress(Malformed):
        written = witness_policy.format_policy(witness_policy.parse_policy(data))
        same(witness_policy.format_policy(witness_policy.parse_policy(written)), written)


def _policy_seeds() -> Iterable[bytes]:
    first, second = (key.to_text() for key, _ in log_world.WITNESSES[:2])
    yield f"log {VKEY} https://log.example\nwitness a {first} https://a.example\nquorum a\n".encode()
    yield f"# two\nwitness a {first}\nwitness b {second}\ngroup g 2 a b\nquorum g\n".encode()
    yield b"quorum none\n"


def _approval(data: bytes) -> None:
    text = text_of(data)
    with suppress(Malformed):
        found = approval.parse(text)
        same(f"{found.signing_input.decode()}.{b64u_encode(found.signature)}", text)


def _check_approval(data: bytes) -> None:
    """The payload of an approval, signed by somebody known, of a proposal that fits."""
    header = canonical.encode({"alg": "ES256", "kid": KEY.public_key.kid, "typ": approval.TYP})
    text = _signed(f"{b64u_encode(header)}.{b64u_encode(data)}")
    with suppress(VerificationError):
        found = approval.parse(text)
        approval.check_signature(found, KEY.public_key)
        approval.check_in_time(found.at, NOW)
    value = json_of(data)
    if isinstance(value, dict):
        with suppress(VerificationError):
            approval.check_proposal_time(value, NOW)


PROPOSAL = {"act": "peer.admit", "expires": "2026-11-22T08:00:00Z", "origin": "licence.example/log/1"}


def _approval_input() -> str:
    made = approval.signing_input(PROPOSAL, approver="operator-1", kid=KEY.public_key.kid, at=NOW)
    return made.decode("ascii")


def _signed(signing_input: str) -> str:
    return f"{signing_input}.{b64u_encode(KEY.sign(signing_input.encode('ascii')))}"


def _bundle(data: bytes) -> None:
    with suppress(Malformed):
        same(bundle.format_bundle(bundle.parse_bundle(data)), data.removesuffix(b"\n"))


def _bundle_seeds() -> Iterable[bytes]:
    usual = bundle.Bundle("licence", "code", "receipt", bytes(32), "list", "status", NOW, ("one", "two"))
    yield bundle.format_bundle(usual)


def _statement(data: bytes) -> None:
    with suppress(Malformed):
        found = statement.parse(data)
        same(statement.assemble(found.signing_input, b64u_decode(data.rpartition(b".")[2].decode())), data)


LEAF = entry.parse(LOG.entries[1])
FACTS = statement.payload(
    origin=log_world.ORIGIN,
    ref=LEAF.ref,
    kind=LEAF.kind,
    by=LEAF.by,
    event="e" * 22,
    facts={"salt_d": b64u_encode(bytes(32)), "jws": b64u_encode(bytes(32)), "licence": "x"},
)


def _open_statement(data: bytes) -> None:
    """The payload of a statement, signed as a region signs it, behind the entry it speaks of."""
    header = b64u_encode(canonical.encode({"alg": "ES256", "kid": KEY.public_key.kid, "typ": statement.TYP}))
    text = _signed(f"{header}.{b64u_encode(data)}").encode("ascii")
    keys = {KEY.public_key.kid: KEY.public_key}
    with suppress(VerificationError):
        statement.open_statement(text, origin=log_world.ORIGIN, leaf=LEAF, key_of=keys.get)
    salt = bytes(32)
    part = Part(commitment.part_digest(salt, text), salt, text)
    with suppress(VerificationError):
        open_record([part], origin=log_world.ORIGIN, leaf=LEAF)


def _licence(data: bytes) -> None:
    text = text_of(data)
    with suppress(Malformed):
        found = licence.parse(text)
        parts = found.sd_jwt
        same(sd_jwt.join(parts.token, parts.disclosures) + (parts.key_binding or ""), text)
        least = licence.parse(licence.present(text, ()))
        same(least.sd_jwt.token, parts.token)
        same(len(json.dumps(least.claims)) <= len(json.dumps(found.claims)), True)
        _ = found.issued_at


def _licence_payload(data: bytes) -> None:
    """The payload alone: everything below the envelope, whatever its digests."""
    header = licence.header_segment(b"certificate")
    with suppress(Malformed):
        found = licence.parse(f"{header}.{b64u_encode(data)}.{b64u_encode(bytes(64))}~")
        _ = found.issued_at


def _claims(data: bytes) -> None:
    """What the quick reader takes is what the strict one takes, with the same values."""
    payload = json_of(data)
    if not isinstance(payload, dict):
        return
    quick = licence_claims.usual_claims(payload)
    try:
        members = Members(payload, Reason.LICENCE)
        strict = licence_claims.read_claims(members, licence_claims.read_status(members))
    except Malformed:
        strict = None
    if quick is not None:
        same(quick, strict)


def _payload_seeds() -> Iterable[bytes]:
    yield b64u_decode(LICENCE.compact.split(".")[1])
    changes: dict[str, Any] = {"iat": 0, "imported": licence.Imported("示例", NOW.date(), "checked", ("a",))}
    face = REGION.face(8, valid_until=None, vct_integrity=INTEGRITY, **changes)
    yield b64u_decode(REGION.sign_licence(face)[1].split(".")[1])


def _sd_jwt(data: bytes) -> None:
    text = text_of(data)
    with suppress(Malformed):
        sd_jwt.resolve(sd_jwt.parse_sd_jwt(text, typ=licence.TYP, reason=Reason.LICENCE))
        shown = sd_jwt.select(text, lambda path: len(path) < 2, typ=licence.TYP, reason=Reason.LICENCE)
        sd_jwt.resolve(sd_jwt.parse_sd_jwt(shown, typ=licence.TYP, reason=Reason.LICENCE))


def _composed(data: bytes) -> None:
    """`[payload, disclosure, …]` as JSON, in which a text `#n` stands for the digest of the n-th disclosure.

    Digests can only be of disclosures further on, so that there is an order to make them in.
    """
    value = json_of(data)
    if not isinstance(value, list) or not 1 <= len(value) <= 64:
        return
    digests: dict[str, str] = {}
    texts = []
    for number in range(len(value) - 1, 0, -1):
        texts.append(b64u_encode(json_bytes(_named(value[number], digests))))
        digests[f"#{number}"] = sd_jwt.digest_of(texts[-1])
    payload = b64u_encode(json_bytes(_named(value[0], digests)))
    header = encode_segment({"alg": "ES256", "typ": licence.TYP})
    _sd_jwt(sd_jwt.join(f"{header}.{payload}.{b64u_encode(bytes(64))}", tuple(texts)).encode())


def _named(value: Any, digests: dict[str, str]) -> Any:
    if isinstance(value, str):
        return digests.get(value, value)
    if isinstance(value, list):
        return [_named(each, digests) for each in value]
    if isinstance(value, dict):
        return {name: _named(each, digests) for name, each in value.items()}
    return value


COMPOSED = (
    [{"_sd": ["#1", "#2", "decoy"], "a": [{"...": "#3"}, 1]}, ["s", "b", {"_sd": ["#4"]}], ["s", "c", 2], ["s", 3],
     ["s", "d", [{"...": "#5"}]], ["s", {"e": None}]],
    [{"_sd": ["#1"], "b": 1}, ["s", "b", 2]],
    [{"_sd": ["#1", "#1"]}, ["s", "...", 2]],
)  # fmt: skip


def _rule(data: bytes) -> None:
    value = json_of(data)
    content = {"fields": {"area_m2": 120, "range": "示例", "list": [1, 2, {"a": True}]}, "valid_from": "2026-11-21"}
    with suppress(VerificationError):
        found = rule.parse_rule(value)
        same(found.logic, value)
        found.evaluate(content, NOW)


def _rule_seeds() -> Iterable[bytes]:
    for case in (
        {">=": [{"var": "payload.fields.area_m2"}, 100]},
        {"and": [{"===": [{"var": "payload.fields.range"}, "示例"]}, {"!": [{"var": "payload.fields.list"}]}]},
        {"not-after": [{"plusTime": [{"var": "external.validationClock"}, 1, "day"]},
                       {"plusTime": [{"var": "payload.valid_from"}, 1, "year"]}]},
        {"if": [{"in": ["a", ["a", "b"]]}, True, False]},
        {">": [{"reduce": [{"var": "payload.fields.list"},
                           {"+": [{"var": "accumulator"}, {"var": "current"}]}, 0]}, 1]},
    ):  # fmt: skip
        yield json_bytes(case)


def _seen(data: bytes) -> None:
    with suppress(Malformed):
        found = Seen.from_json(json_of(data))
        same(Seen.from_json(found.to_json()), found)


SEEN = Seen({"610000/" + "a" * 64: 3}, {"https://a.example/status-lists/1": SeenList("a.example/log", 5)}, NOW)


def _texts(*texts: str) -> Callable[[], Iterable[bytes]]:
    return lambda: [text.encode() for text in texts]


TARGETS = (
    Target(
        "add_checkpoint",
        ("verifiers.add_checkpoint.parse_request",),
        _request,
        lambda: (add_checkpoint.format_request(2, [bytes(32)], SHORT_NOTE), add_checkpoint.format_request(0, [], NOTE)),
    ),
    Target(
        "checkpoint",
        ("verifiers.checkpoint.parse_checkpoint",),
        _checkpoint,
        _texts(LOG.head.to_text(), Checkpoint("a.example", 0, EMPTY_ROOT).to_text()),
    ),
    Target(
        "checkpoint.signed",
        ("verifiers.checkpoint.open_checkpoint",),
        _open_checkpoint,
        _texts(NOTE, SHORT_NOTE),
        16_384,
    ),
    Target(
        "note",
        ("verifiers.note.parse_note", "verifiers.note.open_note"),
        _note,
        _texts(SHORT_NOTE, vectors("tlog")["signed_note"]["note"]),
    ),
    Target("note.lines", ("verifiers.note.parse_lines",), _lines, _texts(SHORT_NOTE.partition("\n\n")[2])),
    Target("note.key", ("verifiers.note.NoteKey.from_text",), _vkey, _texts(*(key.to_text() for key in NOTE_KEYS[:2]))),
    Target("receipt", ("verifiers.receipt.parse_receipt",), _receipt, _texts(LOG.receipt(3, SHORT_NOTE))),
    Target(
        "receipt.opened",
        ("verifiers.receipt.open_receipt",),
        _open_receipt,
        lambda: (b"", b"\x00\x20\x01\x01A"),
        weight=4,
    ),
    Target("witness_policy", ("verifiers.witness_policy.parse_policy",), _policy_file, _policy_seeds),
    Target("approval", ("verifiers.approval.parse",), _approval, lambda: (_signed(_approval_input()).encode(),)),
    Target(
        "approval.payload",
        ("verifiers.approval.check_signature", "verifiers.approval.check_proposal_time"),
        _check_approval,
        lambda: (b64u_decode(_approval_input().split(".")[1]), canonical.encode(PROPOSAL)),
    ),
    Target("bundle", ("verifiers.bundle.parse_bundle",), _bundle, _bundle_seeds),
    Target(
        "statement",
        ("verifiers.statement.parse",),
        _statement,
        lambda: (_signed(statement.signing_input(KEY.public_key.kid, FACTS).decode()).encode(),),
    ),
    Target(
        "statement.payload",
        ("verifiers.statement.open_statement", "verifiers.audit.open_record"),
        _open_statement,
        lambda: (canonical.encode(FACTS),),
    ),
    Target(
        "licence", ("verifiers.licence.parse", "verifiers.licence.present"), _licence, _texts(LICENCE.compact), 8192
    ),
    Target(
        "licence.claims",
        ("verifiers.licence_claims.read_claims", "verifiers.licence_claims.read_status"),
        _claims,
        _payload_seeds,
    ),
    Target("licence.payload", ("verifiers.licence.parse",), _licence_payload, _payload_seeds),
    Target(
        "sd_jwt",
        ("verifiers.sd_jwt.parse_sd_jwt", "verifiers.sd_jwt.resolve", "verifiers.sd_jwt.select"),
        _sd_jwt,
        _texts(LICENCE.compact, vectors("openid4vp_presentation")["issuance"]),
        8192,
    ),
    Target(
        "sd_jwt.composed",
        ("verifiers.sd_jwt.resolve",),
        _composed,
        lambda: [json_bytes(case) for case in COMPOSED],
    ),
    Target("rule", ("verifiers.rule.parse_rule",), _rule, _rule_seeds),
    Target(
        "seen",
        ("verifiers.policy.Seen.from_json",),
        _seen,
        lambda: (json_bytes(SEEN.to_json()), json_bytes(SEEN.with_kit("610000", "b" * 64, 2).to_json())),
    ),
)
