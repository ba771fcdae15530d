"""Verifying online: the verdict of `verifiers.verify`, sharpened by what only this region's own ledger knows.

The ledger must hold exactly the signed bytes that are presented, so a forgery under a stolen key is found out even
where its signature is good (protocol 25). Where an offline verifier needs a receipt and a status list, the ledger is
asked itself: the entry is there, and the slot says now what the next list will say. A receipt is composed only where
the order of things matters, for keys and grants that have ended or were compromised. Nothing is cached but the opened
trust list and, bounded, checkpoints and those receipts.

A document that the ledger does not hold may be another region's. It is judged by that region's lists as this region
follows them, without asking anybody now; our ledger has no say in it, so its verdict has no step `ledger`.
"""

from __future__ import annotations

from collections import OrderedDict
from datetime import date
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import select

from keys.certificates import fingerprint
from ledger.causes import FINAL_SLOT, open_causes_of
from ledger.errors import Code, Refusal
from ledger.held_documents import Held, HeldDocuments
from ledger.receipts import counting_size, receipt_of
from ledger.tables.publishing import trust_lists
from verifiers.bundle import parse_bundle
from verifiers.cascade import Effect, state_of
from verifiers.checkpoint_cache import CheckpointCache
from verifiers.code import parse_code_text
from verifiers.commitment import code_digest, jws_digest
from verifiers.errors import Reason, VerificationError
from verifiers.legal_dates import day_of
from verifiers.licence import UnverifiedLicence
from verifiers.policy import Policy
from verifiers.trust_list import TrustList, open_trust_list
from verifiers.verdict import Check, Finding, Mark, NotVerified, Outcome, Step, Verdict, ranked, worst
from verifiers.verification import verify

if TYPE_CHECKING:
    from datetime import datetime

    from ledger.following import Following
    from ledger.region import Region

BOUND_S: Final = 1
"""Seconds a withdrawal may be in force without an online verdict showing it (protocol 31a)."""

RECEIPTS_KEPT: Final = 4_096

_STATE_REASON: Final = {
    "suspended": Reason.STATE_SUSPENDED,
    "annulled": Reason.STATE_ANNULLED,
    "penalty_revoked": Reason.STATE_PENALTY_REVOKED,
    "withdrawn": Reason.STATE_WITHDRAWN,
    "cancelled": Reason.STATE_CANCELLED,
    "expired": Reason.STATE_EXPIRED,
    "transferred_out": Reason.STATE_TRANSFERRED,
}

# What a list that is older than the ledger can say of a slot; the ledger's own answer takes its place.
_OF_THE_LIST: Final = frozenset(
    {Reason.STATUS_MISSING, Reason.STATUS_STALE, Reason.REVOKED, Reason.SUSPENDED, Reason.REFUSED}
)


_OF_LIST_AND_RECEIPT: Final = _OF_THE_LIST | {Reason.RECEIPT_MISSING}
_IN_FORCE: Final = Check(Step.STATUS, Mark.PASSED, 0, "ledger")
_WITHDRAWN: Final = Check(Step.STATUS, Mark.FAILED, 0, "ledger")
_ENTERED: Final = Check(Step.RECEIPT, Mark.PASSED, 0, "ledger")


class OnlineVerifier:
    """Gives online verdicts for one region; one a process, used from its event loop."""

    def __init__(self, region: Region) -> None:
        self._region = region
        self._documents = HeldDocuments(region.database)
        self._root = fingerprint(region.root_certificate)
        self._policy = Policy(root=self._root)
        self._trust: tuple[int, TrustList] | None = None
        self._checkpoints = CheckpointCache()
        self._receipts: OrderedDict[tuple[int, int | None], str] = OrderedDict()

    async def verdict(self, presented: str, receipt: str | None = None) -> Verdict:
        """Judge an SD-JWT VC, a bundle or the text of a static code as of now. Raises nothing for what is presented.

        `receipt` is one that came with it: another region's licence needs one, ours is looked up here.
        """
        return (await self.judge(presented, receipt))[0]

    async def judge(self, presented: str, receipt: str | None = None) -> tuple[Verdict, Held | None]:
        """Return the verdict and what the ledger holds of the document, if anything."""
        region, at = self._region, self._region.clock.now()
        digest = _digest_of(presented)
        held, seq = await self._documents.find(digest)
        trust = await self._trust_list(seq, at)
        if held is None:
            # What we hold is ours, whatever anybody's list says, so only the rest is compared with the lists of peers.
            found = self._verify(presented, trust, at, receipt, region.following)
            return (found if _foreign(found) else _unknown(found, digest is not None)), None
        return await self._judged(presented, held, trust, at, receipt), held

    async def judge_held(self, licence: UnverifiedLicence, held: Held, seq: int | None) -> Verdict:
        """Judge a licence that was built from the record, of which the ledger holds `held`.

        Whoever calls has compared its digest with that of `held`; `seq` is the number of the newest trust list. The
        verdict is the one on the same licence as it would be presented, its signature checked like any other.
        """
        at = self._region.clock.now()
        return await self._judged(licence, held, await self._trust_list(seq, at), at, None)

    async def _judged(
        self,
        presented: str | UnverifiedLicence,
        held: Held,
        trust: TrustList | None,
        at: datetime,
        receipt: str | None,
    ) -> Verdict:
        found = self._verify(presented, trust, at, receipt)
        if trust is not None and _order_matters(found, trust, held) and not _has(found, Step.RECEIPT, Mark.FAILED):
            found = self._verify(presented, trust, at, await self._receipt(held.idx))
        told = [] if held.state == "valid" and not held.slot else await self._standing(held, day_of(at))
        return _sharpened(found, held, told)

    def _verify(
        self,
        presented: str | UnverifiedLicence,
        trust: TrustList | None,
        at: datetime,
        receipt: str | None,
        following: Following | None = None,
    ) -> Verdict:
        try:
            return verify(
                presented,
                trust=trust,
                status=() if following is None else following.status_lists(),
                receipt=receipt,
                at=at,
                policy=self._policy,
                cache=self._checkpoints,
                peers=() if following is None else following.views(),
            ).verdict
        except NotVerified as refused:
            return refused.verdict

    async def _trust_list(self, seq: int | None, at: datetime) -> TrustList | None:
        if seq is None:
            return None
        if self._trust is None or self._trust[0] != seq:
            query = select(trust_lists.c.list).where(trust_lists.c.seq == seq)
            text = await self._region.database.read(lambda tx: str(tx.execute(query).scalar_one()))
            opened = open_trust_list(text, root_fingerprint=self._root, at=at, source="ledger")
            self._trust = (seq, opened)
        return self._trust[1]

    async def _receipt(self, idx: int) -> str | None:
        """Return the receipt of a document under the tree in which it counts: a newer one would prove too little."""
        region = self._region
        size = await region.database.read(lambda tx: counting_size(tx, region.catalogue, region.origin, idx))
        known = self._receipts.get((idx, size))
        if known is None:
            try:
                known = await receipt_of(region, idx, size=size)
            except Refusal as refusal:
                if refusal.code not in (Code.RECEIPT_PENDING, Code.CHECKPOINT_UNKNOWN):
                    raise
                return None  # sequenced, not yet published: the verdict says that its receipt is missing
            if (
                size is None
                and region.cosigner is not None
                and region.log_policy.quorum
                and idx >= region.cosigner.size
            ):
                return known  # one that ends in a witnessed checkpoint is on its way
            self._receipts[idx, size] = known
            if len(self._receipts) > RECEIPTS_KEPT:
                self._receipts.popitem(last=False)
        return known

    async def _standing(self, held: Held, today: date) -> list[Finding]:
        """Say why the licence is not simply valid, and until when that may be appealed."""
        causes = await self._region.database.read(lambda tx: open_causes_of(tx, [held.licence]), cheap=True)
        mine = causes.get(held.licence, ())
        state = state_of(mine, today)
        told = [Finding.of(Reason.STATE_SUPERSEDED, "a later version took its place")] if held.superseded else []
        if state.state == "valid":
            # Reversed after it had become final: the bit stays, a new version is the relief (protocol 20).
            final = held.slot == FINAL_SLOT and not held.superseded
            return [Finding.of(Reason.REVOKED, "withdrawn for good")] if final else told
        if state.state == "suspended":
            return [*told, Finding.of(Reason.SUSPENDED), Finding.of(Reason.STATE_SUSPENDED)]
        told += [Finding.of(Reason.REVOKED), Finding.of(_STATE_REASON[state.state])]
        appeals = [c.appealable_until for c in mine if c.effect is Effect.REVOKED and c.appealable_until]
        if state.slot != 1 and appeals:
            told.append(Finding.of(Reason.STATE_APPEALABLE, f"appealable until {min(appeals).isoformat()}"))
        return told


def _digest_of(presented: str) -> tuple[bool, bytes] | None:
    """What the ledger knows a document by: whether it is a code, and the hash of its signed bytes."""
    text = presented.strip()
    try:
        if text.startswith("{"):
            bundle = parse_bundle(text.encode("utf-8", "surrogatepass"))
            text = bundle.licence or bundle.code or ""
        if "~" in text:
            signing_input, _, _ = text.partition("~")[0].rpartition(".")
            return False, jws_digest(signing_input.encode("ascii"))
        if "#" in text:
            return True, code_digest(parse_code_text(text).sig_structure)
    except (VerificationError, UnicodeEncodeError):
        return None
    return None


def _order_matters(found: Verdict, trust: TrustList, held: Held) -> bool:
    """Whether it must be proven when the document entered the log: its key or its grant has ended or fell."""
    key = trust.key(held.kid)
    if key is not None and (key.revoked is not None or key.log_to is not None):
        return True
    return _has(found, Step.POSITION, Mark.UNDETERMINED)


def _foreign(found: Verdict) -> bool:
    """Whether a document was taken for another region's, recognised or not."""
    return any(check.step is Step.PEER for check in found.checks)


def _unknown(found: Verdict, readable: bool) -> Verdict:
    """The verdict on a document the ledger does not hold; what cannot even be read is refused for that alone."""
    if not readable:
        return found
    finding = Finding.of(Reason.LEDGER_UNKNOWN, "this region's ledger does not hold these signed bytes")
    return found.adding([finding], check=Check(Step.LEDGER, Mark.FAILED, 0, "ledger"))


def _sharpened(found: Verdict, held: Held, told: list[Finding]) -> Verdict:
    """Put the ledger's own knowledge in the place of the receipt and the status list."""
    proven = _has(found, Step.POSITION, Mark.PASSED) or _has(found, Step.POSITION, Mark.SKIPPED)
    replaced = _OF_LIST_AND_RECEIPT if proven else _OF_THE_LIST
    findings = ranked([*[one for one in found.findings if one.reason not in replaced], *told])
    checks: list[Check] = []
    for check in found.checks:
        step = check.step
        if step is Step.STATUS:
            checks.append(_WITHDRAWN if told else _IN_FORCE)
        elif step is Step.RECEIPT and proven and check.mark is not Mark.FAILED:
            checks.append(check if check.mark is Mark.PASSED else _ENTERED)
        else:
            checks.append(check)
    checks.append(Check(Step.LEDGER, Mark.PASSED, 0, f"entry {held.idx}"))
    return Verdict(
        outcome=worst(findings),
        at=found.at,
        findings=findings,
        checks=tuple(checks),
        notes=found.notes,
        bound_s=BOUND_S,
        licence=found.licence,
        region=found.region,
        recognition=found.recognition,
    )


def _has(found: Verdict, step: Step, mark: Mark) -> bool:
    for check in found.checks:  # noqa: SIM110 - `any` makes a generator, which takes three times as long
        if check.step is step and check.mark is mark:
            return True
    return False


def worst_of(verdicts: list[Verdict]) -> Outcome:
    """Return the worst outcome of several verdicts; valid for none."""
    outcomes = {verdict.outcome for verdict in verdicts}
    return next((each for each in (Outcome.INVALID, Outcome.UNDETERMINED) if each in outcomes), Outcome.VALID)


def content_of(verdict: Verdict) -> dict[str, Any]:
    """Return what the verdict shows of the licence, empty where its signature did not hold."""
    return dict(verdict.licence or {})
