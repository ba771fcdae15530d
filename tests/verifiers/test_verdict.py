"""What a verdict says beside its outcome, and what a verifier remembers."""

import datetime as dt
import re
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.verifiers.issuer import BASE, LIST_URI, MARKET, NOW, ORIGIN, REGION, Issued, Issuer, judge
from tests.verifiers.judged import GOOD, HOUR, ISSUER, PINNED, TRUST, given_to
from verifiers.checkpoint_cache import CheckpointCache
from verifiers.encoding import b64u_encode
from verifiers.errors import Reason, VerificationError
from verifiers.jws import encode_segment
from verifiers.licence import Imported, present
from verifiers.note import KeyType, NoteKey
from verifiers.policy import Seen, SeenList
from verifiers.reasons import NOTE_TITLES, TITLES, UNDETERMINED, Note, title
from verifiers.report import describe
from verifiers.verdict import Finding, NotVerified, Outcome, Step
from verifiers.verification import verify

# --- what is said beside the outcome ---------------------------------------------------------------------------------


def test_a_verdict_shows_what_was_disclosed_and_nothing_else() -> None:
    """And nothing at all where the signature does not hold."""
    part = present(GOOD.compact, [("holders", 0, "name")])
    shown = given_to(part).licence
    forged = given_to(GOOD.compact.replace(GOOD.compact.split("~")[0][-8:], "AAAAAAAA"))

    assert shown is not None
    assert shown["fields"] == {"scope": "预包装食品销售"} and "number" not in shown
    assert shown["holders"] == [{"kind": "organisation", "name": "示例食品有限公司"}]
    assert forged.licence is None


def test_a_revoked_licence_is_still_shown() -> None:
    """The window must see what it is that was revoked."""
    assert given_to(status=[ISSUER.status(TRUST, values={7: 1})]).licence is not None


def test_an_imported_licence_says_so_in_every_verdict() -> None:
    """With original issuer, date and assurance."""
    imported = Imported("示例原发证机关", dt.date(2001, 1, 1), "declared", ("identifier.check",))
    issued = ISSUER.issue(70, kind="licence.imported", imported=imported)
    receipt = ISSUER.receipt(issued.index, issued.opening)
    verdict = given_to(issued.compact, receipt=receipt, status=[ISSUER.status(TRUST)])

    assert verdict.outcome is Outcome.VALID and Note.IMPORTED in verdict.notes
    assert verdict.licence is not None and verdict.licence["imported"]["issuer"] == "示例原发证机关"


@pytest.mark.parametrize(
    ("watchers", "quorum", "by", "note"),
    [
        (0, 0, 0, Note.NOBODY_WATCHED),
        (3, 2, 1, Note.NOT_WITNESSED),
        (4, 2, 4, Note.DETECT_ONLY),
        (3, 2, 3, None),
    ],
)
def test_a_verdict_says_how_well_the_log_is_watched(watchers: int, quorum: int, by: int, note: Note | None) -> None:
    """Protocol 12, 16 and 29."""
    region = Issuer(watchers=watchers, quorum=quorum)
    issued = region.issue(7)
    receipt = region.receipt(issued.index, issued.opening, checkpoint=region.checkpoint(by=by))

    verdict = judge(issued.compact, region.trust(), status=[region.status()], receipt=receipt)

    assert verdict.notes == ((note,) if note else ())


def test_a_witness_with_two_keys_is_one_witness() -> None:
    """Two of three prevent a split, however many kinds of signature each of them gives (protocol 29)."""
    region = Issuer(watchers=3, quorum=2)
    issued = region.issue(7)
    receipt = region.receipt(issued.index, issued.opening)
    second = [
        NoteKey(key.name, KeyType.MLDSA44_COSIGNATURE, region.store.create(f"{key.name}-mldsa", "ML-DSA-44"))
        for key in region.witnesses
    ]
    region.witnesses += second

    verdict = judge(issued.compact, region.trust(), status=[region.status()], receipt=receipt)

    assert verdict.notes == ()


def test_verify_remembers_what_it_saw() -> None:
    """Trust list number, state of the list and newest time, for the next call and for a state file."""
    verified = verify(
        GOOD.compact,
        trust=TRUST,
        status=[ISSUER.status(TRUST)],
        receipt=ISSUER.receipt(GOOD.index, GOOD.opening),
        at=NOW,
        policy=PINNED,
    )
    seen = verified.seen

    assert (seen.trust, seen.newest) == ({f"{REGION}/{ISSUER.pin}": 1}, NOW)
    assert seen.lists == {LIST_URI: SeenList(ORIGIN, len(ISSUER.entries))}
    assert Seen.from_json(seen.to_json()) == seen
    with pytest.raises(VerificationError):
        Seen.from_json({"v": 1, "trust": [], "lists": [{}], "newest": None})
    with pytest.raises(VerificationError):  # it would be written without its root, and so count for any
        Seen.from_json({"v": 1, "trust": [{"region": "610000", "root": "", "seq": 2}], "lists": [], "newest": None})


def test_without_a_pin_nothing_is_remembered_of_the_list() -> None:
    """Else anybody's list would lock out the region's own."""
    with pytest.raises(NotVerified) as caught:
        verify(GOOD.compact, trust=ISSUER.trust(pin=False, seq=9), at=NOW)

    assert caught.value.seen.trust == {}


def test_a_receipt_alone_shows_its_entry() -> None:
    """In the log or not; nothing about a licence."""
    receipt = ISSUER.receipt(GOOD.index, GOOD.opening)
    verdict = judge(receipt, TRUST, policy=PINNED)
    broken = judge(receipt.replace(f"index {GOOD.index}", "index 0"), TRUST, policy=PINNED)

    assert verdict.outcome is Outcome.VALID
    assert verdict.licence is not None and verdict.licence["entry"]["kind"] == "licence.issued"
    assert broken.reasons == (Reason.RECEIPT_INCLUSION,)


def test_each_check_says_on_what_it_rests_and_how_old_that_is() -> None:
    """In the order of the steps."""
    verdict = given_to(at=NOW + dt.timedelta(seconds=20))
    document = verdict.to_json("en")

    elsewhere = {Step.PEER, Step.RECOGNITION, Step.LEDGER}
    assert [check["step"] for check in document["checks"]] == [step for step in Step if step not in elsewhere]
    assert {check["step"]: check["age_s"] for check in document["checks"]}["trust_list"] == 20
    assert {"outcome", "reasons", "checks", "bound_s", "licence", "region", "at"} <= set(document)


def test_every_reason_and_note_has_titles_in_both_languages() -> None:
    """The closed tables and their words stay in step."""
    assert set(TITLES) == set(Reason) and set(NOTE_TITLES) == set(Note)
    for code in (*Reason, *Note):
        assert title(code, "zh") != title(code, "en")
    assert len({title(code, "en") for code in Reason}) == len(Reason)
    assert set(Reason) >= UNDETERMINED


def test_a_verdict_takes_further_findings_and_the_worst_wins() -> None:
    """As the issuing region's own ledger adds them."""
    verdict = given_to().adding([Finding.of(Reason.STATE_SUPERSEDED)], bound_s=1)

    assert (verdict.outcome, verdict.reasons, verdict.bound_s) == (Outcome.INVALID, (Reason.STATE_SUPERSEDED,), 1)


@pytest.mark.parametrize("language", ["zh", "en"])
def test_a_verdict_can_be_told_in_words(language: str) -> None:
    """Outcome first, then why, then every step."""
    text = describe(given_to(status=[ISSUER.status(TRUST, values={7: 2})], at=NOW + 3 * HOUR), language)

    assert text.splitlines()[0] == ("无效" if language == "zh" else "INVALID")
    assert "status.suspended" in text and "示例食品有限公司" in text


def test_every_step_names_what_it_was_judged_by() -> None:
    """What was presented, what was pinned, what was given, the log, the clock."""
    assert {str(check.step): check.source for check in given_to().checks} == {
        "shape": "presented",
        "root": "pinned",
        "trust_list": "given",
        "key": "given",
        "issuer": "given",
        "signature": "presented",
        "disclosures": "presented",
        "validity": "presented",
        "receipt": ORIGIN,
        "position": ORIGIN,
        "status": "given",
        "clock": "clock",
    }


@pytest.mark.parametrize(
    ("seconds", "zh", "en"),
    [
        (119, "119 秒", "119 s"),
        (120, "2 分钟", "2 min"),
        (7_199, "119 分钟", "119 min"),
        (7_200, "2 小时", "2 h"),
        (172_799, "47 小时", "47 h"),
        (172_800, "2 天", "2 d"),
    ],
)
def test_ages_are_told_in_the_largest_unit_of_which_there_are_two(seconds: int, zh: str, en: str) -> None:
    """For people: of the trust list, beside the step that looked at it."""
    verdict = given_to(at=NOW + dt.timedelta(seconds=seconds))

    for language, age in (("zh", zh), ("en", en)):
        assert any(re.search(rf"(^|[^0-9]){age}($|\W)", line) for line in describe(verdict, language).splitlines())


def test_a_trust_list_covers_a_log_from_an_entry_on() -> None:
    """The entry of that very number is the first one covered."""
    log = ISSUER.document().logs[0]
    covered, before = (
        given_to(trust=ISSUER.trust(logs=(replace(log, from_size=GOOD.index + more),))) for more in (0, 1)
    )

    assert Reason.LOG_UNKNOWN not in covered.reasons and covered.outcome is Outcome.VALID
    assert Reason.LOG_UNKNOWN in before.reasons


def test_a_cache_of_checkpoints_is_bounded_and_forgets_with_the_trust_list() -> None:
    """It never outlives what it was checked against."""
    cache = CheckpointCache(2)
    for size in (2, 3, 4):
        cache.open(ISSUER.checkpoint(size), TRUST)
    assert len(cache) == 2
    text = ISSUER.checkpoint(4)
    assert cache.open(text, TRUST) is cache.open(text, TRUST)

    cache.open(ISSUER.checkpoint(4), ISSUER.trust(seq=2))
    assert len(cache) == 1
    with pytest.raises(ValueError):
        CheckpointCache(-1)


@settings(max_examples=200, deadline=None)
@given(st.one_of(st.text(max_size=200), st.binary(max_size=200)), st.one_of(st.none(), st.text(max_size=100)))
def test_nothing_presented_makes_verify_fail(presented: str | bytes, receipt: str | None) -> None:
    """Only verdicts come out, whatever goes in."""
    for shape in ("{}", "{}~{}~", "HTTPS://A/V#{}", "c2sp.org/tlog-proof@v1\n{}"):
        text = shape.replace("{}", presented.decode("latin-1") if isinstance(presented, bytes) else presented)
        assert judge(text, TRUST, receipt=receipt).outcome is not Outcome.VALID


def test_a_verdict_shows_all_that_a_whole_licence_says() -> None:
    """Under these names: programs take them."""
    licence = given_to().licence

    assert licence is not None and set(licence) == {
        "fields", "holders", "identifier", "issued_on", "issuer", "number", "region", "type",
        "valid_from", "valid_until", "version",
    }  # fmt: skip
    assert licence["issuer"]["id"] == licence["type"]["code"][:18] and set(licence["issuer"]) == {"id", "iss", "names"}
    assert set(licence["type"]) == {"code", "major", "names"} and licence["issued_on"] == "2026-11-21"
    imported = Imported("示例原发证机关", dt.date(2001, 1, 1), "declared", ())
    issued = ISSUER.issue(71, kind="licence.imported", imported=imported, object="示例标的")
    shown = given_to(issued.compact, receipt=ISSUER.receipt(issued.index, issued.opening)).licence
    assert shown is not None and set(shown) - set(licence) == {"imported", "object"}


def test_a_status_list_from_the_future_says_that_our_clock_is_behind() -> None:
    """It is signed, so its time counts; a tolerance of minutes is for clocks that are only a little wrong."""
    late = ISSUER.status(TRUST, issued_at=NOW + 2 * HOUR)

    assert Reason.CLOCK_BEHIND in given_to(status=[late]).reasons


def test_a_licence_that_names_a_key_says_that_nobody_proved_to_hold_it() -> None:
    """Unless it was asked for."""
    unsigned, _ = ISSUER.sign_licence(ISSUER.face(72))
    payload = unsigned.payload | {"cnf": {"jwk": {"kty": "EC"}}}
    header = unsigned.signing_input.split(b".")[0].decode()
    signing_input = f"{header}.{encode_segment(payload)}".encode()
    signature = ISSUER.sign(f"{MARKET}/licence", signing_input)
    text = f"{signing_input.decode()}.{b64u_encode(signature)}~" + "".join(f"{one}~" for one in unsigned.disclosures)

    assert Note.BINDING_UNCHECKED in given_to(text).notes
    assert Note.BINDING_UNCHECKED not in given_to().notes


def test_a_department_signs_in_the_name_it_had_below_a_former_address() -> None:
    """Licences of before a move stay good; no other address will do."""
    moved = "https://new.example"
    document = ISSUER.document()
    rows = tuple(replace(one, iss=one.iss.replace(BASE, moved)) for one in document.departments)

    def judged(former: tuple[str, ...]) -> tuple[Reason, ...]:
        trust = ISSUER.trust(iss=moved, former=former, departments=rows)
        return given_to(trust=trust, status=[ISSUER.status(trust)]).reasons

    assert Reason.ISSUER_MISMATCH not in judged((BASE,))
    assert Reason.ISSUER_MISMATCH in judged(("https://elsewhere.example",))


def test_later_versions_may_be_signed_by_who_may_only_change() -> None:
    """A first version may not."""
    grants = ISSUER.document().grants
    trust = ISSUER.trust(grants=(replace(grants[0], acts=("change",)), *grants[1:]))
    first, second = ISSUER.issue(73), ISSUER.issue(74, version=2)

    def judged(issued: Issued) -> tuple[Reason, ...]:
        receipt = ISSUER.receipt(issued.index, issued.opening)
        return given_to(issued.compact, trust=trust, status=[ISSUER.status(trust)], receipt=receipt).reasons

    assert Reason.GRANT_MISSING in judged(first)
    assert Reason.GRANT_MISSING not in judged(second)


def test_a_key_that_an_old_list_does_not_name_may_have_come_since() -> None:
    """Undetermined then, and it says why; under a fresh list it is invalid."""
    keys = tuple(key for key in TRUST.document.keys if key.purpose != "licence")
    fresh = given_to(trust=ISSUER.trust(keys=keys)).findings
    stale = given_to(trust=ISSUER.trust(keys=keys), at=NOW + 2 * HOUR).findings

    assert (fresh[0].reason, fresh[0].detail, fresh[0].outcome) == (Reason.KEY_UNKNOWN, "", Outcome.INVALID)
    [found] = [each for each in stale if each.reason is Reason.KEY_UNKNOWN]
    assert (found.detail, found.outcome) == ("the trust list is past its next_update", Outcome.UNDETERMINED)


def test_what_begins_like_a_bundle_and_is_none_says_so() -> None:
    """With what is wrong with it."""
    found = given_to("{").findings

    assert [each.reason for each in found] == [Reason.BUNDLE] and found[0].detail


@pytest.mark.parametrize(("value", "may_revert"), [(1, False), (2, True), (3, True)])
def test_what_may_end_again_says_so(value: int, may_revert: bool) -> None:
    """Only "invalid for good" does not."""
    verdict = given_to(status=[ISSUER.status(TRUST, values={7: value})])

    assert verdict.outcome is Outcome.INVALID and (Note.STATUS_MAY_REVERT in verdict.notes) is may_revert
