"""A whole region in memory for tests of the verifiers: keys, log, witness, trust list, status list; no ledger.

Everything is made with the builders that the service uses; attacks are one-line changes of what it gives out. All names
are invented and marked as examples (示例).
"""

import datetime as dt
import hmac
import warnings
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import Any, TypeVar

from keys.certificates import LeafSubject, department_subject, fingerprint, service_subject
from keys.certification import create_root, issue_leaf, read_request
from keys.memory_store import MemoryKeyStore
from keys.public_key import PublicKey
from verifiers import bundle as bundles
from verifiers import code as codes
from verifiers import entry, licence, merkle, note, status_list, trust_list
from verifiers.checkpoint import Checkpoint, add_cosignatures, message, sign_checkpoint
from verifiers.commitment import NO_DOCUMENT, Opening, code_digest, commit, doc_hash, event_ref, jws_digest, record_hash
from verifiers.encoding import b64u_encode
from verifiers.errors import Reason, VerificationError
from verifiers.identifier import Identifier
from verifiers.note import KeyType, NoteKey
from verifiers.policy import Policy
from verifiers.receipt import compose
from verifiers.trust_document import (
    Department,
    Names,
    Position,
    StatusListName,
    TrustedGrant,
    TrustedKey,
    TrustedLog,
    TrustedType,
    Witness,
)
from verifiers.trust_list import TrustDocument, TrustList, open_trust_list
from verifiers.verdict import NotVerified, Verdict
from verifiers.verification import verify

T = TypeVar("T")

BASE = "https://ledger.example"
ORIGIN = "ledger.example/log"
REGION = "610000"
MARKET = "11610000MB0DEMA10W"  # 示例市场监管部门
TRANSPORT = "11610000MB0DEMA29R"  # 示例交通运输部门
COMPANY = "91610000MA6DEMA0XG"  # 示例食品有限公司
FOOD = "11610000MB0DEMA10W001"
DRIVER = "11610000MB0DEMA29R001"
NOW = dt.datetime(2026, 11, 21, 8, 0, 0, tzinfo=dt.UTC)
LIST_URI = f"{BASE}/status-lists/1"
SLOTS, GRACE_S, TTL_S = 1 << 12, 86_400, 30
INTEGRITY = "sha256-" + "A" * 43 + "="
FOOD_NAMES, DRIVER_NAMES = (Names(f"示例{kind}证", "Example licence") for kind in ("食品", "驾驶员"))


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    """The result of a coroutine that never waits, as those of a store in memory."""
    try:
        coroutine.send(None)
    except StopIteration as stop:
        result: T = stop.value
        return result
    raise RuntimeError("the coroutine waited")


def seed(*parts: object) -> bytes:
    """32 bytes that are the same in every run."""
    return sha256(repr(parts).encode()).digest()


@dataclass(frozen=True)
class Issued:
    """One licence with all that belongs to it; `index` is its place in the log."""

    compact: str
    code: str
    index: int
    opening: Opening
    secret: bytes
    idx: int
    face: licence.Face


@dataclass
class Issuer:
    """A region with two departments and two licence types; `quorum` of `watchers` witnesses."""

    watchers: int = 0
    quorum: int = 0
    now: dt.datetime = NOW
    receipt_rule: Any = "required"
    entries: list[bytes] = field(default_factory=list)
    values: dict[int, int] = field(default_factory=dict)
    seq: int = 1
    region: str = REGION
    base: str = BASE

    def __post_init__(self) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self.store = MemoryKeyStore()
        self.store.create("root", "ES256")
        start, end = NOW - dt.timedelta(days=400), NOW + dt.timedelta(days=20_000)
        root = self.store.signer("root")
        self.root = run(create_root(root, region=self.region, name="示例地区", not_before=start, not_after=end))
        self.pin = fingerprint(self.root)
        self._certify("list", service_subject(self.base, "list", "示例地区"))
        self._certify("status", service_subject(self.base, "status", "示例地区"))
        for department, organisation in ((MARKET, "示例市场监管部门"), (TRANSPORT, "示例交通运输部门")):
            for purpose in ("licence", "code"):
                subject = department_subject(self.base, department, organisation, purpose)
                self._certify(f"{department}/{purpose}", subject)
        self.log_keys = [self._log_key("log-ed25519", "Ed25519"), self._log_key("log-mldsa44", "ML-DSA-44")]
        self.witnesses = [self._witness(number) for number in range(self.watchers)]
        self.append("log.opened", "region", NO_DOCUMENT, NO_DOCUMENT, seed("log"), 0)

    @property
    def origin(self) -> str:
        """The name of the region's log."""
        return f"{self.base.removeprefix('https://')}/log"

    @property
    def list_uri(self) -> str:
        """Where the region's one status list lies."""
        return f"{self.base}/status-lists/1"

    def _certify(self, name: str, subject: LeafSubject) -> None:
        self.store.create(name, "ES256")
        request = read_request(self.store.request(name, subject))
        start, end = NOW - dt.timedelta(days=300), NOW + dt.timedelta(days=19_000)
        signer = self.store.signer("root")
        self.store.install(name, run(issue_leaf(signer, self.root, request, not_before=start, not_after=end)))

    def _log_key(self, name: str, suite: str) -> NoteKey:
        kind = KeyType.ED25519 if suite == "Ed25519" else KeyType.MLDSA44_COSIGNATURE
        return NoteKey(self.origin, kind, self.store.create(name, suite))

    def _witness(self, number: int) -> NoteKey:
        name = f"witness-{number}"
        return NoteKey(f"{name}.example", KeyType.ED25519_COSIGNATURE, self.store.create(name, "Ed25519"))

    def sign(self, name: str, message: bytes) -> bytes:
        """The signature of the key `name`."""
        return run(self.store.signer(name).sign([message]))[0]

    def certificate(self, name: str) -> bytes:
        """The DER certificate of the key `name`."""
        certificate = self.store.signer(name).certificate
        assert certificate is not None
        return certificate

    def public(self, name: str) -> PublicKey:
        """The public half of the key `name`."""
        return self.store.signer(name).public_key

    # --- the log -----------------------------------------------------------------------------------------------------

    def append(
        self, kind: str, by: str, jws: bytes, code: bytes, secret: bytes, number: int, at: dt.datetime | None = None
    ) -> tuple[int, Opening]:
        """Add one entry; gives its index and opening."""
        index = len(self.entries)
        salt, hrec = seed("salt", index), record_hash([seed("part", index)])
        leaf = entry.Leaf(
            kind,
            at or self.now,
            by,
            event_ref(secret, number),
            commit(doc_hash(salt, jws, code), hrec),
            merkle.leaf_hash(self.entries[-1]) if self.entries else entry.FIRST_PREV,
        )
        data = entry.encode(leaf)
        self.entries.append(data)
        return index, Opening(salt, jws, code, hrec, data)

    def position(self, size: int | None = None) -> Position:
        """The log at `size` entries, by default all."""
        size = len(self.entries) if size is None else size
        return Position(self.origin, size, merkle.root(merkle.leaf_hash(one) for one in self.entries[:size]))

    def checkpoint(self, size: int | None = None, cosigned: dt.datetime | None = None, by: int | None = None) -> str:
        """A signed checkpoint, cosigned at `cosigned` by `by` witnesses (all)."""
        place = self.position(size)
        names = ("log-ed25519", "log-mldsa44")
        signers: list[tuple[NoteKey, Callable[[bytes], bytes]]] = [
            (key, lambda data, name=name: self.sign(name, data))  # type: ignore[misc]
            for key, name in zip(self.log_keys, names, strict=True)
        ]
        text = sign_checkpoint(Checkpoint(self.origin, place.size, place.root), signers)
        seconds = int((cosigned or self.now).timestamp())
        lines = []
        for number, key in enumerate(self.witnesses[:by]):
            signature = self.sign(f"witness-{number}", message(key, note.parse_note(text).text, seconds))
            lines.append(note.signature_line(key, signature, seconds))
        return add_cosignatures(text, lines)

    def receipt(self, index: int, opening: Opening, size: int | None = None, checkpoint: str | None = None) -> str:
        """The receipt of entry `index` in the tree of `size` entries."""
        size = len(self.entries) if size is None else size
        hashes = [merkle.leaf_hash(one) for one in self.entries[:size]]

        def node(place: merkle.Node) -> bytes:
            width = 1 << place.level
            return merkle.root(hashes[place.number * width : (place.number + 1) * width])

        path = merkle.prove_inclusion(index, size, lambda places: [node(place) for place in places])
        return compose(opening, index, path, checkpoint or self.checkpoint(size))

    # --- documents ---------------------------------------------------------------------------------------------------

    def face(self, idx: int = 7, department: str = MARKET, **changes: Any) -> licence.Face:
        """What an example licence of `department` says, with some members changed."""
        code = FOOD if department == MARKET else DRIVER
        serial = f"2026{idx:06d}"
        holder = licence.Holder("organisation", "示例食品有限公司", "001", COMPANY, seed("holder", idx))
        fields = {"scope": "预包装食品销售", "premises": "示例路1号", "person_in_charge": "示例甲", "area_m2": 120}
        face = licence.Face(
            iss=f"{self.base}/d/{department}",
            vct=f"{self.base}/types/{code}/1",
            vct_integrity=INTEGRITY,
            iat=int(self.now.timestamp()),
            identifier=Identifier(code, department, serial, 1).text,
            version=1,
            region=self.region,
            issued_on=dt.date(2026, 11, 21),
            valid_from=dt.date(2026, 11, 21),
            valid_until=dt.date(2031, 11, 20),
            status_uri=self.list_uri,
            status_idx=idx,
            holders=(holder,),
            fields=fields,
            seed=seed("face", idx),
            number=f"JY1610000{idx:05d}",
            always_shown=frozenset({"scope"}),
        )
        return replace(face, **changes)

    def sign_licence(self, face: licence.Face, department: str = MARKET) -> tuple[licence.Unsigned, str]:
        """The unsigned licence and its compact form."""
        name = f"{department}/licence"
        unsigned = licence.build(face, header=licence.header_segment(self.certificate(name)))
        return unsigned, unsigned.compact(self.sign(name, unsigned.signing_input))

    def code_payload(self, face: licence.Face, department: str = MARKET, **changes: Any) -> codes.CodePayload:
        """What the printed code of `face` says."""
        first = face.holders[0]
        assert isinstance(first, licence.Holder)
        name, cut = codes.cut_name(first.name)
        number = 1 if department == MARKET else 2
        payload = codes.CodePayload(
            number, number, face.version, face.valid_from, face.valid_until, 1, face.status_idx,
            face.identifier.split(".")[-3], name, cut, len(face.holders) > 1,
        )  # fmt: skip
        return replace(payload, **changes)

    def sign_code(self, payload: codes.CodePayload, department: str = MARKET) -> tuple[bytes, str]:
        """The signed bytes and the text of a printed code."""
        name = f"{department}/code"
        kid = self.public(name).key_id[:8]
        structure = codes.sig_structure(payload, kid)
        return structure, codes.code_text(self.base, codes.build_code(payload, kid, self.sign(name, structure)))

    def issue(self, idx: int = 7, department: str = MARKET, kind: str = "licence.issued", **changes: Any) -> Issued:
        """Issue one licence with its code: sign both and log them."""
        face = self.face(idx, department, **changes)
        unsigned, compact = self.sign_licence(face, department)
        structure, text = self.sign_code(self.code_payload(face, department), department)
        secret = seed("secret", idx)
        digests = jws_digest(unsigned.signing_input), code_digest(structure)
        index, opening = self.append(kind, department, *digests, secret, 0)
        return Issued(compact, text, index, opening, secret, idx, face)

    def status_token(self, **changes: Any) -> str:
        """A signed status list of this moment with `values`."""
        packed = status_list.pack(changes.pop("values", self.values), SLOTS)
        parts: dict[str, Any] = {
            "uri": self.list_uri,
            "lst": status_list.compress(packed),
            "issued_at": self.now,
            "expires_at": self.now + dt.timedelta(days=2),
            "ttl": TTL_S,
            "as_of": status_list.AsOf(self.origin, len(self.entries)),
        }
        key = changes.pop("key", "status")
        header = status_list.header_segment(self.public(key).kid, self.certificate(key))
        signing_input = status_list.signing_input(header=header, **(parts | changes))
        return f"{signing_input.decode()}.{b64u_encode(self.sign(key, signing_input))}"

    def document(self, **changes: Any) -> TrustDocument:
        """What the region's trust list says at this moment, with some members changed."""
        start = Position.start(self.origin)
        keys = [
            TrustedKey("list", self.public("list"), start, None, sha256(self.certificate("list")).digest()),
            TrustedKey("status", self.public("status"), start, None, sha256(self.certificate("status")).digest()),
        ]
        for department in (MARKET, TRANSPORT):
            for purpose in ("licence", "code"):
                name = f"{department}/{purpose}"
                digest = sha256(self.certificate(name)).digest()
                keys.append(TrustedKey(purpose, self.public(name), start, department, digest))
        rule = self.receipt_rule
        document = TrustDocument(
            region=self.region,
            names=Names("示例地区", "Example region"),
            iss=self.base,
            seq=self.seq,
            prev=None,
            issued_at=self.now,
            next_update=self.now + dt.timedelta(hours=1),
            expires_at=self.now + dt.timedelta(days=30),
            logs=(
                TrustedLog(
                    self.origin,
                    tuple(key.to_text() for key in self.log_keys),
                    quorum=self.quorum,
                    witnesses=tuple(Witness(key.name, key.to_text(), self.base) for key in self.witnesses),
                ),
            ),
            departments=(
                Department(MARKET, 1, Names("示例市场监管部门", "Example market regulator"), f"{self.base}/d/{MARKET}"),
                Department(TRANSPORT, 2, Names("示例交通运输部门", "Example transport"), f"{self.base}/d/{TRANSPORT}"),
            ),
            keys=tuple(keys),
            grants=(
                TrustedGrant(MARKET, FOOD, 1, self.region, ("change", "issue"), start),
                TrustedGrant(TRANSPORT, DRIVER, 1, self.region, ("issue",), start),
            ),
            types=(
                TrustedType(1, FOOD, 1, f"{self.base}/types/{FOOD}/1", (INTEGRITY,), FOOD_NAMES, GRACE_S, rule),
                TrustedType(2, DRIVER, 1, f"{self.base}/types/{DRIVER}/1", (INTEGRITY,), DRIVER_NAMES, 600, rule),
            ),
            status_lists=(StatusListName(1, self.list_uri),),
        )
        return replace(document, **changes)

    def key_change(self, name: str, **changes: Any) -> tuple[TrustedKey, ...]:
        """The keys of the trust list with the row of the key `name` changed."""
        kid = self.public(name).kid
        keys = self.document().keys
        return tuple(replace(key, **changes) if key.public_key.kid == kid else key for key in keys)

    def trust_token(self, document: TrustDocument | None = None, key: str = "list") -> str:
        """The signed trust list of `document`."""
        header = trust_list.header_segment(self.public(key).kid, self.certificate(key), self.root)
        signing_input = trust_list.signing_input(document or self.document(), header=header)
        return f"{signing_input.decode()}.{b64u_encode(self.sign(key, signing_input))}"

    def trust(self, pin: bool = True, **changes: Any) -> TrustList:
        """The opened trust list, with members of its document changed."""
        root = self.pin if pin else None
        return open_trust_list(self.trust_token(self.document(**changes)), root_fingerprint=root, at=self.now)

    def status(self, trust: TrustList | None = None, **changes: Any) -> status_list.StatusList:
        """The opened status list."""
        return status_list.open_status_list(self.status_token(**changes), trust or self.trust())

    def bundle(self, issued: Issued, events: Sequence[str] = (), **changes: Any) -> bytes:
        """A bundle for `issued`."""
        bundle = bundles.Bundle(
            licence=issued.compact,
            code=issued.code,
            receipt=self.receipt(issued.index, issued.opening),
            secret=issued.secret,
            trust_list=self.trust_token(),
            status_list=self.status_token(),
            exported_at=self.now,
            events=tuple(events),
        )
        return bundles.format_bundle(replace(bundle, **changes))


def reason_of(read: Callable[[Any], object], data: Any) -> Reason | None:
    """The reason for which `read` refuses `data`, `None` where it accepts it; anything else that is raised is a bug."""
    try:
        read(data)
    except VerificationError as error:
        return error.reason
    return None


def derived_salt(key: bytes, path: bytes) -> bytes:
    """A disclosure salt as the licence format derives it, written a second time to compare."""
    return hmac.new(key, path, "sha256").digest()[:16]


def judge(presented: str | bytes, trust: TrustList | None, **inputs: Any) -> Verdict:
    """The verdict of `verify`, whether it returns or raises."""
    arguments: dict[str, Any] = {"at": NOW, "policy": Policy()} | inputs
    try:
        return verify(presented, trust=trust, **arguments).verdict
    except NotVerified as refused:
        return refused.verdict
