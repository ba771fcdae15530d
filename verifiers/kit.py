"""The offline kit: one signed file from which a window without network checks licences of its own and other regions.

    {"manifest": <compact JWS>, "parts": {<name>: <text>, …}, "v": 1}

canonical JSON. The manifest (`typ: elicence-kit+jwt`, signed by the region's statement key) lists every part with its
hash. Nothing is believed because it is inside: the region's own trust list counts under the pinned root, the manifest
under that list, each peer's list under the root that list names for it, status lists and checkpoints under the list of
their region. See docs/formats/kit.md.
"""

import datetime as dt
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, Final

from keys.errors import BadSignature
from keys.public_key import PublicKey
from verifiers import canonical
from verifiers.checkpoint import SignedCheckpoint
from verifiers.checkpoint_cache import CheckpointCache
from verifiers.encoding import b64u_encode
from verifiers.errors import Malformed, Reason, SignatureFailed, VerificationError
from verifiers.jws import parse_jws
from verifiers.legal_dates import format_time
from verifiers.members import Members
from verifiers.peer_view import PeerView, Watch
from verifiers.policy import Seen
from verifiers.status_list import StatusList, open_status_list
from verifiers.trust_document import REGION, TYPE_CODE
from verifiers.trust_list import TrustList, open_trust_list

TYP: Final = "elicence-kit+jwt"
LENGTH_MAX: Final = 268_435_456
"""Longest kit in bytes: thirty-four regions with a trust list of four million characters each, and their status lists,
which compress to some hundred thousand a million licences."""
PARTS_MAX: Final = 4096
"""Most parts: a trust list, a checkpoint and a hundred status lists of each of forty regions."""
MANIFEST_MAX: Final = 2_097_152
"""Longest manifest in characters: a part takes about two hundred."""
REGIONS_MAX: Final = 64
TYPES_MAX: Final = 1024

_NAME = re.compile(r"trust-list/[0-9]{6}|(?:status-list|checkpoint)/[0-9]{6}/(?:0|[1-9][0-9]{0,4})")
_SOURCE: Final = "kit"


@dataclass(frozen=True, slots=True)
class KitPart:
    """One part as the manifest names it: SHA-256 and length in bytes of its text in UTF-8."""

    name: str
    sha256: bytes
    size: int

    @classmethod
    def of(cls, name: str, text: str) -> "KitPart":
        """The row for the part `name` with this text."""
        data = text.encode("utf-8", "surrogatepass")
        return cls(name, sha256(data).digest(), len(data))

    def to_json(self) -> dict[str, Any]:
        """The JSON form."""
        return {"name": self.name, "sha256": b64u_encode(self.sha256), "size": self.size}

    @classmethod
    def read(cls, members: Members) -> "KitPart":
        """The row in `members`."""
        return cls(members.text("name", _NAME), members.octets("sha256", 32), members.integer("size"))


@dataclass(frozen=True, slots=True)
class KitRegion:
    """What whoever made the kit had found of a peer's log at `checked_at`; `logged` as in `PeerView`."""

    region: str
    watch: Watch
    checked_at: dt.datetime | None = None
    logged: bool | None = None

    def to_json(self) -> dict[str, Any]:
        """The JSON form."""
        return {
            "checked_at": None if self.checked_at is None else format_time(self.checked_at),
            "logged": self.logged,
            "region": self.region,
            "watch": str(self.watch),
        }

    @classmethod
    def read(cls, members: Members) -> "KitRegion":
        """The row in `members`."""
        return cls(
            members.text("region", REGION),
            Watch(members.one_of("watch", frozenset(Watch))),
            members.nullable("checked_at", members.time),
            members.nullable("logged", lambda name: members.take(name, bool)),
        )


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a kit holds: `version` rises with every kit of the region, `types` say what it was made for (empty: all)."""

    region: str
    version: int
    made_at: dt.datetime
    trust_seq: int
    regions: tuple[KitRegion, ...]
    types: tuple[str, ...]
    parts: tuple[KitPart, ...]

    def to_json(self) -> dict[str, Any]:
        """The payload, every list in its one order."""
        return {
            "made_at": format_time(self.made_at),
            "parts": [row.to_json() for row in sorted(self.parts, key=lambda row: row.name)],
            "region": self.region,
            "regions": [row.to_json() for row in sorted(self.regions, key=lambda row: row.region)],
            "trust_seq": self.trust_seq,
            "types": sorted(self.types),
            "v": 1,
            "version": self.version,
        }

    @classmethod
    def read(cls, members: Members) -> "Manifest":
        """The manifest in `members`. Raises `Malformed` with `kit.malformed`."""
        members.integer("v", 1, 1)
        manifest = cls(
            region=members.text("region", REGION),
            version=members.integer("version", 1),
            made_at=members.time("made_at"),
            trust_seq=members.integer("trust_seq", 1),
            regions=members.objects("regions", KitRegion.read, REGIONS_MAX),
            types=members.texts("types", TYPES_MAX),
            parts=members.objects("parts", KitPart.read, PARTS_MAX),
        )
        members.done()
        if not all(TYPE_CODE.fullmatch(code) for code in manifest.types):
            raise Malformed(Reason.KIT, "a type code of the wrong form")
        return manifest


@dataclass(frozen=True, slots=True)
class Kit:
    """A kit whose manifest holds; every part in it was opened under the root or list that it belongs to.

    `faults` names the parts of other regions that did not open: what they were for counts as missing.
    """

    manifest: Manifest
    trust: TrustList
    peers: tuple[PeerView, ...]
    status: tuple[StatusList, ...]
    checkpoints: tuple[SignedCheckpoint, ...]
    faults: tuple[tuple[str, VerificationError], ...] = field(default=(), repr=False)

    @property
    def made_at(self) -> dt.datetime:
        """When the region made it."""
        return self.manifest.made_at


def signing_input(manifest: Manifest, kid: str) -> bytes:
    """The bytes the region's statement key `kid` signs for `manifest`."""
    header = canonical.encode({"alg": "ES256", "kid": kid, "typ": TYP})
    return f"{b64u_encode(header)}.{b64u_encode(canonical.encode(manifest.to_json()))}".encode("ascii")


def format_kit(manifest: str, parts: Mapping[str, str]) -> bytes:
    """The canonical JSON of a kit with the compact `manifest` and the texts of its parts by name."""
    return canonical.encode({"manifest": manifest, "parts": dict(parts), "v": 1})


def open_kit(data: bytes, root_fingerprint: str, at: dt.datetime, *, seen: Seen | None = None) -> Kit:
    """The kit in `data`, for a verifier who pinned the root with this fingerprint; one line feed at its end is dropped.

    Age is judged in `verify`, by each licence type's grace. Raises `VerificationError`: `kit.malformed`, `token.type`,
    `kit.mismatch` where parts and manifest differ, `kit.signature`, `kit.rollback` for a kit older than one in `seen`,
    whatever `open_trust_list` raises for the region's own list (`trust.rollback` for one older than in `seen`), and
    what an own status list or checkpoint is refused for. Faults in the parts of a peer only make that peer unknown.
    """
    text, parts = _document(data)
    jws = parse_jws(text, typ=TYP, reason=Reason.KIT, limit=MANIFEST_MAX)
    manifest = Manifest.read(Members(jws.payload, Reason.KIT))
    if manifest.to_json() != jws.payload:
        raise Malformed(Reason.KIT, "a list of the manifest is not in its order")
    _check_parts(manifest, parts)
    own = f"trust-list/{manifest.region}"
    if own not in parts:
        raise VerificationError(Reason.KIT_MISMATCH, "no trust list of the region that made it", "kit")
    seen = seen or Seen()
    seq = seen.highest(manifest.region, root_fingerprint)
    trust = open_trust_list(parts[own], root_fingerprint=root_fingerprint, at=at, seen_seq=seq, source=_SOURCE)
    if (trust.region, trust.document.seq) != (manifest.region, manifest.trust_seq):
        raise VerificationError(Reason.KIT_MISMATCH, "the trust list is not the one the manifest names", "kit")
    try:
        _signing_key(trust, jws.header).check(jws.signing_input, jws.signature)
    except BadSignature:
        raise SignatureFailed(Reason.KIT_SIGNATURE, "the signature does not fit", "kit") from None
    used = seen.kits.get(f"{manifest.region}/{root_fingerprint}", 0)
    if manifest.version < used:
        detail = f"kit {manifest.version} after kit {used} had been used"
        raise VerificationError(Reason.KIT_ROLLBACK, detail, "kit")
    return _Opening(manifest, parts, trust, at).kit()


def _document(data: bytes) -> tuple[str, dict[str, str]]:
    try:
        document: Any = canonical.decode(data.removesuffix(b"\n"), LENGTH_MAX)
    except Malformed as error:
        raise Malformed(Reason.KIT, error.detail) from None
    members = Members(document, Reason.KIT)
    members.integer("v", 1, 1)
    manifest, parts = members.text("manifest"), members.take("parts", dict)
    members.done()
    if len(parts) > PARTS_MAX or any(type(text) is not str for text in parts.values()):
        raise Malformed(Reason.KIT, f"parts are not at most {PARTS_MAX} texts")
    return manifest, parts


def _check_parts(manifest: Manifest, parts: Mapping[str, str]) -> None:
    """Exactly the parts of the manifest are there, each once, byte for byte."""
    names = [row.name for row in manifest.parts]
    if len(set(names)) != len(names) or set(names) != parts.keys():
        raise VerificationError(Reason.KIT_MISMATCH, "a part is missing, unlisted or listed twice", "kit")
    for row in manifest.parts:
        if KitPart.of(row.name, parts[row.name]) != row:
            raise VerificationError(Reason.KIT_MISMATCH, f"{row.name} is not the part that was listed", "kit")
    regions = [row.region for row in manifest.regions]
    expected = {manifest.region, *regions}
    if len(expected) != len(regions) + 1 or not {name.split("/")[1] for name in names} <= expected:
        raise VerificationError(Reason.KIT_MISMATCH, "a region is missing, unlisted or listed twice", "kit")


def _signing_key(trust: TrustList, header: Mapping[str, Any]) -> PublicKey:
    """The region's own statement key that the header names, if it signs still."""
    kid = header.get("kid")
    key = trust.key(kid) if type(kid) is str else None
    if key is None or key.purpose != "statement" or key.department is not None:
        raise SignatureFailed(Reason.KIT_SIGNATURE, "not signed by the region's statement key", "kit")
    if key.revoked is not None or key.log_to is not None:
        raise SignatureFailed(Reason.KIT_SIGNATURE, "signed by a key that signs no more", "kit")
    return key.public_key


class _Opening:
    """One kit while its parts are opened, region after region."""

    __slots__ = ("_at", "_cache", "_manifest", "_parts", "_trust", "checkpoints", "faults", "status")

    def __init__(self, manifest: Manifest, parts: Mapping[str, str], trust: TrustList, at: dt.datetime) -> None:
        self._manifest, self._parts, self._trust, self._at = manifest, parts, trust, at
        self._cache = CheckpointCache(0)
        self.status: list[StatusList] = []
        self.checkpoints: list[SignedCheckpoint] = []
        self.faults: list[tuple[str, VerificationError]] = []

    def kit(self) -> Kit:
        """Open everything, the region's own parts first. Raises where one of those does not hold."""
        self._evidence(self._trust, own=True)
        views = [self._peer(row) for row in self._manifest.regions]
        peers = tuple(view for view in views if view is not None)
        return Kit(self._manifest, self._trust, peers, tuple(self.status), tuple(self.checkpoints), tuple(self.faults))

    def _peer(self, row: KitRegion) -> PeerView | None:
        name, admitted = f"trust-list/{row.region}", self._trust.peer(row.region)
        try:
            if admitted is None:
                raise VerificationError(Reason.PEER_UNKNOWN, "the region's own list does not name it", "kit")
            if name not in self._parts:
                raise VerificationError(Reason.PEER_LIST_MISSING, "no trust list of it in the kit", "kit")
            source = f"{_SOURCE}, {row.region}"
            trust = open_trust_list(self._parts[name], root_fingerprint=admitted.root, at=self._at, source=source)
            if trust.region != row.region:
                raise VerificationError(Reason.KIT_MISMATCH, f"{name} is of {trust.region}", "kit")
        except VerificationError as error:
            self.faults.append((name, error))
            return None
        self._evidence(trust, own=False)
        # Nobody asks the peer any more: what was well then is merely unwatched now, what was wrong stays so.
        watch = Watch.UNWATCHED if row.watch is Watch.FOLLOWED else row.watch
        return PeerView(trust, watch, row.checked_at, logged=row.logged)

    def _evidence(self, trust: TrustList, *, own: bool) -> None:
        """Open status lists and checkpoints of the region of `trust` under it."""
        row = None if own else self._trust.peer(trust.region)
        for name in sorted(self._parts):
            kind, region, *_ = name.split("/")
            if region != trust.region or kind == "trust-list":
                continue
            try:
                if kind == "status-list":
                    self.status.append(open_status_list(self._parts[name], trust, trust.source))
                else:
                    demanded = None if row is None else row.witnesses
                    self.checkpoints.append(self._cache.open(self._parts[name], trust, demanded))
            except VerificationError as error:
                if own:
                    raise
                self.faults.append((name, error))
