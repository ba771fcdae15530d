"""What is demanded of a document of another region: witnesses, receipts, freshness; and what is remembered of it."""

import datetime as dt
from dataclasses import replace
from typing import Any

import pytest

from tests.verifiers.foreign_world import (
    ABROAD,
    DAY,
    GOOD,
    HOME,
    OUR_GRACE_S,
    PINNED,
    WATCHED,
    WATCHED_GOOD,
    given_abroad,
    home_trust,
    recognising,
    row,
    usual_abroad,
    usual_home,
    view,
    witness_rule,
)
from tests.verifiers.issuer import MARKET, NOW, Issuer
from verifiers.checkpoint_cache import CheckpointCache
from verifiers.errors import Reason
from verifiers.note import KeyType, NoteKey
from verifiers.peer_view import PeerView, Watch, stale_bound_s
from verifiers.policy import Seen
from verifiers.reasons import Note
from verifiers.trust_document import Revocation, Witness
from verifiers.trusted_peers import WitnessRule
from verifiers.verdict import NotVerified, Outcome, Verdict
from verifiers.verification import verify


def watched(by: int, demanded: int | None, **changes: Any) -> Verdict:
    """A licence whose receipt `by` of three witnesses cosigned, where we demand so many."""
    trust = WATCHED.trust()
    demand = None if demanded is None else witness_rule(demanded)
    checkpoint = WATCHED.checkpoint(by=by)
    receipt = WATCHED.receipt(WATCHED_GOOD.index, WATCHED_GOOD.opening, checkpoint=checkpoint)
    inputs: dict[str, Any] = {"status": [WATCHED.status(trust)], "receipt": receipt, "peers": [view(trust)]}
    home = home_trust(peers=(row(WATCHED, witnesses=demand),))
    return given_abroad(WATCHED_GOOD.compact, trust=home, **(inputs | changes))


@pytest.mark.parametrize(
    ("by", "demanded", "reasons", "notes"),
    [
        (3, 2, (), ()),
        (2, 2, (), ()),
        (1, 2, (Reason.RECEIPT_GRADE,), (Note.NOT_WITNESSED,)),
        (1, 1, (), (Note.DETECT_ONLY,)),
        (1, None, (), (Note.WITNESSES_DECLARED, Note.DETECT_ONLY)),
        (0, None, (), (Note.WITNESSES_DECLARED, Note.NOT_WITNESSED, Note.DETECT_ONLY)),
        (0, 0, (), (Note.NOBODY_WATCHED,)),
    ],
)
def test_our_demand_of_witnesses_goes_before_what_the_peer_declares(
    by: int, demanded: int | None, reasons: tuple[Reason, ...], notes: tuple[Note, ...]
) -> None:
    """Where we name them, so many must cosign; where we do not, the verdict says who chose them (protocol 29)."""
    verdict = watched(by, demanded)

    assert (verdict.reasons, verdict.notes) == (reasons, notes)


@pytest.mark.parametrize(("by", "demanded", "reasons"), [(1, 2, (Reason.RECEIPT_GRADE,)), (2, 2, ()), (0, None, ())])
def test_a_receipt_alone_meets_our_demand_of_witnesses_too(by: int, demanded: int | None, reasons: Any) -> None:
    """What it shows of the peer's log is no better watched because no document came with it."""
    trust, demand = WATCHED.trust(), None if demanded is None else witness_rule(demanded)
    receipt = WATCHED.receipt(WATCHED_GOOD.index, WATCHED_GOOD.opening, checkpoint=WATCHED.checkpoint(by=by))
    home = home_trust(peers=(row(WATCHED, witnesses=demand),))
    verdict = given_abroad(receipt, trust=home, receipt=None, peers=[view(trust)])

    assert verdict.reasons == reasons


def test_a_checkpoint_checked_under_one_demand_is_checked_again_under_another() -> None:
    """The cache knows what it was asked for."""
    cache = CheckpointCache()

    assert watched(1, 1, cache=cache).outcome is Outcome.VALID
    assert watched(1, 2, cache=cache).reasons == (Reason.RECEIPT_GRADE,)
    assert watched(1, None, cache=cache).outcome is Outcome.VALID


def test_a_waiver_of_receipts_abroad_waives_nothing_here() -> None:
    """Our type asks for one; and where we demand witnesses, there must be something they witnessed."""
    waiving = Issuer(region="620000", base=ABROAD.base, receipt_rule="optional")
    issued, trust = waiving.issue(7), waiving.trust()
    home = home_trust(peers=(row(waiving),))
    inputs: dict[str, Any] = {"status": [waiving.status(trust)], "peers": [view(trust)], "receipt": None}

    assert given_abroad(issued.compact, trust=home, **inputs).reasons == (Reason.RECEIPT_MISSING,)
    kinds = tuple(replace(kind, receipt="optional") for kind in home.document.types)
    relaxed = home_trust(peers=(row(waiving),), types=kinds)
    assert given_abroad(issued.compact, trust=relaxed, **inputs).outcome is Outcome.VALID
    nobody = home_trust(peers=(row(waiving, witnesses=witness_rule(0)),), types=kinds)
    assert given_abroad(issued.compact, trust=nobody, **inputs).outcome is Outcome.VALID
    demanding = home_trust(peers=(row(waiving, witnesses=witness_rule(1)),), types=kinds)
    assert given_abroad(issued.compact, trust=demanding, **inputs).reasons == (Reason.RECEIPT_MISSING,)


@pytest.mark.parametrize(
    ("ttl", "seconds", "outcome", "bound"),
    [
        (30, 0, Outcome.VALID, 32),
        (30, 32, Outcome.VALID, 32),
        (30, 33, Outcome.VALID, OUR_GRACE_S + 1),
        (30, OUR_GRACE_S, Outcome.VALID, OUR_GRACE_S + 1),
        (30, OUR_GRACE_S + 1, Outcome.UNDETERMINED, None),
        (9_000_000, OUR_GRACE_S, Outcome.VALID, OUR_GRACE_S + 2),
        (9_000_000, OUR_GRACE_S + 1, Outcome.UNDETERMINED, None),
    ],
)
def test_a_foreign_status_list_counts_no_longer_than_our_own_type_allows(
    ttl: int, seconds: int, outcome: Outcome, bound: int | None
) -> None:
    """Their grace is a day and their `ttl` may say anything; ours is an hour. The bound is that of protocol 30."""
    status = ABROAD.status(usual_abroad(), ttl=ttl, expires_at=NOW + 200 * DAY)

    verdict = given_abroad(at=NOW + dt.timedelta(seconds=seconds), status=[status])

    assert (verdict.outcome, verdict.bound_s) == (outcome, bound)


def test_the_bound_on_a_stale_verdict_is_the_sum_of_all_that_delays() -> None:
    """Publishing there, asking here, and the time to live; part of a second counts as one."""
    assert stale_bound_s(0, 0, 30) == 30
    assert stale_bound_s(200, 1000, 30) == 32
    assert stale_bound_s(1000, 1000, 0) == 2
    assert stale_bound_s(1, 0, 0) == 1


@pytest.mark.parametrize(
    ("watch", "note"),
    [
        (Watch.FROZEN, Note.PEER_FROZEN),
        (Watch.UNREACHABLE, Note.PEER_SILENT),
        (Watch.UNWATCHED, Note.PEER_UNWATCHED),
    ],
)
def test_silence_is_said_and_decides_nothing_while_what_was_fetched_is_fresh(watch: Watch, note: Note) -> None:
    """Age decides: within the grace valid, after it undetermined."""
    peers = [view(watch=watch)]

    fresh = given_abroad(peers=peers)
    old = given_abroad(peers=peers, at=NOW + 2 * DAY)

    assert fresh.outcome is Outcome.VALID and note in fresh.notes
    assert old.reasons == (Reason.STATUS_STALE,)


def test_a_forked_log_hides_no_revocation() -> None:
    """All steps run, and the worst wins."""
    status = [ABROAD.status(usual_abroad(), values={7: 1})]

    verdict = given_abroad(peers=[view(watch=Watch.FORKED)], status=status)

    assert (verdict.outcome, verdict.reasons) == (Outcome.INVALID, (Reason.REVOKED, Reason.PEER_FORKED))


def test_what_was_logged_before_a_theft_abroad_stays_valid_here() -> None:
    """The pinned tree of their list counts as at home (protocol 16); what came later falls."""
    region = Issuer(region="620000", base=ABROAD.base)
    honest = region.issue(7)
    limit, receipt = region.position(), region.receipt(honest.index, honest.opening)
    late = region.issue(9)
    revocation = Revocation(NOW, "compromised", limit)
    trust = region.trust(keys=region.key_change(f"{MARKET}/licence", revoked=revocation))
    home = home_trust(peers=(row(region),))
    inputs: dict[str, Any] = {"trust": home, "peers": [view(trust)], "status": [region.status(trust)]}

    assert given_abroad(honest.compact, receipt=receipt, **inputs).outcome is Outcome.VALID
    later = given_abroad(late.compact, receipt=region.receipt(late.index, late.opening), **inputs)
    assert (later.outcome, later.reasons) == (Outcome.INVALID, (Reason.KEY_COMPROMISED,))
    assert Reason.RECEIPT_OPENING in given_abroad(late.compact, receipt=receipt, **inputs).reasons


def test_a_peers_log_key_that_is_also_a_witness_we_named_is_no_witness() -> None:
    """A log cannot watch itself."""
    key = NoteKey("watcher.example", KeyType.MLDSA44_COSIGNATURE, ABROAD.public("log-mldsa44"))
    demand = WitnessRule(1, (Witness(key.name, key.to_text(), "https://watcher.example"),))

    assert recognising(peers=(row(witnesses=demand),)).reasons == (Reason.VKEY,)


# --- what is remembered ----------------------------------------------------------------------------------------------


def remembered(*views: PeerView, **inputs: Any) -> Seen:
    """What is remembered after judging the good licence."""
    try:
        return verify(
            GOOD.compact,
            trust=inputs.pop("trust", usual_home()),
            peers=views,
            at=NOW,
            policy=PINNED,
            status=inputs.pop("status", [ABROAD.status(usual_abroad())]),
            receipt=ABROAD.receipt(GOOD.index, GOOD.opening),
        ).seen
    except NotVerified as refused:
        return refused.seen


def test_each_region_is_remembered_under_its_own_root() -> None:
    """Two roots that claim one code do not mix, nor two regions that name one status list."""
    seen = remembered(view())

    assert seen.trust == {f"610000/{HOME.pin}": 1, f"620000/{ABROAD.pin}": 1}
    assert set(seen.lists) == {f"{ABROAD.pin} {ABROAD.list_uri}"}
    assert Seen.from_json(seen.to_json()) == seen
    impostor = Issuer(region="620000", base=ABROAD.base)
    assert remembered(PeerView(impostor.trust(seq=99))).trust == {f"610000/{HOME.pin}": 1}


def test_a_state_written_before_roots_were_kept_still_counts_and_is_replaced() -> None:
    """A number without a root counts for any root of that code, until one is seen."""
    old = Seen(trust={"610000": 5})

    assert (old.highest("610000", HOME.pin), old.highest("620000", ABROAD.pin)) == (5, 0)
    assert old.with_trust("610000", HOME.pin, 6).trust == {f"610000/{HOME.pin}": 6}
    assert old.with_trust("610000", HOME.pin, 3).trust == {f"610000/{HOME.pin}": 5}


def test_a_peer_that_lies_about_the_time_spoils_only_its_own_documents() -> None:
    """What it vouches for makes our clock look slow for its licence, and is not remembered."""
    ahead = NOW + 300 * DAY
    future = ABROAD.trust(issued_at=ahead, next_update=ahead, expires_at=ahead + DAY)

    assert given_abroad(peers=[view(future)]).reasons == (Reason.CLOCK_BEHIND,)
    assert remembered(view(future)).newest == NOW
