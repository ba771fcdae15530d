"""Verdicts: protocol 24 and 25, positions in the log, memory, and what is said beside the outcome."""

import datetime as dt
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.verifiers.issuer import GRACE_S, LIST_URI, MARKET, NOW, ORIGIN, REGION, TTL_S, Issuer, judge
from verifiers.authority import covers
from verifiers.checkpoint_cache import CheckpointCache
from verifiers.errors import Reason, VerificationError
from verifiers.licence import Imported, present
from verifiers.policy import Policy, Seen, SeenList
from verifiers.reasons import NOTE_TITLES, TITLES, UNDETERMINED, Note, title
from verifiers.report import describe
from verifiers.trust_document import Position, Revocation
from verifiers.verdict import Finding, Mark, NotVerified, Outcome, Step, Verdict
from verifiers.verification import verify

HOUR = dt.timedelta(hours=1)
DAY = dt.timedelta(days=1)
ISSUER = Issuer()
GOOD = ISSUER.issue(7)
TRUST = ISSUER.trust()
PINNED = Policy(root=ISSUER.pin)


def given_to(presented: str | bytes = GOOD.compact, **changes: Any) -> Verdict:
    """The verdict about a good licence with everything a verifier needs, but for the changes."""
    inputs: dict[str, Any] = {
        "status": [ISSUER.status(TRUST)],
        "receipt": ISSUER.receipt(GOOD.index, GOOD.opening),
        "policy": PINNED,
    }
    trust = changes.pop("trust", TRUST)
    return judge(presented, trust, **(inputs | changes))


# --- protocol 24, 25 -------------------------------------------------------------------------------------------------


def test_with_only_a_trust_list_a_code_is_undetermined_for_want_of_status() -> None:
    """And a licence lacks its receipt as well; with a fresh status list the code is valid."""
    code = given_to(GOOD.code, status=[], receipt=None)

    assert (code.outcome, code.reasons) == (Outcome.UNDETERMINED, (Reason.STATUS_MISSING,))
    assert given_to(GOOD.code, receipt=None).outcome is Outcome.VALID
    assert Reason.RECEIPT_MISSING in given_to(status=[], receipt=None).reasons


def test_a_type_may_opt_out_of_receipts() -> None:
    """Then their absence decides nothing, and the verdict says so."""
    relaxed = Issuer(receipt_rule="optional")
    issued = relaxed.issue(7)

    verdict = judge(issued.compact, relaxed.trust(), status=[relaxed.status()], policy=Policy(root=relaxed.pin))

    assert verdict.outcome is Outcome.VALID and Note.RECEIPT_WAIVED in verdict.notes


@pytest.mark.parametrize(
    ("age", "outcome", "bound"),
    [
        (0, Outcome.VALID, TTL_S),
        (TTL_S, Outcome.VALID, TTL_S),
        (TTL_S + 1, Outcome.VALID, GRACE_S),
        (GRACE_S, Outcome.VALID, GRACE_S),
        (GRACE_S + 1, Outcome.UNDETERMINED, None),
    ],
)
def test_a_status_list_counts_within_its_ttl_or_the_grace_of_the_type(age: int, outcome: Outcome, bound: int) -> None:
    """The bound says how long a withdrawal may stay unseen."""
    at = NOW + dt.timedelta(seconds=age)

    verdict = given_to(at=at)

    assert (verdict.outcome, verdict.bound_s) == (outcome, bound)
    status = next(check for check in verdict.checks if check.step is Step.STATUS)
    assert status.age_s == age


def test_an_expired_status_list_is_stale_even_within_the_grace() -> None:
    """`exp` is hard."""
    early = ISSUER.status(TRUST, expires_at=NOW + HOUR)

    assert given_to(status=[early], at=NOW + 2 * HOUR).reasons == (Reason.STATUS_STALE,)


def test_a_stale_list_that_says_revoked_still_says_so() -> None:
    """Worst wins: what was revoked yesterday is not undetermined today."""
    verdict = given_to(status=[ISSUER.status(TRUST, values={7: 1})], at=NOW + 2 * DAY)

    assert verdict.outcome is Outcome.INVALID
    assert verdict.reasons == (Reason.REVOKED, Reason.STATUS_STALE)


def test_a_bundle_turns_undetermined_by_age() -> None:
    """One exported before a revocation never turns into a lie; a new one says invalid."""
    old = ISSUER.bundle(GOOD)
    new = ISSUER.bundle(GOOD, status_list=ISSUER.status_token(values={7: 1}))

    assert judge(old, None, policy=PINNED).outcome is Outcome.VALID
    assert judge(old, None, policy=PINNED, at=NOW + 2 * DAY).reasons == (Reason.STATUS_STALE,)
    assert judge(new, None, policy=PINNED).reasons == (Reason.REVOKED,)


def test_a_bundle_selects_no_root() -> None:
    """Without a pin it is undetermined; under another pin it is refused."""
    bundle = ISSUER.bundle(GOOD)

    assert judge(bundle, None).reasons == (Reason.ROOT_UNPINNED,)
    assert Reason.ROOT_MISMATCH in judge(bundle, None, policy=Policy(root="0" * 64)).reasons


def test_the_verifiers_own_newer_trust_list_wins_over_the_bundles() -> None:
    """A key found compromised since the bundle was made falls with it."""
    keys = ISSUER.key_change(f"{MARKET}/licence", revoked=Revocation(NOW, "compromised"))
    newer = ISSUER.trust(seq=2, keys=keys)

    assert judge(ISSUER.bundle(GOOD), newer, policy=PINNED).reasons == (Reason.KEY_COMPROMISED,)
    own = ISSUER.trust(keys=keys)
    token = ISSUER.trust_token(ISSUER.document(seq=2))
    assert judge(ISSUER.bundle(GOOD, trust_list=token), own, policy=PINNED).outcome is Outcome.VALID


def test_a_bundle_may_carry_only_a_code() -> None:
    """Then the code is judged, with the receipt that commits to it."""
    verdict = judge(ISSUER.bundle(GOOD, licence=None), None, policy=PINNED)

    assert verdict.outcome is Outcome.VALID
    assert Note.CODE_WITHOUT_RECEIPT not in verdict.notes
    assert next(check for check in verdict.checks if check.step is Step.RECEIPT).mark is Mark.PASSED


def test_later_events_of_a_licence_ride_in_its_bundle() -> None:
    """Each is proven to be in the log and to belong to this licence, in order."""
    region = Issuer()
    issued = region.issue(7)
    events = [region.append("licence.status", MARKET, bytes(32), bytes(32), issued.secret, n) for n in (1, 2)]
    texts = [region.receipt(index, opening) for index, opening in events]
    policy = Policy(root=region.pin)

    assert judge(region.bundle(issued, texts), None, policy=policy).outcome is Outcome.VALID
    assert judge(region.bundle(issued, texts[::-1]), None, policy=policy).reasons == (Reason.BUNDLE_EVENTS,)


def test_an_unknown_key_is_undetermined_only_under_a_list_past_its_next_update() -> None:
    """A fresh list knows all keys; an old one may not have heard of a new one."""
    stranger = Issuer().issue(7).compact

    fresh, old = given_to(stranger), given_to(stranger, at=NOW + 2 * HOUR)

    assert fresh.outcome is Outcome.INVALID and Reason.KEY_UNKNOWN in fresh.reasons
    assert old.outcome is Outcome.UNDETERMINED and Reason.KEY_UNKNOWN in old.reasons


def test_a_trust_list_past_its_exp_settles_nothing() -> None:
    """Past `next_update` it still does."""
    old = ISSUER.trust(expires_at=NOW + HOUR)

    assert given_to(trust=old, at=NOW + HOUR).outcome is Outcome.VALID
    assert given_to(trust=old, at=NOW + HOUR + dt.timedelta(seconds=1)).reasons == (Reason.TRUST_EXPIRED,)


def test_a_clock_that_is_behind_makes_ages_meaningless() -> None:
    """Five minutes are forgiven."""
    assert given_to(at=NOW - dt.timedelta(minutes=5)).outcome is Outcome.VALID
    assert given_to(at=NOW - dt.timedelta(minutes=5, seconds=1)).reasons == (Reason.CLOCK_BEHIND,)
    assert given_to(seen=Seen(newest=NOW + HOUR)).reasons == (Reason.CLOCK_BEHIND,)


def test_a_time_in_the_past_needs_a_status_list_of_then() -> None:
    """iat ≤ T ≤ exp; the newest of those counts, and neither clock nor memory is judged."""
    then = NOW + HOUR
    past = replace(PINNED, historical=True)
    of_then = ISSUER.status(TRUST, issued_at=NOW, expires_at=NOW + 2 * HOUR)
    of_now = ISSUER.status(TRUST, issued_at=NOW + 3 * HOUR, values={7: 1})
    seen = Seen(newest=NOW + DAY, lists={LIST_URI: SeenList(ORIGIN, 100)})

    assert given_to(at=then, policy=past, status=[of_now], seen=seen).reasons == (Reason.STATUS_TIME,)
    assert given_to(at=then, policy=past, status=[of_then, of_now], seen=seen).outcome is Outcome.VALID
    assert given_to(at=NOW + 4 * HOUR, policy=past, status=[of_then, of_now]).reasons == (Reason.REVOKED,)


# --- dates -----------------------------------------------------------------------------------------------------------


def test_the_last_day_counts_to_its_end_in_china() -> None:
    """`valid_until` 2031-11-20 ends at 16:00 UTC."""
    end = dt.datetime(2031, 11, 20, 15, 59, 59, tzinfo=dt.UTC)

    assert Reason.EXPIRED not in given_to(at=end).reasons
    assert Reason.EXPIRED in given_to(at=end + dt.timedelta(seconds=1)).reasons


def test_a_licence_of_tomorrow_is_not_yet_valid() -> None:
    """Its own reason, apart from expired."""
    issued = ISSUER.issue(50, valid_from=dt.date(2026, 11, 22))
    receipt = ISSUER.receipt(issued.index, issued.opening)

    assert given_to(issued.compact, receipt=receipt).reasons == (Reason.NOT_YET_VALID,)
    assert given_to(issued.code, receipt=None).reasons == (Reason.NOT_YET_VALID,)
    assert given_to(issued.compact, receipt=receipt, at=NOW + 8 * HOUR).outcome is Outcome.VALID


# --- positions (protocol 16) -----------------------------------------------------------------------------------------


def compromised(quorum: int, size_of_receipt: int, limit: int, cosigned: dt.datetime, at: dt.datetime) -> Verdict:
    """Entry 1 under a key compromised at `at` with `trust_before` of `limit` entries."""
    region = Issuer(watchers=3 if quorum else 0, quorum=quorum)
    issued = region.issue(7)
    for idx in range(8, 14):
        region.issue(idx)
    checkpoint = region.checkpoint(size_of_receipt, cosigned)
    receipt = region.receipt(issued.index, issued.opening, size_of_receipt, checkpoint)
    revocation = Revocation(at, "compromised", region.position(limit))
    trust = region.trust(keys=region.key_change(f"{MARKET}/licence", revoked=revocation))
    return judge(issued.compact, trust, status=[region.status(trust)], receipt=receipt, policy=Policy(root=region.pin))


@pytest.mark.parametrize("quorum", [0, 2])
def test_what_is_proven_in_exactly_the_pinned_tree_stays_good(quorum: int) -> None:
    """Whenever that tree was cosigned."""
    assert compromised(quorum, 5, 5, NOW, NOW - HOUR).outcome is Outcome.VALID


@pytest.mark.parametrize("quorum", [0, 2])
def test_what_was_logged_after_is_invalid(quorum: int) -> None:
    """Entry 1 of a tree whose first entry alone stays good."""
    verdict = compromised(quorum, 5, 1, NOW, NOW)

    assert (verdict.outcome, verdict.reasons) == (Outcome.INVALID, (Reason.KEY_COMPROMISED,))


@pytest.mark.parametrize("quorum", [0, 2])
def test_a_receipt_over_a_larger_tree_must_be_refreshed(quorum: int) -> None:
    """A larger tree does not prove what the pinned one held."""
    verdict = compromised(quorum, 7, 5, NOW, NOW)

    assert (verdict.outcome, verdict.reasons) == (Outcome.UNDETERMINED, (Reason.RECEIPT_REFRESH,))


def test_an_older_tree_counts_if_a_quorum_saw_it_before_the_compromise() -> None:
    """A cosignature after it proves nothing; where nobody watches, the published tree stands in."""
    assert compromised(2, 3, 5, NOW - HOUR, NOW).outcome is Outcome.VALID
    assert compromised(2, 3, 5, NOW, NOW - HOUR).reasons == (Reason.RECEIPT_REFRESH,)
    unwatched = compromised(0, 3, 5, NOW, NOW - HOUR)
    assert unwatched.outcome is Outcome.VALID and Note.NOBODY_WATCHED in unwatched.notes


def test_a_key_is_good_from_its_start_to_its_end_in_the_log() -> None:
    """Outside that term it signed nothing that counts."""
    name = f"{MARKET}/licence"
    before = TRUST.document
    late = replace(before, keys=ISSUER.key_change(name, log_from=Position(ORIGIN, GOOD.index + 1, bytes(32))))
    ended = replace(before, keys=ISSUER.key_change(name, log_to=ISSUER.position(GOOD.index)))
    held = replace(before, keys=ISSUER.key_change(name, log_to=ISSUER.position()))
    verdicts = [
        given_to(trust=ISSUER.trust(keys=document.keys)) for document in (late, ended, held)
    ]

    assert [verdict.reasons for verdict in verdicts] == [(Reason.KEY_TERM,), (Reason.KEY_TERM,), ()]


def test_a_grant_that_was_given_back_and_given_again_counts_twice() -> None:
    """One of the grants must cover the entry's place."""
    first = TRUST.document.grants[0]
    early = replace(first, log_to=ISSUER.position(GOOD.index))
    late = replace(first, log_from=ISSUER.position(GOOD.index))

    assert given_to(trust=ISSUER.trust(grants=(early, late))).outcome is Outcome.VALID
    assert given_to(trust=ISSUER.trust(grants=(early,))).reasons == (Reason.GRANT_TERM,)


def test_a_code_under_an_ended_grant_is_undetermined() -> None:
    """It carries no receipt, so nothing tells when it was signed."""
    ended = replace(TRUST.document.grants[0], log_to=ISSUER.position())
    verdict = given_to(GOOD.code, receipt=None, trust=ISSUER.trust(grants=(ended,)))

    assert (verdict.outcome, verdict.reasons) == (Outcome.UNDETERMINED, (Reason.RECEIPT_MISSING,))


def test_a_log_that_has_ended_has_no_larger_tree() -> None:
    """Its last checkpoint is pinned in the trust list."""
    log = TRUST.document.logs[0]
    size = GOOD.index + 1
    ended = ISSUER.trust(logs=(replace(log, to=ISSUER.position(size)),))
    forked = ISSUER.trust(logs=(replace(log, to=Position(ORIGIN, size, bytes(32))),))
    ISSUER.issue(60)
    small, large = (ISSUER.receipt(GOOD.index, GOOD.opening, size) for size in (size, size + 1))
    status = ISSUER.status(TRUST)

    assert given_to(trust=ended, receipt=small, status=[status]).outcome is Outcome.VALID
    assert given_to(trust=ended, receipt=large, status=[status]).reasons == (Reason.LOG_UNKNOWN,)
    assert given_to(trust=forked, receipt=small, status=[status]).reasons == (Reason.LOG_UNKNOWN,)


def test_an_area_covers_what_lies_in_it() -> None:
    """GB/T 2260: pairs of zeros stand for everything below."""
    assert covers("610000", "610113") and covers("610100", "610113") and covers("61", REGION)
    assert not covers("610100", "610200") and not covers("610113", "610100") and not covers("620000", "610113")


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

    assert (seen.trust, seen.newest) == ({REGION: 1}, NOW)
    assert seen.lists == {LIST_URI: SeenList(ORIGIN, len(ISSUER.entries))}
    assert Seen.from_json(seen.to_json()) == seen
    with pytest.raises(VerificationError):
        Seen.from_json({"v": 1, "trust": [], "lists": [{}], "newest": None})


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

    assert [check["step"] for check in document["checks"]] == [step.value for step in Step if step is not Step.LEDGER]
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


def test_the_documentation_lists_every_reason_and_note_with_its_titles() -> None:
    """docs/formats/verdict.md and the closed tables say the same."""
    page = (Path(__file__).parents[2] / "docs" / "formats" / "verdict.md").read_text(encoding="utf-8")

    for code in (*Reason, *Note):
        assert f"| `{code.value}` | {title(code, 'zh')} | {title(code, 'en')} |" in page
    for reason in UNDETERMINED:
        assert f"| `{reason.value}` | {TITLES[reason][0]} | {TITLES[reason][1]} | undetermined |" in page
