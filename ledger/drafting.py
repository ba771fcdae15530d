"""Making drafts: what a department says, signed, ready for the writer. Statement keys sign many in one call."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from keys.signer import Signer
from ledger.events import NO_DOCUMENT, Draft, SubjectPart
from verifiers import statement
from verifiers.commitment import event_ref
from verifiers.encoding import b64u_encode

_SALT_SIZE: Final = 32


@dataclass(slots=True)  # not frozen: made for every row
class Unsigned:
    """An event before its statement is signed.

    `thing` is the id of what it is about, `n` how many events that thing had before, `secret` the thing's 32 bytes from
    which every `ref` follows. `facts` are the event's own; what every statement has is added when it is signed.
    """

    kind: str
    by: str
    event: str
    thing: str
    n: int
    secret: bytes = field(repr=False)
    facts: dict[str, Any] = field(repr=False)
    subjects: tuple[SubjectPart, ...] = field(default=(), repr=False)
    jws_digest: bytes = NO_DOCUMENT
    code_digest: bytes = NO_DOCUMENT


async def sign_drafts(origin: str, unsigned: Sequence[Unsigned], signer: Signer) -> list[Draft]:
    """Sign the statements of `unsigned` with one statement key, in one call, and give the drafts in order.

    Facts gain `thing`, `n`, `salt_d`, `subjects` (ids, in the order of the record's parts), `secret` with the first
    event of a thing, and the digests `jws` and `code` where there is a document.
    """
    # Asked of the system once: each question costs as much as hashing a kilobyte.
    salts = os.urandom(_SALT_SIZE * len(unsigned))
    prepared = [
        _payload(origin, each, salts[at : at + _SALT_SIZE])
        for each, at in zip(unsigned, range(0, len(salts), _SALT_SIZE), strict=True)
    ]
    kid = signer.public_key.kid
    header = statement.header_of(kid)
    payloads = [statement.encoded(payload) for _, _, payload in prepared]
    inputs = [statement.signing_input_of(kid, payload) for payload in payloads]
    signatures = await signer.sign(inputs)
    return [
        Draft(
            kind=each.kind,
            by=each.by,
            ref=ref,
            event=each.event,
            facts=payload,
            statement=statement.assemble(to_sign, signature),
            subjects=each.subjects,
            salt_d=salt_d,
            jws_digest=each.jws_digest,
            code_digest=each.code_digest,
            segments=(header, encoded, signature),
        )
        for each, (ref, salt_d, payload), encoded, to_sign, signature in zip(
            unsigned, prepared, payloads, inputs, signatures, strict=True
        )
    ]


def _payload(origin: str, each: Unsigned, salt_d: bytes) -> tuple[bytes, bytes, dict[str, Any]]:
    ref = event_ref(each.secret, each.n)
    facts = each.facts | {"thing": each.thing, "n": each.n, "salt_d": b64u_encode(salt_d)}
    if each.n == 0:
        facts["secret"] = b64u_encode(each.secret)
    if each.subjects:
        facts["subjects"] = [part.subject for part in each.subjects]
    if each.jws_digest != NO_DOCUMENT:
        facts["jws"] = b64u_encode(each.jws_digest)
    if each.code_digest != NO_DOCUMENT:
        facts["code"] = b64u_encode(each.code_digest)
    payload = statement.payload(origin=origin, ref=ref, kind=each.kind, by=each.by, event=each.event, facts=facts)
    return ref, salt_d, payload
