"""The tamper table: for every reason of a verdict, one attack or fault that must end in exactly that reason.

A new reason fails `test_every_reason_has_a_row` until somebody writes down what leads to it.
"""

import datetime as dt
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from tests.verifiers import foreign_world
from tests.verifiers.issuer import (
    BASE,
    DRIVER,
    INTEGRITY,
    LIST_URI,
    MARKET,
    NOW,
    ORIGIN,
    SLOTS,
    TRANSPORT,
    Issued,
    Issuer,
    judge,
    seed,
)
from verifiers import licence as licences
from verifiers.commitment import jws_digest
from verifiers.dynamic_code import mint
from verifiers.encoding import b64u_encode
from verifiers.errors import Reason, VerificationError
from verifiers.jws import encode_segment
from verifiers.legal_dates import day_begins
from verifiers.policy import Binding, Policy, Seen, SeenList
from verifiers.reasons import ONLINE, UNDETERMINED
from verifiers.receipt import parse_receipt
from verifiers.status_list import AsOf, open_status_list
from verifiers.trust_document import Position, Revocation
from verifiers.trust_list import open_trust_list
from verifiers.verdict import Outcome, Verdict
from verifiers.verification import verify

REGION = Issuer()
GOOD = REGION.issue(7)
OTHER = REGION.issue(8)
WATCHED = Issuer(watchers=3, quorum=2)
WATCHED_GOOD = WATCHED.issue(7)

OTHER_FORMATS = ("approval.", "notice.", "region_list.", "kit.", "witness.")
LOG_FORMATS = frozenset(reason for reason in Reason if reason.startswith(OTHER_FORMATS)) | frozenset(
    {
        Reason.ENCODING,
        Reason.CANONICAL,
        Reason.STATEMENT,
        Reason.STATEMENT_MISMATCH,
        Reason.STATEMENT_KEY,
        Reason.STATEMENT_SIGNATURE,
        Reason.RECORD,
        Reason.TILE,
        Reason.PROOF_INCLUSION,
        Reason.PROOF_CONSISTENCY,
        Reason.VKEY,
        Reason.NOTE_SIGNATURE,
        Reason.NOTE_UNSIGNED,
        Reason.DYNAMIC_MAC,
        Reason.DYNAMIC_SKEW,
        Reason.PEER_UNREACHABLE,
    }
)
"""Reasons of formats that no verdict about a licence rests on, or that `verify` tells under another name; they have
their rows in the tests of those formats. A region that cannot be reached is found by scans (ledger/test_foreign_scans).
"""


def shown(presented: str | bytes | None = None, **changes: Any) -> Verdict:
    """The verdict about `GOOD` with everything right, but for the changes."""
    trust = changes.pop("trust", REGION.trust())
    inputs: dict[str, Any] = {
        "status": [REGION.status()],
        "receipt": REGION.receipt(GOOD.index, GOOD.opening),
        "policy": Policy(root=REGION.pin),
    }
    return judge(GOOD.compact if presented is None else presented, trust, **(inputs | changes))


def under(**document: Any) -> Verdict:
    """The same under a trust list with changes."""
    return shown(trust=REGION.trust(**document))


def opening(open_it: Callable[[], object]) -> Reason:
    """The reason for which an input is refused before `verify` gets it."""
    with pytest.raises(VerificationError) as caught:
        open_it()
    return caught.value.reason


def stolen(face: licences.Face, key: str = f"{MARKET}/licence", **header: Any) -> str:
    """A licence made by a thief who holds the key `key`."""
    fields = {"alg": "ES256", "typ": "dc+sd-jwt"} | header
    unsigned = licences.build(face, header=licences.header_segment(REGION.certificate(key)))
    if header:
        signing_input = ".".join((encode_segment(fields), unsigned.signing_input.decode().split(".")[1])).encode()
        unsigned = replace(unsigned, signing_input=signing_input)
    return unsigned.compact(REGION.sign(key, unsigned.signing_input))


def with_last_disclosure(text: str) -> str:
    """The good licence with one more disclosure."""
    return f"{GOOD.compact}{text}~"


def flipped_tail(text: str) -> str:
    """A text whose last character but one is another."""
    return text[:-2] + ("A" if text[-2] != "A" else "Q") + text[-1]


def logged_as(kind: str, by: str, **changes: Any) -> Verdict:
    """A licence whose entry says something else than it does."""
    region = Issuer()
    face = region.face(**changes)
    unsigned, compact = region.sign_licence(face)
    digest = jws_digest(unsigned.signing_input)
    index, opened = region.append(kind, by, digest, bytes(32), seed("secret"), 0)
    receipt = region.receipt(index, opened)
    return judge(compact, region.trust(), status=[region.status()], receipt=receipt, policy=Policy(root=region.pin))


def impossible_entry() -> Verdict:
    """A log whose operator put something into it that is no entry."""
    region = Issuer()
    issued = region.issue(7)
    leaf = issued.opening.leaf.replace(b'"v":1', b'"v":2')
    region.entries[-1] = leaf
    receipt = region.receipt(issued.index, replace(issued.opening, leaf=leaf))
    return judge(issued.compact, region.trust(), status=[region.status()], receipt=receipt)


def receipt_with(checkpoint: str) -> str:
    """The receipt of `GOOD` over another checkpoint."""
    return REGION.receipt(GOOD.index, GOOD.opening, checkpoint=checkpoint)


def revoked(trust_before: Position | None) -> Verdict:
    """`GOOD` after its department's key was found compromised."""
    return under(keys=REGION.key_change(f"{MARKET}/licence", revoked=Revocation(NOW, "compromised", trust_before)))


def granted(**changes: Any) -> Verdict:
    """`GOOD` under other grants."""
    first, *rest = REGION.document().grants
    return under(grants=(replace(first, **changes), *rest))


def bundled(issued: Issued = GOOD, **changes: Any) -> Verdict:
    """A bundle with changes, for a verifier with a pinned root and nothing else."""
    return judge(REGION.bundle(issued, **changes), None, policy=Policy(root=REGION.pin))


def day(year: int) -> dt.date:
    """New year's day."""
    return dt.date(year, 1, 1)


OLD_LIST = REGION.status(issued_at=NOW - dt.timedelta(days=30), expires_at=NOW + dt.timedelta(days=30))
SIGNED = GOOD.compact.split("~")[0]
HEAD, BODY, TAIL = SIGNED.split(".")
LOST_LINE = REGION.checkpoint().rsplit("— ", 1)[0]
OTHER_SIZE = REGION.checkpoint().replace(f"\n{len(REGION.entries)}\n", "\n9\n")
BROKEN_CODE = GOOD.code[:-8] + ("AAAA" if GOOD.code[-8:-4] != "AAAA" else "BBBB") + GOOD.code[-4:]

ROWS: dict[Reason, Callable[[], Verdict | Reason]] = {
    # what was presented
    Reason.PRESENTED: lambda: shown("hello"),
    Reason.TOKEN_TYPE: lambda: shown(stolen(REGION.face(), typ="statuslist+jwt", x5c=["AAAA"])),
    Reason.LICENCE: lambda: shown(GOOD.compact.replace(".", "!", 1)),
    Reason.LICENCE_SIGNATURE: lambda: shown(GOOD.compact.replace(TAIL, flipped_tail(TAIL))),
    Reason.DISCLOSURE: lambda: shown(with_last_disclosure("")),
    Reason.DISCLOSURE_DUPLICATE: lambda: shown(with_last_disclosure(GOOD.compact.split("~")[1])),
    Reason.DISCLOSURE_UNREFERENCED: lambda: shown(with_last_disclosure(OTHER.compact.split("~")[1])),
    Reason.CODE: lambda: shown(GOOD.code[:-1]),
    Reason.CODE_SIGNATURE: lambda: shown(BROKEN_CODE),
    Reason.DYNAMIC: lambda: shown("HTTPS://LEDGER.EXAMPLE/C/AAAA"),
    Reason.DYNAMIC_OFFLINE: lambda: shown(mint(BASE, bytes(10), bytes(32), NOW)),
    Reason.BUNDLE: lambda: shown('{"v":1}'),
    Reason.BUNDLE_MISMATCH: lambda: bundled(secret=bytes(32)),
    Reason.BUNDLE_EVENTS: lambda: bundled(events=(REGION.receipt(OTHER.index, OTHER.opening),)),
    # whom to trust for what
    Reason.ROOT_UNPINNED: lambda: shown(trust=REGION.trust(pin=False), policy=Policy()),
    Reason.ROOT_MISMATCH: lambda: shown(policy=Policy(root=WATCHED.pin)),
    Reason.TRUST: lambda: opening(lambda: open_trust_list("x", root_fingerprint=None, at=NOW)),
    Reason.TRUST_MISSING: lambda: shown(trust=None),
    Reason.TRUST_CERTIFICATE: lambda: bundled(trust_list=REGION.trust_token(key=f"{MARKET}/licence")),
    Reason.TRUST_SIGNATURE: lambda: bundled(trust_list=flipped_tail(REGION.trust_token())),
    Reason.TRUST_EXPIRED: lambda: under(expires_at=NOW - dt.timedelta(seconds=1)),
    Reason.TRUST_ROLLBACK: lambda: shown(seen=Seen(trust={"610000": 2})),
    Reason.TRUST_CONTRADICTED: lambda: shown(
        REGION.bundle(GOOD, trust_list=REGION.trust_token(REGION.document(seq=2, keys=()))).decode()
    ),
    Reason.KEY_UNKNOWN: lambda: shown(Issuer().issue().compact),
    Reason.KEY_PURPOSE: lambda: shown(stolen(REGION.face(), f"{MARKET}/code")),
    Reason.KEY_CERTIFICATE: lambda: under(keys=REGION.key_change(f"{MARKET}/licence", department=TRANSPORT)),
    Reason.KEY_TERM: lambda: under(keys=REGION.key_change(f"{MARKET}/licence", log_from=REGION.position())),
    Reason.KEY_COMPROMISED: lambda: revoked(Position.start(ORIGIN)),
    Reason.ISSUER_MISMATCH: lambda: shown(stolen(REGION.face(iss=f"{BASE}/d/{TRANSPORT}"))),
    Reason.GRANT_MISSING: lambda: shown(stolen(REGION.face(vct=f"{BASE}/types/{DRIVER}/1"))),
    Reason.GRANT_AREA: lambda: granted(area="610100"),
    Reason.GRANT_TERM: lambda: granted(log_to=REGION.position(1)),
    Reason.TYPE_UNKNOWN: lambda: shown(stolen(REGION.face(vct=f"{BASE}/types/{DRIVER}/2"))),
    Reason.TYPE_INTEGRITY: lambda: shown(stolen(REGION.face(vct_integrity=INTEGRITY.replace("A", "B")))),
    Reason.HOLDER_BINDING: lambda: shown(policy=Policy(root=REGION.pin, binding=Binding("https://bank.example", "1"))),
    # what the licence, its receipt and its status say
    Reason.NOT_YET_VALID: lambda: shown(stolen(REGION.face(valid_from=day(2027)))),
    Reason.EXPIRED: lambda: shown(stolen(REGION.face(valid_from=day(2020), valid_until=day(2026)))),
    Reason.LOG_UNKNOWN: lambda: shown(receipt=receipt_with(REGION.checkpoint().replace(ORIGIN, "other.example/log"))),
    Reason.RECEIPT: lambda: shown(receipt="receipt"),
    Reason.RECEIPT_MISSING: lambda: shown(receipt=None),
    Reason.RECEIPT_OPENING: lambda: shown(receipt=REGION.receipt(OTHER.index, OTHER.opening)),
    Reason.RECEIPT_INCLUSION: lambda: shown(receipt=REGION.receipt(GOOD.index, OTHER.opening)),
    Reason.RECEIPT_MISMATCH: lambda: logged_as("licence.issued", TRANSPORT),
    Reason.RECEIPT_REFRESH: lambda: revoked(REGION.position(GOOD.index + 1)),
    Reason.RECEIPT_GRADE: lambda: judge(
        WATCHED_GOOD.compact,
        WATCHED.trust(),
        status=[WATCHED.status()],
        receipt=WATCHED.receipt(WATCHED_GOOD.index, WATCHED_GOOD.opening, checkpoint=WATCHED.checkpoint(by=1)),
        policy=Policy(root=WATCHED.pin, grade="witnessed"),
    ),
    Reason.ENTRY: impossible_entry,
    Reason.NOTE: lambda: shown(receipt=receipt_with(REGION.checkpoint().replace("\n\n", "\n"))),
    Reason.CHECKPOINT: lambda: shown(receipt=receipt_with(REGION.checkpoint().replace("\n\n", "\nextension\n\n"))),
    Reason.CHECKPOINT_ORIGIN: lambda: opening(lambda: other_origin()),
    Reason.CHECKPOINT_SIGNATURE: lambda: shown(receipt=receipt_with(OTHER_SIZE)),
    Reason.CHECKPOINT_UNSIGNED: lambda: shown(receipt=receipt_with(LOST_LINE)),
    Reason.STATUS: lambda: opening(lambda: open_status_list("x", REGION.trust())),
    Reason.STATUS_MISSING: lambda: shown(status=[]),
    Reason.STATUS_KEY: lambda: bundled(status_list=REGION.status_token(key=f"{MARKET}/licence")),
    Reason.STATUS_SIGNATURE: lambda: bundled(status_list=flipped_tail(REGION.status_token())),
    Reason.STATUS_STALE: lambda: shown(status=[OLD_LIST]),
    Reason.STATUS_TIME: lambda: shown(
        at=NOW - dt.timedelta(hours=1), policy=Policy(root=REGION.pin, historical=True)
    ),
    Reason.STATUS_ROLLBACK: lambda: shown(seen=Seen(lists={LIST_URI: SeenList(ORIGIN, 1000)})),
    Reason.STATUS_INDEX: lambda: shown(stolen(REGION.face(status_idx=SLOTS))),
    Reason.REVOKED: lambda: shown(status=[REGION.status(values={7: 1})]),
    Reason.SUSPENDED: lambda: shown(status=[REGION.status(values={7: 2})]),
    Reason.REFUSED: lambda: shown(status=[REGION.status(values={7: 3})]),
    Reason.CLOCK_BEHIND: lambda: shown(at=NOW - dt.timedelta(minutes=6)),
}  # fmt: skip


def other_origin() -> object:
    """A checkpoint of one log under the policy of another."""
    from verifiers.checkpoint import open_checkpoint

    policy = REGION.trust().log_policy(ORIGIN)
    assert policy is not None
    return open_checkpoint(REGION.checkpoint().replace(ORIGIN, "other.example/log"), policy)


@pytest.mark.parametrize("reason", ROWS, ids=str)
def test_each_fault_has_its_own_reason(reason: Reason) -> None:
    """The verdict names the reason of the row, and its outcome is that of protocol 24."""
    found = ROWS[reason]()

    if isinstance(found, Reason):
        assert found is reason
        return
    assert reason in found.reasons, found.reasons
    finding = next(one for one in found.findings if one.reason is reason)
    assert finding.outcome is (Outcome.UNDETERMINED if reason in UNDETERMINED else Outcome.INVALID)
    wrong = any(one not in UNDETERMINED for one in found.reasons)
    assert found.outcome is (Outcome.INVALID if wrong else Outcome.UNDETERMINED)


def test_every_reason_has_a_row() -> None:
    """Here or in the table of other regions; or it is given online only, or is of a format with tests of its own."""
    assert set(ROWS) | foreign_world.REASONS | ONLINE | LOG_FORMATS == set(Reason)
    assert not set(ROWS) & (foreign_world.REASONS | ONLINE | LOG_FORMATS)


def test_with_everything_right_there_is_no_reason() -> None:
    """The table starts from a licence, code and bundle that are valid, or its rows would prove nothing."""
    code = shown(GOOD.code, receipt=None)

    assert (shown().outcome, code.outcome, bundled().outcome) == (Outcome.VALID,) * 3
    assert shown().reasons == code.reasons == bundled().reasons == ()


def test_a_stolen_key_with_an_honest_receipt_is_refused() -> None:
    """The thief copies the honest licence's dates, slot, identifier and receipt; the log committed to other bytes."""
    honest = GOOD.face
    forged = stolen(replace(honest, fields=dict(honest.fields) | {"scope": "全部"}))

    verdict = shown(forged)

    assert verdict.outcome is Outcome.INVALID
    assert verdict.reasons == (Reason.RECEIPT_OPENING,)


def test_a_stolen_key_with_a_spliced_opening_is_refused() -> None:
    """The thief puts the forged document's digest into the honest opening: it no longer commits to its leaf."""
    forged = stolen(replace(GOOD.face, fields={"scope": "全部"}))
    digest = jws_digest(forged.split("~")[0].rpartition(".")[0].encode())
    receipt = REGION.receipt(GOOD.index, replace(GOOD.opening, jws=digest))

    assert shown(forged, receipt=receipt).reasons == (Reason.RECEIPT_OPENING,)


def test_a_stolen_key_with_an_old_iat_is_refused_after_the_compromise() -> None:
    """A licence that the thief gets logged later is after `trust_before`, whatever time it claims."""
    region = Issuer()
    honest = region.issue(7)
    limit = region.position()
    receipt = region.receipt(honest.index, honest.opening)
    forged = region.issue(9, iat=day_begins(dt.date(2020, 1, 1)), issued_on=day(2020), valid_from=day(2020))
    revocation = Revocation(NOW, "compromised", limit)
    trust = region.trust(keys=region.key_change(f"{MARKET}/licence", revoked=revocation))
    status, policy = [region.status(trust)], Policy(root=region.pin)

    later = region.receipt(forged.index, forged.opening)
    late = judge(forged.compact, trust, status=status, receipt=later, policy=policy)
    early = judge(honest.compact, trust, status=status, receipt=receipt, policy=policy)

    assert late.reasons == (Reason.KEY_COMPROMISED,) and late.outcome is Outcome.INVALID
    assert early.outcome is Outcome.VALID


def test_without_a_receipt_a_compromised_key_settles_nothing() -> None:
    """A printed code under it is undetermined offline; a licence too, until its receipt is shown."""
    revocation = Revocation(NOW, "compromised", REGION.position())
    keys = REGION.key_change(f"{MARKET}/licence", revoked=revocation)
    code_keys = REGION.key_change(f"{MARKET}/code", revoked=revocation)

    bare = shown(trust=REGION.trust(keys=keys), receipt=None)
    code = shown(GOOD.code, trust=REGION.trust(keys=code_keys), receipt=None)

    assert bare.outcome is Outcome.UNDETERMINED and Reason.KEY_COMPROMISED in bare.reasons
    assert code.outcome is Outcome.UNDETERMINED and code.reasons == (Reason.KEY_COMPROMISED,)


def test_an_import_that_hides_it_is_refused() -> None:
    """An entry that says imported needs a licence that says so."""
    assert Reason.RECEIPT_MISMATCH in logged_as("licence.imported", MARKET).reasons


def test_an_entry_of_another_kind_is_refused() -> None:
    """A department's private business never stands for an issue."""
    assert Reason.RECEIPT_MISMATCH in logged_as("sealed", MARKET).reasons


def test_a_receipt_given_apart_must_be_of_the_entry_in_the_bundle() -> None:
    """What the verifier fetched and what the bundle carries are of one entry."""
    bundle = REGION.bundle(GOOD, receipt=REGION.receipt(OTHER.index, OTHER.opening))
    fetched = parse_receipt(REGION.receipt(GOOD.index, GOOD.opening))

    assert Reason.BUNDLE_MISMATCH in judge(bundle, None, receipt=fetched, policy=Policy(root=REGION.pin)).reasons


def test_a_code_of_another_licence_in_a_bundle_is_refused() -> None:
    """As is one with a wrong signature."""
    swapped = bundled(code=OTHER.code)
    broken = bundled(code=BROKEN_CODE)

    assert swapped.reasons == broken.reasons == (Reason.BUNDLE_MISMATCH,)


def test_a_status_list_of_another_region_does_not_count() -> None:
    """A region that claims our list's URI in its own trust list still speaks for nobody but itself."""
    assert shown(status=[WATCHED.status()]).reasons == (Reason.STATUS_MISSING,)


def test_a_naive_time_is_the_callers_mistake() -> None:
    """Not a verdict."""
    with pytest.raises(ValueError):
        verify(GOOD.compact, trust=None, at=dt.datetime(2026, 1, 1))  # noqa: DTZ001


def test_a_smaller_as_of_than_seen_is_refused_and_a_larger_one_remembered() -> None:
    """The newest of several lists counts."""
    early, late = REGION.status(as_of=AsOf(ORIGIN, 1)), REGION.status(as_of=AsOf(ORIGIN, 2), values={7: 1})
    seen = Seen(lists={LIST_URI: SeenList(ORIGIN, 2)})

    assert shown(status=[early], seen=seen).reasons == (Reason.STATUS_ROLLBACK,)
    assert shown(status=[early, late]).reasons == (Reason.REVOKED,)


def test_an_attached_key_binding_without_a_key_is_refused() -> None:
    """Nothing that nobody checks may ride along."""
    header = encode_segment({"alg": "ES256", "typ": "kb+jwt"})

    assert Reason.HOLDER_BINDING in shown(f"{GOOD.compact}{header}.e30.{b64u_encode(bytes(64))}").reasons
