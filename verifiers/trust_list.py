"""The trust list: a region's signed statement of whom to believe for what, opened under a pinned root.

A JWT (`typ: elicence-trust-list+jwt`, ES256) whose header carries [list certificate, region root]. The root counts only
if its SHA-256 is the fingerprint that the verifier pinned; `seq` only rises, `next_update` is when a newer one is
wanted, `exp` when this one no longer counts. `open_trust_list` checks the certificate path once and builds the
look-ups that `verify` needs. See docs/formats/trust-list.md.
"""

import datetime as dt
from base64 import b64encode
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, Final, TypeVar

from keys.certificates import Leaf, check_leaf, check_root, fingerprint
from keys.errors import BadCertificate, BadSignature
from verifiers import canonical
from verifiers.checkpoint import LogPolicy
from verifiers.encoding import b64_decode, b64u_encode
from verifiers.errors import Malformed, Reason, SignatureFailed, VerificationError
from verifiers.jws import Jws, encode_segment, parse_jws
from verifiers.members import Members
from verifiers.trust_document import (
    REGION,
    URI,
    Department,
    Names,
    StatusListName,
    TrustedGrant,
    TrustedKey,
    TrustedLog,
    TrustedType,
)
from verifiers.trusted_peers import Intervals, TrustedEquivalence, TrustedPeer, TrustedRule, WitnessService
from verifiers.usual_rows import tried, usual_department, usual_grant, usual_key, usual_status_list, usual_type

TYP: Final = "elicence-trust-list+jwt"
LENGTH_MAX: Final = 33_554_432
"""Longest list in characters; a region of three thousand departments needs about four million."""

PEERS_MAX: Final = 1000
"""Most peers in one list: there are some three hundred and forty prefectures."""

RULES_MAX: Final = 20_000
"""Most versions of rules in one list; all that an equivalence names are in it."""

_DEPARTMENT, _KEY, _GRANT, _TYPE, _STATUS = map(
    tried, (usual_department, usual_key, usual_grant, usual_type, usual_status_list)
)

K = TypeVar("K")
V = TypeVar("V")

_SECONDS_MAX = 2**37


@dataclass(frozen=True, slots=True)
class TrustDocument:
    """The payload of one trust list; `prev` is the SHA-256 of the previous compact list (`None` for the first)."""

    region: str
    names: Names
    iss: str
    seq: int
    prev: bytes | None
    issued_at: dt.datetime
    next_update: dt.datetime
    expires_at: dt.datetime
    logs: tuple[TrustedLog, ...]
    departments: tuple[Department, ...]
    keys: tuple[TrustedKey, ...]
    grants: tuple[TrustedGrant, ...]
    types: tuple[TrustedType, ...]
    status_lists: tuple[StatusListName, ...]
    former: tuple[str, ...] = ()
    peers: tuple[TrustedPeer, ...] = ()
    equivalences: tuple[TrustedEquivalence, ...] = ()
    rules: tuple[TrustedRule, ...] = ()
    witness: WitnessService | None = None
    intervals: Intervals | None = None

    def to_json(self) -> dict[str, Any]:
        """The payload, every list in its one order (logs: as they were opened)."""
        departments = sorted(self.departments, key=lambda row: row.id)
        keys = sorted(self.keys, key=lambda row: row.public_key.kid)
        types = sorted(self.types, key=lambda row: (row.code, row.major))
        lists = sorted(self.status_lists, key=lambda row: row.number)
        return {
            "departments": [row.to_json() for row in departments],
            "equivalences": [row.to_json() for row in sorted(self.equivalences, key=lambda row: (row.id, row.version))],
            "exp": int(self.expires_at.timestamp()),
            "former": sorted(self.former),
            "grants": [row.to_json() for row in sorted(self.grants, key=_grant_order)],
            "iat": int(self.issued_at.timestamp()),
            "intervals": None if self.intervals is None else self.intervals.to_json(),
            "iss": self.iss,
            "keys": [row.to_json() for row in keys],
            "logs": [row.to_json() for row in self.logs],
            "names": self.names.to_json(),
            "next_update": int(self.next_update.timestamp()),
            "peers": [row.to_json() for row in sorted(self.peers, key=lambda row: row.region)],
            "prev": None if self.prev is None else b64u_encode(self.prev),
            "region": self.region,
            "rules": [row.to_json() for row in sorted(self.rules, key=lambda row: (row.name.id, row.name.version))],
            "seq": self.seq,
            "status_lists": [row.to_json() for row in lists],
            "types": [row.to_json() for row in types],
            "v": 1,
            "witness": None if self.witness is None else self.witness.to_json(),
        }

    @classmethod
    def read(cls, members: Members) -> "TrustDocument":
        """The document in `members`. Raises `Malformed` with `trust.malformed`."""
        members.integer("v", 1, 1)
        document = cls(
            region=members.text("region", REGION),
            names=members.object("names", Names.read),
            iss=members.text("iss", URI),
            seq=members.integer("seq", 1),
            prev=members.nullable("prev", lambda name: members.octets(name, 32)),
            issued_at=_instant(members, "iat"),
            next_update=_instant(members, "next_update"),
            expires_at=_instant(members, "exp"),
            logs=members.objects("logs", TrustedLog.read, 256),
            departments=members.objects("departments", Department.read, quick=_DEPARTMENT),
            keys=members.objects("keys", TrustedKey.read, quick=_KEY),
            grants=members.objects("grants", TrustedGrant.read, quick=_GRANT),
            types=members.objects("types", TrustedType.read, quick=_TYPE),
            status_lists=members.objects("status_lists", StatusListName.read, quick=_STATUS),
            former=members.texts("former"),
            peers=members.objects("peers", TrustedPeer.read, PEERS_MAX),
            equivalences=members.objects("equivalences", TrustedEquivalence.read),
            rules=members.objects("rules", TrustedRule.read, RULES_MAX),
            witness=members.nullable("witness", lambda name: members.object(name, WitnessService.read)),
            intervals=members.nullable("intervals", lambda name: members.object(name, Intervals.read)),
        )
        members.done()
        return document


@dataclass(frozen=True, slots=True)
class TrustList:
    """A trust list whose signature and certificate path were checked, with its look-ups.

    `pinned` says whether the root was the one the verifier had pinned; without a pin no verdict is better than
    undetermined. `digest` is the SHA-256 of the compact text, `root_fingerprint` that of the root in hex.
    """

    document: TrustDocument
    digest: bytes
    root: bytes = field(repr=False)
    root_fingerprint: str
    pinned: bool
    source: str
    status_uris: frozenset[str] = field(repr=False)
    _keys: dict[str, TrustedKey] = field(repr=False)
    _keys_by_certificate: dict[bytes, TrustedKey] = field(repr=False)
    _code_keys: dict[bytes, tuple[TrustedKey, ...]] = field(repr=False)
    _departments: dict[str, Department] = field(repr=False)
    _department_numbers: dict[int, Department] = field(repr=False)
    _types: dict[str, TrustedType] = field(repr=False)
    _type_numbers: dict[int, TrustedType] = field(repr=False)
    _grants: dict[tuple[str, str, int], tuple[TrustedGrant, ...]] = field(repr=False)
    _list_numbers: dict[int, str] = field(repr=False)
    _logs: dict[str, tuple[int, TrustedLog, LogPolicy]] = field(repr=False)
    _peers: dict[str, TrustedPeer] = field(repr=False)
    _equivalences: dict[tuple[str, str, int], tuple[TrustedEquivalence, ...]] = field(repr=False)
    _rules: dict[tuple[str, int], TrustedRule] = field(repr=False)
    # Keys by the very bytes of their certificates, for those that were asked for: never more than the list has.
    _met: dict[bytes, TrustedKey] = field(repr=False, compare=False, default_factory=dict)
    # What `authority` found of those who signed: (certificate, iss, vct, its integrity, a first version?, region).
    granted: dict[tuple[bytes, str, str, str, bool, str], object] = field(
        init=False, repr=False, compare=False, default_factory=dict
    )

    @property
    def region(self) -> str:
        """The region's GB/T 2260 code."""
        return self.document.region

    def key(self, kid: str) -> TrustedKey | None:
        """The key with the 22-character id `kid`."""
        return self._keys.get(kid)

    def key_of_certificate(self, certificate: bytes) -> TrustedKey | None:
        """The key whose leaf certificate is exactly `certificate` (DER)."""
        known = self._met.get(certificate)
        if known is not None:
            return known
        key = self._keys_by_certificate.get(sha256(certificate).digest())
        if key is not None:
            self._met[certificate] = key
        return key

    def check_certificate(self, certificate: bytes) -> Leaf:
        """The facts of a leaf under this list's root. Raises `VerificationError` with `key.certificate`."""
        try:
            return check_leaf(certificate, self.root)
        except BadCertificate as error:
            raise VerificationError(Reason.KEY_CERTIFICATE, str(error), "key") from None

    def code_keys(self, kid: bytes) -> tuple[TrustedKey, ...]:
        """The keys for codes whose id begins with the 8 bytes `kid`; more than one is possible, so all are tried."""
        return self._code_keys.get(kid, ())

    def department(self, uscc: str) -> Department | None:
        """The department with this unified social credit code."""
        return self._departments.get(uscc)

    def department_number(self, number: int) -> Department | None:
        """The department that codes call `number`."""
        return self._department_numbers.get(number)

    def type_of(self, vct: str) -> TrustedType | None:
        """The licence type that `vct` names, under the region's base URL or a former one."""
        return self._types.get(vct)

    def type_number(self, number: int) -> TrustedType | None:
        """The licence type that codes call `number`."""
        return self._type_numbers.get(number)

    def grants(self, department: str, type_code: str, major: int) -> tuple[TrustedGrant, ...]:
        """What the department may do with licences of that type, now or in the past."""
        return self._grants.get((department, type_code, major), ())

    def status_uri(self, number: int) -> str | None:
        """The URI of the status list that codes call `number`."""
        return self._list_numbers.get(number)

    def log(self, origin: str) -> TrustedLog | None:
        """The log with this origin."""
        found = self._logs.get(origin)
        return None if found is None else found[1]

    def log_policy(self, origin: str) -> LogPolicy | None:
        """Who must have signed a checkpoint of the log with this origin."""
        found = self._logs.get(origin)
        return None if found is None else found[2]

    def peer(self, region: str) -> TrustedPeer | None:
        """The region with this GB/T 2260 code, as far as this list recognises it."""
        return self._peers.get(region)

    def equivalences_of(self, peer: str, type_code: str, major: int) -> tuple[TrustedEquivalence, ...]:
        """Every statement that licences of the peer's type count as some of ours, whatever their time, newest first."""
        return self._equivalences.get((peer, type_code, major), ())

    def rule(self, id_: str, version: int) -> TrustedRule | None:
        """One version of the conditions of recognition."""
        return self._rules.get((id_, version))

    def epoch(self, origin: str) -> int:
        """The place of a log in the order of opening; -1 for one the list does not name."""
        found = self._logs.get(origin)
        return -1 if found is None else found[0]


def header_segment(kid: str, certificate: bytes, root: bytes) -> str:
    """The protected header for the list key `kid` with its certificate and the root (both DER), as base64url."""
    chain = [b64encode(certificate).decode("ascii"), b64encode(root).decode("ascii")]
    return encode_segment({"alg": "ES256", "kid": kid, "typ": TYP, "x5c": chain})


def signing_input(document: TrustDocument, *, header: str) -> bytes:
    """The bytes the list key signs for `document`. Raises `ValueError` where a value is no canonical JSON."""
    return f"{header}.{b64u_encode(canonical.encode(document.to_json()))}".encode("ascii")


def open_trust_list(
    token: str, *, root_fingerprint: str | None, at: dt.datetime, seen_seq: int = 0, source: str = "given"
) -> TrustList:
    """The trust list in `token`, for a verifier who pinned the root with this fingerprint (64 hex digits) or none.

    Its expiry is judged in `verify`, as a matter of `at` and not of the list. Raises `VerificationError` with
    `trust.malformed`, `token.type`, `root.mismatch`, `trust.certificate`, `trust.signature` or, for a list older than
    the highest `seq` seen, `trust.rollback`.
    """
    jws = parse_jws(token, typ=TYP, reason=Reason.TRUST, limit=LENGTH_MAX)
    certificate, root = _chain(jws)
    if root_fingerprint is not None and fingerprint(root) != root_fingerprint:
        raise VerificationError(Reason.ROOT_MISMATCH, "the list comes from another root than the pinned one", "root")
    leaf = _list_certificate(certificate, root, at)
    if jws.header.get("kid") != leaf.public_key.kid:
        raise VerificationError(Reason.TRUST_CERTIFICATE, "the key id is not that of the certificate", "trust_list")
    try:
        leaf.public_key.check(jws.signing_input, jws.signature)
    except BadSignature:
        raise SignatureFailed(Reason.TRUST_SIGNATURE, "the signature does not fit", "trust_list") from None
    document = TrustDocument.read(Members(jws.payload, Reason.TRUST))
    if document.to_json() != jws.payload:
        raise Malformed(Reason.TRUST, "a list is not in its order")
    if document.seq < seen_seq:
        detail = f"list {document.seq} after list {seen_seq} had been seen"
        raise VerificationError(Reason.TRUST_ROLLBACK, detail, "trust_list")
    return _indexed(document, sha256(token.encode("ascii")).digest(), root, root_fingerprint is not None, source)


def signing_kid(token: str) -> str:
    """The id of the key that signed the list in `token`, which was opened before. Raises `Malformed`."""
    return str(parse_jws(token, typ=TYP, reason=Reason.TRUST, limit=LENGTH_MAX).header.get("kid"))


def claimed_root(token: str) -> str | None:
    """The fingerprint of the root that the list in `token` carries, whatever its worth; `None` where it carries none.

    It selects nothing by itself: the list must still be opened under a root that the verifier has.
    """
    try:
        return fingerprint(_chain(parse_jws(token, typ=TYP, reason=Reason.TRUST, limit=LENGTH_MAX))[1])
    except VerificationError:
        return None


def _chain(jws: Jws) -> tuple[bytes, bytes]:
    chain = jws.header.get("x5c")
    if type(chain) is not list or len(chain) != 2 or any(type(one) is not str for one in chain):
        raise Malformed(Reason.TRUST, "the header does not carry list certificate and root (x5c)")
    try:
        return b64_decode(chain[0]), b64_decode(chain[1])
    except Malformed as error:
        raise Malformed(Reason.TRUST, error.detail) from None


def _list_certificate(certificate: bytes, root: bytes, at: dt.datetime) -> Leaf:
    try:
        check_root(root)
        leaf = check_leaf(certificate, root)
    except BadCertificate as error:
        raise VerificationError(Reason.TRUST_CERTIFICATE, str(error), "trust_list") from None
    if leaf.subject.purpose != "list" or leaf.subject.department is not None:
        raise VerificationError(Reason.TRUST_CERTIFICATE, "the certificate is not for trust lists", "trust_list")
    if at > leaf.not_after:
        raise VerificationError(Reason.TRUST_CERTIFICATE, "the list certificate has expired", "trust_list")
    return leaf


def _indexed(document: TrustDocument, digest: bytes, root: bytes, pinned: bool, source: str) -> TrustList:
    """The list with its look-ups. Raises `Malformed` where two rows claim the same number or id."""
    code_keys: dict[bytes, tuple[TrustedKey, ...]] = {}
    for key in document.keys:
        if key.purpose == "code":
            start = key.public_key.key_id[:8]
            code_keys[start] = (*code_keys.get(start, ()), key)
    grants: dict[tuple[str, str, int], tuple[TrustedGrant, ...]] = {}
    for grant in document.grants:
        place = (grant.department, grant.type, grant.major)
        grants[place] = (*grants.get(place, ()), grant)
    equivalences: dict[tuple[str, str, int], tuple[TrustedEquivalence, ...]] = {}
    _unique([((row.id, row.version), row) for row in document.equivalences])
    for each in sorted(document.equivalences, key=lambda row: (row.version, row.id), reverse=True):
        place = (each.peer, each.their_type, each.their_major)
        equivalences[place] = (*equivalences.get(place, ()), each)
    certified = [key for key in document.keys if key.certificate_sha256 is not None]
    types = _unique([(row.vct, row) for row in document.types])
    for base in document.former:
        types |= {f"{base}/types/{row.code}/{row.major}": row for row in document.types}
    return TrustList(
        document=document,
        digest=digest,
        root=root,
        root_fingerprint=fingerprint(root),
        pinned=pinned,
        source=source,
        status_uris=frozenset(row.uri for row in document.status_lists),
        _keys=_unique([(key.public_key.kid, key) for key in document.keys]),
        _keys_by_certificate=_unique([(key.certificate_sha256 or b"", key) for key in certified]),
        _code_keys=code_keys,
        _departments=_unique([(row.id, row) for row in document.departments]),
        _department_numbers=_unique([(row.number, row) for row in document.departments]),
        _types=types,
        _type_numbers=_unique([(row.number, row) for row in document.types]),
        _grants=grants,
        _list_numbers=_unique([(row.number, row.uri) for row in document.status_lists]),
        _logs=_unique([(log.origin, (place, log, log.policy())) for place, log in enumerate(document.logs)]),
        _peers=_unique([(row.region, row) for row in document.peers]),
        _equivalences=equivalences,
        _rules=_unique([((row.name.id, row.name.version), row) for row in document.rules]),
    )


def _unique(pairs: list[tuple[K, V]]) -> dict[K, V]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise Malformed(Reason.TRUST, "two rows claim the same id or number")
    return found


def _grant_order(row: TrustedGrant) -> tuple[str, str, int, str, str, int]:
    return (row.department, row.type, row.major, row.area, row.log_from.origin, row.log_from.size)


def _instant(members: Members, name: str) -> dt.datetime:
    return dt.datetime.fromtimestamp(members.integer(name, 0, _SECONDS_MAX), dt.UTC)
