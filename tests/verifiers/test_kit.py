"""The offline kit: what is in it counts as far as its own signatures reach, and not because it is in it."""

import datetime as dt
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.verifiers.foreign_world import (
    ABROAD,
    GOOD,
    HOME,
    OUR_FOOD,
    OURS,
    PINNED,
    STRANGER,
    home_trust,
    row,
    usual_abroad,
)
from tests.verifiers.issuer import FOOD, NOW, judge
from verifiers import canonical
from verifiers.__main__ import main
from verifiers.encoding import b64u_decode, b64u_encode
from verifiers.errors import Reason, VerificationError
from verifiers.grace import grace_table
from verifiers.jws import compact
from verifiers.kit import (
    LENGTH_MAX,
    PARTS_MAX,
    TYP,
    Kit,
    KitPart,
    KitRegion,
    Manifest,
    format_kit,
    open_kit,
    signing_input,
)
from verifiers.peer_view import Watch
from verifiers.policy import Policy, Seen
from verifiers.trust_document import Position, Revocation, TrustedKey
from verifiers.trust_list import TrustDocument
from verifiers.trusted_peers import Intervals
from verifiers.verdict import Outcome, Verdict

HOME.store.create("statement", "ES256")
HOME.store.create("stranger", "ES256")
STATEMENT = TrustedKey("statement", HOME.public("statement"), Position.start(HOME.origin))
HERE, THERE = HOME.region, ABROAD.region
FOLLOWED = KitRegion(THERE, Watch.FOLLOWED, NOW, True)


def own_list(**changes: Any) -> str:
    """Our trust list, which recognises the other region and names the key that signs kits."""
    keys = (*HOME.document().keys, changes.pop("signer", STATEMENT))
    document: TrustDocument = home_trust().document
    return HOME.trust_token(replace(document, **({"keys": keys} | changes)))


def their_list(**changes: Any) -> str:
    """The other region's trust list."""
    return ABROAD.trust_token(ABROAD.document(**({"intervals": Intervals(200, 60, 30)} | changes)))


def usual_parts() -> dict[str, str]:
    """Everything a kit for two regions holds."""
    return {
        f"trust-list/{HERE}": own_list(),
        f"trust-list/{THERE}": their_list(),
        f"status-list/{HERE}/0": HOME.status_token(),
        f"status-list/{THERE}/0": ABROAD.status_token(),
        f"checkpoint/{HERE}/0": HOME.checkpoint(),
        f"checkpoint/{THERE}/0": ABROAD.checkpoint(),
    }


PARTS = usual_parts()


def manifest(parts: dict[str, str], **changes: Any) -> Manifest:
    """The manifest of these parts."""
    usual = Manifest(
        region=HERE,
        version=int(NOW.timestamp()),
        made_at=NOW,
        trust_seq=HOME.seq,
        regions=(FOLLOWED,),
        types=(),
        parts=tuple(KitPart.of(name, text) for name, text in parts.items()),
    )
    return replace(usual, **changes)


def signed(said: Manifest, key: str = "statement") -> str:
    """The manifest as a token."""
    to_sign = signing_input(said, HOME.public(key).kid)
    return compact(to_sign, HOME.sign(key, to_sign))


def kit_of(parts: dict[str, str] | None = None, key: str = "statement", **changes: Any) -> bytes:
    """A kit that is signed over just these parts."""
    parts = PARTS if parts is None else parts
    return format_kit(signed(manifest(parts, **changes), key), parts)


def opened(data: bytes, **more: Any) -> Kit:
    """Open a kit under the pinned root."""
    return open_kit(data, HOME.pin, more.pop("at", NOW), **more)


def reason(data: bytes, **more: Any) -> Reason:
    """Say why a kit is refused."""
    with pytest.raises(VerificationError) as refused:
        opened(data, **more)
    return refused.value.reason


def judged(kit: Kit, presented: str = GOOD.compact, at: dt.datetime = NOW, **more: Any) -> Verdict:
    """The verdict with nothing but a kit and a receipt."""
    receipt = ABROAD.receipt(GOOD.index, GOOD.opening)
    given = {"status": kit.status, "peers": kit.peers, "receipt": receipt, "policy": PINNED, "at": at}
    return judge(presented, kit.trust, **(given | more))


KIT = kit_of()


def test_a_kit_is_all_a_window_without_network_needs() -> None:
    """Licences of our own and of a recognised region, receipts at hand; and who made it, when, and of what."""
    kit = opened(KIT)

    assert judged(kit).outcome is Outcome.VALID
    ours = judged(kit, OURS.compact, receipt=HOME.receipt(OURS.index, OURS.opening))
    assert ours.outcome is Outcome.VALID
    assert (kit.made_at, kit.trust.region, kit.faults) == (NOW, HERE, ())
    assert {checkpoint.origin for checkpoint in kit.checkpoints} == {HOME.origin, ABROAD.origin}
    [view] = kit.peers
    assert (view.watch, view.checked_at, view.logged) == (Watch.UNWATCHED, NOW, True)


def test_a_revocation_before_the_kit_shows() -> None:
    """The lists inside say what they said when it was made."""
    parts = PARTS | {f"status-list/{THERE}/0": ABROAD.status_token(values={7: 1})}

    assert Reason.REVOKED in judged(opened(kit_of(parts))).reasons


def test_age_is_the_grace_of_the_type_and_then_nobody_knows() -> None:
    """The shorter of their grace and ours; after it `undetermined`, never `valid` and never `invalid`."""
    kit = opened(KIT)
    [until] = [each.until for each in grace_table(kit.trust, kit.peers, kit.status, NOW) if each.region == THERE]
    assert until is not None

    assert judged(kit, at=until).outcome is Outcome.VALID
    late = judged(kit, at=until + dt.timedelta(seconds=1))
    assert (late.outcome, late.reasons) == (Outcome.UNDETERMINED, (Reason.STATUS_STALE,))


def test_the_grace_table_says_what_verdicts_will_say() -> None:
    """One row a type of ours, one for each type of theirs that counts here; narrowed to the types asked for."""
    kit = opened(KIT)
    rows = grace_table(kit.trust, kit.peers, kit.status, NOW)

    theirs = [each for each in rows if each.region == THERE]
    assert [(each.type, each.counts_as) for each in theirs] == [(FOOD, (OUR_FOOD, 1))]
    assert {each.type for each in rows if each.region == HERE} == {kind.code for kind in kit.trust.document.types}
    assert all(each.good(NOW) and each.age_s == 0 for each in rows)
    assert {each.region for each in grace_table(kit.trust, kit.peers, kit.status, NOW, [OUR_FOOD])} == {HERE, THERE}
    assert grace_table(kit.trust, kit.peers, (), NOW)[0].until is None
    suspended = opened(kit_of(PARTS | {f"trust-list/{HERE}": own_list(peers=(row(status="suspended"),))}))
    assert {each.region for each in grace_table(suspended.trust, suspended.peers, suspended.status, NOW)} == {HERE}


@pytest.mark.parametrize("name", sorted(PARTS))
def test_a_part_that_was_exchanged_is_noticed(name: str) -> None:
    """Whoever replaces a part has to sign the manifest; a part left out or added is noticed as well."""
    document = json.loads(KIT)
    text = document["parts"][name]
    for changed in (
        {name: text[:-2] + ("AA" if text[-2:] != "AA" else "BB")},
        {name: text + " "},
        {f"status-list/{THERE}/9": text},
    ):
        assert reason(canonical.encode(document | {"parts": document["parts"] | changed})) is Reason.KIT_MISMATCH
    rest = {each: value for each, value in document["parts"].items() if each != name}
    assert reason(canonical.encode(document | {"parts": rest})) is Reason.KIT_MISMATCH


def test_only_the_regions_statement_key_signs_kits() -> None:
    """Not its other keys, not a key nobody names, not one that has ended or fell."""
    assert reason(kit_of(key="list")) is Reason.KIT_SIGNATURE
    assert reason(kit_of(key="stranger")) is Reason.KIT_SIGNATURE
    ended = replace(STATEMENT, log_to=HOME.position())
    fell = replace(STATEMENT, revoked=Revocation(NOW, "compromised"))
    of_a_department = replace(STATEMENT, department=HOME.document().departments[0].id)
    for signer in (ended, fell, of_a_department):
        assert reason(kit_of(PARTS | {f"trust-list/{HERE}": own_list(signer=signer)})) is Reason.KIT_SIGNATURE


def test_a_changed_manifest_is_not_signed() -> None:
    """Nothing in it can be turned: not the version, not when it was made, not what was found of a peer."""
    head, _, tail = signed(manifest(PARTS)).split(".")
    payload = manifest(PARTS).to_json()
    for changed in (
        {"version": payload["version"] + 1},
        {"made_at": "2026-11-22T08:00:00Z"},
        {"types": [FOOD]},
        {"regions": [KitRegion(THERE, Watch.FOLLOWED, None, None).to_json()]},
    ):
        body = b64u_encode(canonical.encode(payload | changed))
        assert reason(format_kit(f"{head}.{body}.{tail}", PARTS)) is Reason.KIT_SIGNATURE


def test_the_pinned_root_decides_and_nothing_inside() -> None:
    """A kit of another region is another region's, however well it is made."""
    with pytest.raises(VerificationError) as refused:
        open_kit(KIT, STRANGER.pin, NOW)

    assert refused.value.reason is Reason.ROOT_MISMATCH


def test_the_manifest_names_the_trust_list_that_is_inside() -> None:
    """A kit of one list cannot be made to carry an older or newer one."""
    assert reason(kit_of(trust_seq=HOME.seq + 1)) is Reason.KIT_MISMATCH
    assert reason(kit_of({name: PARTS[name] for name in PARTS if name != f"trust-list/{HERE}"})) is Reason.KIT_MISMATCH


def test_an_older_kit_than_one_used_is_refused() -> None:
    """Version and trust list only rise for one verifier; what was seen is kept between runs."""
    kit = opened(KIT)
    seen = Seen().with_kit(HERE, HOME.pin, kit.manifest.version)
    seen = Seen.from_json(seen.to_json())

    assert opened(KIT, seen=seen).made_at == NOW
    assert reason(kit_of(version=kit.manifest.version - 1), seen=seen) is Reason.KIT_ROLLBACK
    newer = Seen().with_trust(HERE, HOME.pin, HOME.seq + 1)
    assert reason(KIT, seen=newer) is Reason.TRUST_ROLLBACK
    assert opened(KIT, seen=Seen().with_kit("620000", HOME.pin, kit.manifest.version + 9)).made_at == NOW


def test_a_peers_list_counts_only_under_the_root_that_ours_names() -> None:
    """A stranger's list under a peer's name leaves that peer unknown, and our own licences as good as ever."""
    forged = STRANGER.trust_token(STRANGER.document(region=THERE))
    kit = opened(kit_of(PARTS | {f"trust-list/{THERE}": forged}))

    assert (kit.peers, [name for name, _ in kit.faults]) == ((), [f"trust-list/{THERE}"])
    assert judged(kit).outcome is Outcome.UNDETERMINED
    assert judged(kit).reasons == (Reason.PEER_LIST_MISSING,)
    assert judged(kit, OURS.compact, receipt=HOME.receipt(OURS.index, OURS.opening)).outcome is Outcome.VALID


def test_a_region_that_ours_does_not_name_is_not_in_it() -> None:
    """Being in a kit admits nobody."""
    parts = PARTS | {f"trust-list/{STRANGER.region}": STRANGER.trust_token()}
    kit = opened(kit_of(parts, regions=(FOLLOWED, KitRegion(STRANGER.region, Watch.FOLLOWED))))

    assert [view.trust.region for view in kit.peers] == [THERE]
    assert kit.faults[0][1].reason is Reason.PEER_UNKNOWN


@pytest.mark.parametrize(
    ("watch", "why"),
    [
        (Watch.FORKED, Reason.PEER_FORKED),
        (Watch.ROLLED_BACK, Reason.PEER_ROLLED_BACK),
        (Watch.INCONSISTENT, Reason.PEER_INCONSISTENT),
    ],
)
def test_what_was_found_of_a_peer_travels_with_the_kit(watch: Watch, why: Reason) -> None:
    """A window without network does not accept what the region itself would not."""
    kit = opened(kit_of(regions=(KitRegion(THERE, watch, NOW, True),)))

    assert judged(kit).reasons == (why,)


def test_a_status_list_of_one_region_says_nothing_of_another() -> None:
    """A peer's part with somebody else's list is a fault; the region's own with one refuses the whole kit."""
    theirs = opened(kit_of(PARTS | {f"status-list/{THERE}/0": HOME.status_token()}))
    assert [name for name, _ in theirs.faults] == [f"status-list/{THERE}/0"]
    assert judged(theirs).reasons == (Reason.STATUS_MISSING,)

    assert reason(kit_of(PARTS | {f"status-list/{HERE}/0": ABROAD.status_token()})) is Reason.STATUS_KEY


@pytest.mark.parametrize(
    "change",
    [
        {"v": 2},
        {"more": 1},
        {"manifest": 1},
        {"manifest": "a.b"},
        {"parts": []},
        {"parts": {"x": 1}},
        {"parts": {f"status-list/610000/{n}": "" for n in range(PARTS_MAX + 1)}},
    ],
    ids=["version", "extra", "number", "two segments", "list", "number part", "too many"],
)
def test_a_kit_has_one_form(change: dict[str, Any]) -> None:
    """What is not exactly it is malformed."""
    assert reason(canonical.encode(json.loads(KIT) | change)) is Reason.KIT


def test_a_kit_has_one_spelling_and_a_length() -> None:
    """Canonical JSON, one line feed allowed at its end, not longer than any honest kit."""
    assert opened(KIT + b"\n").made_at == NOW
    assert reason(KIT + b" ") is Reason.KIT
    assert reason(json.dumps(json.loads(KIT)).encode()) is Reason.KIT
    assert reason(b" " * (LENGTH_MAX + 1)) is Reason.KIT


@pytest.mark.parametrize(
    "change",
    [
        {"region": "61"},
        {"version": 0},
        {"trust_seq": 0},
        {"types": ["x"]},
        {"parts": [{"name": "etc/passwd", "sha256": b64u_encode(bytes(32)), "size": 1}]},
        {"regions": [{"checked_at": None, "logged": None, "region": THERE, "watch": "well"}]},
        {"more": 1},
    ],
    ids=["region", "version", "seq", "type", "name", "watch", "extra"],
)
def test_a_manifest_has_one_form(change: dict[str, Any]) -> None:
    """A signature does not make up for it."""
    header, body, tail = signed(manifest(PARTS)).split(".")
    payload = canonical.decode_object(b64u_decode(body), LENGTH_MAX) | change

    assert reason(format_kit(f"{header}.{b64u_encode(canonical.encode(payload))}.{tail}", PARTS)) is Reason.KIT


def test_another_kind_of_token_is_no_manifest() -> None:
    """A statement of the same key cannot pass for a kit, nor a kit for a statement."""
    header = b64u_encode(canonical.encode({"alg": "ES256", "kid": HOME.public("statement").kid, "typ": "other+jwt"}))
    _, body, tail = signed(manifest(PARTS)).split(".")

    assert TYP == "elicence-kit+jwt"
    assert reason(format_kit(f"{header}.{body}.{tail}", PARTS)) is Reason.TOKEN_TYPE


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_no_flipped_bit_changes_what_a_kit_says(data: st.DataObject) -> None:
    """It is refused, wherever the bit lies; nothing but `VerificationError` comes out."""
    place, bit = data.draw(st.integers(0, len(KIT) - 1)), data.draw(st.integers(0, 7))
    changed = bytearray(KIT)
    changed[place] ^= 1 << bit
    with pytest.raises(VerificationError):
        opened(bytes(changed))


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=400) | st.text(max_size=200).map(str.encode))
def test_noise_is_malformed(data: bytes) -> None:
    """Whatever is not a kit is refused as such."""
    assert reason(data) is Reason.KIT


def test_the_command_judges_by_a_kit(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`elicence-verify X --kit FILE --root FP`, the table with `--grace`, and no way back to an older kit."""
    kit, licence, receipt, state = (tmp_path / name for name in ("k.json", "l.sdjwt", "r.txt", "state.json"))
    kit.write_bytes(KIT)
    licence.write_text(GOOD.compact)
    receipt.write_text(ABROAD.receipt(GOOD.index, GOOD.opening))
    given = ["--kit", str(kit), "--root", HOME.pin, "--at", "2026-11-21T08:00:00Z", "--lang", "en"]

    assert main([str(licence), "--receipt", str(receipt), *given]) == 0
    assert "counts here as" in capsys.readouterr().out
    assert main(["--grace", *given]) == 0
    assert f"? {THERE}" not in (shown := capsys.readouterr().out) and f"✓ {THERE} {FOOD}@1 → {OUR_FOOD}@1" in shown
    assert main(["--grace", "--json", *given]) == 0
    assert json.loads(capsys.readouterr().out)["version"] == int(NOW.timestamp())
    later = [*given[:5], "2026-11-21T20:00:00Z", *given[6:]]
    assert main(["--grace", *later]) == 2

    assert main([str(licence), "--kit", str(kit), "--root", HOME.pin, "--state", str(state)]) in (1, 2)
    kit.write_bytes(kit_of(version=1))
    assert main(["--grace", "--kit", str(kit), "--root", HOME.pin, "--state", str(state)]) == 2
    kit.write_bytes(b"{}")
    assert main(["--grace", *given]) == 1
    for wrong in (["--grace"], ["--kit", str(kit)], [], [str(licence), "--trust", str(kit), *given]):
        assert main(wrong) == 3


def test_a_pinned_policy_stays_with_the_verifier() -> None:
    """The kit's root is the one that was pinned: another pin in the policy is a mismatch."""
    assert Reason.ROOT_MISMATCH in judged(opened(KIT), policy=Policy(root=STRANGER.pin)).reasons
    assert usual_abroad().root_fingerprint == ABROAD.pin
