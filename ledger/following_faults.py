"""What can be wrong with a peer that is followed, as one exception: which state it means, and what proves it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any, Final

from keys import es256
from ledger.outside import Answer, Unreachable
from verifiers.checkpoint import LogPolicy, SignedCheckpoint, message
from verifiers.commitment import jws_digest
from verifiers.encoding import b64u_decode, b64u_encode
from verifiers.note import check_lines, parse_note
from verifiers.peer_view import Watch

EVIDENCE_MAX: Final = 262_144
"""Longest text kept verbatim as evidence; of a longer list its signature and digest are kept."""

FOUND: Final = 200
UNCHANGED: Final = 304
ABSENT: Final = 404


class Misbehaved(Exception):
    """A peer signed or served what does not fit together.

    `watch` is the state that follows, `kind` the name under which `evidence` is kept; `about` is what makes it this
    piece of evidence (`ledger.misbehaviour`). Without evidence there is nothing that could be shown to others.
    """

    def __init__(
        self,
        watch: Watch,
        kind: str,
        detail: str,
        *,
        evidence: Mapping[str, Any] | None = None,
        about: tuple[str, ...] = (),
    ) -> None:
        super().__init__(f"{kind}: {detail}")
        self.watch = watch
        self.kind = kind
        self.detail = detail
        self.evidence = evidence
        self.about = about


def forked(ours: str, theirs: str, detail: str, proof: list[bytes] | None = None) -> Misbehaved:
    """One log signed two heads that cannot both be true: `ours`, verified before, and `theirs`; both are notes."""
    evidence = {"notes": [ours, theirs], "proof": [b64u_encode(each) for each in proof or []]}
    heads = tuple(note.partition("\n\n")[0] for note in (ours, theirs))
    return Misbehaved(Watch.FORKED, "fork", detail, evidence=evidence, about=heads)


def wanted(answer: Answer, what: str) -> bytes:
    """The body of an answer that must be there. Raises `Unreachable` for any other status."""
    if answer.status != FOUND:
        raise Unreachable(f"{what} is answered with {answer.status}")
    return answer.body


def text_of(body: bytes, what: str) -> str:
    """The ASCII text of a body. Raises `Unreachable`: what is no token at all comes from somebody else."""
    try:
        return body.decode("ascii")
    except UnicodeDecodeError:
        raise Unreachable(f"{what} is not ASCII") from None


def shortened(token: str) -> dict[str, str]:
    """A signed token as evidence: verbatim, or what still convicts its maker where it is too long."""
    if len(token) <= EVIDENCE_MAX:
        return {"token": token}
    digest = b64u_encode(jws_digest(signing_input_of(token)))
    return {
        "header": token.partition(".")[0],
        "signature": token.rpartition(".")[2],
        "signing_input_sha256": digest,
    }


def signed_at(checkpoint: SignedCheckpoint, policy: LogPolicy) -> datetime | None:
    """When a checkpoint says it was signed last, by the log itself or a witness; None where no line tells."""
    timed = tuple(key for key in policy.keys if key.timed)
    lines = check_lines(parse_note(checkpoint.text), timed, message) if timed else ()
    times = [line.timestamp for line in lines if line.timestamp]
    times += [int(each.at.timestamp()) for each in checkpoint.cosignatures]
    return datetime.fromtimestamp(min(max(times), 2**37), UTC) if times else None


def signing_input_of(token: str) -> bytes:
    """What the signature of a compact token is over."""
    return token.rpartition(".")[0].encode("ascii")


def digests_of(token: str) -> frozenset[bytes]:
    """SHA-256 of a compact ES256 token, and of what it is with the other signature that holds for it.

    Anybody on the way can put one in the place of the other, so neither says that its maker signed twice.
    """
    signed, _, signature = token.rpartition(".")
    other = f"{signed}.{b64u_encode(es256.twin(b64u_decode(signature)))}"
    return frozenset(sha256(each.encode("ascii")).digest() for each in (token, other))
