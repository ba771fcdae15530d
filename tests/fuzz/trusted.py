"""Targets for what a region signs about itself, and for the front door: each input is signed as the region would.

Keys are made anew in every run, so an input is either the payload, which is then signed, or a change of a good whole.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace
from functools import cache
from typing import Any

from keys.private_key import PrivateKey
from tests.fuzz.target import Target, json_bytes, json_of, same, spliced, text_of
from tests.verifiers import foreign_world as abroad
from tests.verifiers import log_world, test_kit, test_notice, test_region_list
from tests.verifiers.issuer import BASE, LIST_URI, MARKET, NOW, ORIGIN, judge
from verifiers import canonical, kit, notice, region_list, status_list, trust_list
from verifiers.checkpoint_cache import CheckpointCache
from verifiers.encoding import b64u_encode
from verifiers.errors import Reason, VerificationError
from verifiers.jws import encode_segment, parse_jws
from verifiers.policy import Policy
from verifiers.report import describe
from verifiers.trust_document import Position, Revocation, TrustedLog
from verifiers.trust_document import Witness as ListedWitness
from verifiers.trust_list import TrustDocument, TrustList
from verifiers.trusted_peers import Intervals, WitnessService

HOME = abroad.HOME
ANCHOR, SECOND = (PrivateKey.from_secret("ES256", bytes([n]) * 32) for n in (1, 2))
SPLICES = (b"", b"\x00\x10\x01\x01!", b"\xff\xf0\x01\x01A", b"\x00\x00\x01\x00", b"\x01\x00\x04\x04null")


def _home_token(signing_input: str, key: str) -> str:
    return f"{signing_input}.{b64u_encode(HOME.sign(key, signing_input.encode('ascii')))}"


# --- trust list ------------------------------------------------------------------------------------------------------


def _full_document() -> TrustDocument:
    """A trust list with every kind of row there is."""
    document: TrustDocument = abroad.usual_home().document
    witness = log_world.WITNESSES[0][0]
    service = WitnessService(witness.name, (witness.to_text(),), f"{BASE}/witness")
    watched = abroad.row(witnesses=abroad.witness_rule(1))
    place = Position(HOME.origin, 1, bytes(32))
    keys = HOME.key_change(f"{MARKET}/code", revoked=Revocation(NOW, "superseded", place))
    former = (BASE.replace("ledger", "former"),)
    intervals = Intervals(200, 60, 30)
    return replace(document, peers=(watched,), witness=service, former=former, keys=keys, intervals=intervals)


def _with_an_odd_row(section: str) -> bytes:
    """A trust list with a row in `section` that no quick reader takes."""
    document: dict[str, Any] = HOME.document().to_json()
    row = document[section][0]
    document[section][0] = row | {next(iter(row)): None}
    return canonical.encode(document)


def _trust(data: bytes) -> None:
    header = trust_list.header_segment(HOME.public("list").kid, HOME.certificate("list"), HOME.root)
    token = _home_token(f"{header}.{b64u_encode(data)}", "list")
    with suppress(VerificationError):
        opened = trust_list.open_trust_list(token, root_fingerprint=HOME.pin, at=NOW)
        same(canonical.encode(opened.document.to_json()), canonical.encode(json_of(data)))
        _look_up(opened)


def _look_up(trust: TrustList) -> None:
    """Ask it everything a verifier asks: what was read must also be usable."""
    for log in trust.document.logs:
        trust.log_policy(log.origin)
    for row in trust.document.equivalences:
        trust.equivalences_of(row.peer, row.their_type, row.their_major)
    judge(abroad.OURS.compact, trust, status=[], policy=Policy(root=HOME.pin))
    judge(abroad.GOOD.compact, trust, status=[], policy=Policy(root=HOME.pin), peers=[abroad.view()])


def _trust_token(data: bytes) -> None:
    token = text_of(spliced(_usual_token(), data))
    with suppress(VerificationError):
        trust_list.open_trust_list(token, root_fingerprint=None, at=NOW)
    trust_list.claimed_root(token)
    with suppress(VerificationError):
        trust_list.signing_kid(token)


@cache
def _usual_token() -> bytes:
    return HOME.trust_token().encode("ascii")


# --- status list -----------------------------------------------------------------------------------------------------


@cache
def _home_trust() -> TrustList:
    trust: TrustList = HOME.trust()
    return trust


def _status(data: bytes) -> None:
    header = status_list.header_segment(HOME.public("status").kid, HOME.certificate("status"))
    token = _home_token(f"{header}.{b64u_encode(data)}", "status")
    with suppress(VerificationError):
        _ask(status_list.open_status_list(token, _home_trust()))
    with suppress(VerificationError):
        jws = parse_jws(token, typ=status_list.TYP, reason=Reason.STATUS, limit=status_list.LENGTH_MAX)
        _ask(status_list.read_status_list(jws))


def _ask(found: status_list.StatusList) -> None:
    for idx in (0, 7, len(found) - 1, len(found), -1, 2**53 - 1):
        with suppress(VerificationError):
            same(0 <= found.get(idx) < 1 << found.bits, True)
    judge(abroad.OURS.compact, _home_trust(), status=[found], policy=Policy(root=HOME.pin))


def _inflate(data: bytes) -> None:
    for text in (text_of(data), b64u_encode(data)):
        with suppress(VerificationError):
            packed = status_list.inflate(text)
            same(status_list.inflate(status_list.compress(packed)), packed)


def _status_seeds() -> Iterable[bytes]:
    lst = status_list.compress(status_list.pack({7: 1, 9: 2}, 4096))
    usual = {
        "as_of": {"origin": ORIGIN, "size": 4},
        "exp": int(NOW.timestamp()) + 900,
        "iat": int(NOW.timestamp()),
        "status_list": {"bits": 2, "lst": lst},
        "sub": LIST_URI,
        "ttl": 30,
    }
    yield json_bytes(usual)
    yield json_bytes({"iat": 0, "status_list": {"bits": 8, "lst": lst, "aggregation_uri": "x"}, "sub": LIST_URI})


# --- checkpoints under a trust list ----------------------------------------------------------------------------------


@cache
def _watched_trust() -> TrustList:
    keys = tuple(key.to_text() for key, _ in log_world.LOG_KEYS)
    watchers = tuple(ListedWitness(key.name, key.to_text(), BASE) for key, _ in log_world.WITNESSES)
    logs = (*HOME.document().logs, TrustedLog(log_world.ORIGIN, keys, quorum=2, witnesses=watchers))
    trust: TrustList = HOME.trust(logs=logs)
    return trust


def _cached_checkpoint(data: bytes) -> None:
    cache_of_one = CheckpointCache(1)
    for _ in range(2):  # the second time from the cache
        with suppress(VerificationError):
            cache_of_one.open(text_of(data), _watched_trust())


# --- kit, list of regions, notice ------------------------------------------------------------------------------------


def _kit(data: bytes) -> None:
    _opened(spliced(test_kit.KIT, data))


def _manifest(data: bytes) -> None:
    """The payload of a manifest, signed, with the usual parts under it and, named `parts`, changes of them."""
    header = b64u_encode(canonical.encode({"alg": "ES256", "kid": HOME.public("statement").kid, "typ": kit.TYP}))
    _opened(kit.format_kit(_home_token(f"{header}.{b64u_encode(data)}", "statement"), test_kit.PARTS))


def _parts(data: bytes) -> None:
    """A change of one part, which the first byte chooses, in a kit whose manifest names what is there."""
    names = sorted(test_kit.PARTS)
    name = names[data[0] % len(names)] if data else names[0]
    with suppress(ValueError):
        changed = spliced(test_kit.PARTS[name].encode(), data[1:]).decode()
        _opened(test_kit.kit_of(test_kit.PARTS | {name: changed}))


def _opened(data: bytes) -> None:
    with suppress(VerificationError):
        found = kit.open_kit(data, HOME.pin, NOW)
        test_kit.judged(found)


def _region_list(data: bytes) -> None:
    header = canonical.encode(
        {"alg": "ES256", "jwk": ANCHOR.public_key.jwk(), "kid": ANCHOR.public_key.kid, "typ": region_list.TYP}
    )
    signing_input = f"{b64u_encode(header)}.{b64u_encode(data)}".encode("ascii")
    line = region_list.finish(signing_input, ANCHOR.sign(signing_input))
    with suppress(VerificationError):
        region_list.read_draft(line)
    to_sign = region_list.countersigning_input(line, SECOND.public_key)
    text = region_list.format_region_list(line, region_list.finish(to_sign, SECOND.sign(to_sign)))
    with suppress(VerificationError):
        found = test_region_list.opened(text)
        same(canonical.encode(found.to_json()), data)
        found.find("610000")


def _region_list_text(data: bytes) -> None:
    text = text_of(spliced(test_region_list.signed().encode(), data))
    with suppress(VerificationError):
        test_region_list.opened(text)
    with suppress(VerificationError):
        region_list.read_draft(text.partition("\n")[0])


def _notice(data: bytes) -> None:
    header = encode_segment({"alg": "ES256", "kid": test_notice.PUBLIC.kid, "typ": notice.TYP})
    with suppress(VerificationError):
        test_notice.opened(test_notice.sign(f"{header}.{b64u_encode(data)}".encode("ascii")))


# --- the front door --------------------------------------------------------------------------------------------------


@cache
def _presentable() -> tuple[bytes, ...]:
    """What people present to us: of our region and of another, by itself and bundled."""
    ours, theirs = abroad.OURS, abroad.GOOD
    return (
        ours.compact.encode(),
        ours.code.encode(),
        HOME.bundle(ours),
        HOME.receipt(ours.index, ours.opening).encode(),
        theirs.compact.encode(),
        theirs.code.encode(),
        abroad.ABROAD.bundle(theirs),
    )


def _verify(data: bytes) -> None:
    """A change of something presentable, which the first byte chooses; of 255, the bytes as they are."""
    choice, script = (data[0], data[1:]) if data else (0, b"")
    whole = _presentable()
    presented = script if choice == 255 else spliced(whole[choice % len(whole)], script)
    verdict = judge(
        presented,
        abroad.usual_home(),
        status=[_home_status(), _their_status()],
        peers=[abroad.view()],
        policy=Policy(root=HOME.pin),
    )
    describe(verdict)
    describe(judge(presented, None, policy=Policy(root=HOME.pin)))


def _verify_receipt(data: bytes) -> None:
    """A change of the receipt that comes with a good licence."""
    ours = abroad.OURS
    text = text_of(spliced(_presentable()[3], data))
    judge(ours.compact, _home_trust(), status=[_home_status()], receipt=text, policy=Policy(root=HOME.pin))


@cache
def _home_status() -> Any:
    return HOME.status(_home_trust())


@cache
def _their_status() -> Any:
    return abroad.ABROAD.status(abroad.usual_abroad())


def _verify_seeds() -> Iterable[bytes]:
    for choice in range(len(_presentable())):
        for script in SPLICES[:3]:
            yield bytes((choice,)) + script
    yield b"\xff{}"
    yield b"\xff~"


TARGETS = (
    Target(
        "trust_list",
        (
            "verifiers.trust_list.open_trust_list",
            "verifiers.trust_list.TrustDocument.read",
            *(
                f"verifiers.trust_document.{name}.read"
                for name in (
                    "Names",
                    "Position",
                    "Witness",
                    "TrustedLog",
                    "Department",
                    "Revocation",
                    "TrustedKey",
                    "TrustedGrant",
                    "TrustedType",
                    "StatusListName",
                )
            ),
            *(
                f"verifiers.trusted_peers.{name}.read"
                for name in (
                    "WitnessRule",
                    "WitnessService",
                    "Intervals",
                    "TrustedPeer",
                    "RuleName",
                    "TrustedEquivalence",
                    "TrustedRule",
                )
            ),
        ),
        _trust,
        lambda: (
            canonical.encode(_full_document().to_json()),
            canonical.encode(HOME.document().to_json()),
            *map(_with_an_odd_row, ("departments", "keys", "grants", "types", "status_lists")),
        ),
        16_384,
        weight=4,
    ),
    Target(
        "trust_list.token",
        ("verifiers.trust_list.claimed_root", "verifiers.trust_list.signing_kid"),
        _trust_token,
        lambda: SPLICES,
    ),
    Target(
        "status_list",
        ("verifiers.status_list.open_status_list", "verifiers.status_list.read_status_list"),
        _status,
        _status_seeds,
    ),
    Target(
        "status_list.inflate",
        ("verifiers.status_list.inflate",),
        _inflate,
        lambda: (status_list.compress(bytes(8)).encode(), status_list.compress(b"\x01" * 90).encode()),
    ),
    Target(
        "checkpoint_cache",
        ("verifiers.checkpoint_cache.CheckpointCache.open",),
        _cached_checkpoint,
        lambda: (log_world.sign(log_world.Log.of(3).head, witnesses=log_world.WITNESSES).encode(),),
        16_384,
        weight=4,
    ),
    Target("kit", ("verifiers.kit.open_kit",), _kit, lambda: SPLICES, weight=10),
    Target(
        "kit.manifest",
        ("verifiers.kit.Manifest.read", "verifiers.kit.KitPart.read", "verifiers.kit.KitRegion.read"),
        _manifest,
        lambda: (canonical.encode(test_kit.manifest(test_kit.PARTS).to_json()),),
    ),
    Target(
        "kit.parts",
        ("verifiers.kit.open_kit",),
        _parts,
        lambda: [bytes((n,)) + SPLICES[n % 5] for n in range(6)],
        weight=10,
    ),
    Target(
        "region_list",
        (
            "verifiers.region_list.open_region_list",
            "verifiers.region_list.read_draft",
            "verifiers.region_list.RegionList.read",
            "verifiers.region_list.ListedRegion.read",
        ),
        _region_list,
        lambda: (canonical.encode(test_region_list.DOCUMENT.to_json()),),
    ),
    Target("region_list.text", ("verifiers.region_list.open_region_list",), _region_list_text, lambda: SPLICES),
    Target(
        "notice",
        ("verifiers.notice.open_notice", "verifiers.notice.Notice.read", "verifiers.notice.NamedLicence.read"),
        _notice,
        lambda: (canonical.encode(test_notice.NOTICE.to_json()),),
    ),
    Target("verify", ("verifiers.verification.verify",), _verify, _verify_seeds, weight=6),
    Target("verify.receipt", ("verifiers.verification.verify",), _verify_receipt, lambda: SPLICES, weight=4),
)
