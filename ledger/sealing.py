"""A proposal made ready for the writer: records sealed, commitments computed, all of it outside the head lock."""

from __future__ import annotations

from dataclasses import dataclass

from ledger.events import Draft
from ledger.proposals import Proposal
from ledger.vault import Vault, digest_of
from verifiers import canonical, commitment

CATALOGUE = "catalogue"
"""What proposals touch that change who may do what, and what those read that were authorised by it."""

CATALOGUE_KINDS = frozenset({"department", "grant", "type", "matter", "key", "peer", "equivalence", "rule"})
"""Kinds of entries after which the catalogue is a new one."""


@dataclass(slots=True)  # not frozen: made for every row
class SealedDraft:
    """A draft with its commitment and its record's stored parts; `keys` are the wrapped keys of parts 1, 2, …"""

    draft: Draft
    commit: bytes
    blobs: tuple[bytes, ...]
    keys: tuple[bytes, ...]


@dataclass(slots=True)  # not frozen: made for every row
class SealedProposal:
    """A proposal that needs nothing but its place in the log.

    `slot` and `answer` go to the table `idempotency`; `touches` and `reads` include what the writer itself must keep
    apart; `weight` is what its records weigh in bytes.
    """

    proposal: Proposal
    drafts: tuple[SealedDraft, ...]
    slot: bytes | None
    answer: bytes | None
    touches: frozenset[str | bytes]
    reads: frozenset[str]
    weight: int


def seal(proposal: Proposal, vault: Vault) -> SealedProposal:
    """Seal a proposal's records and hide its idempotency key. Raises `ValueError` if it has no draft."""
    if not proposal.drafts:
        raise ValueError("a proposal has at least one draft")
    drafts = tuple(_seal_draft(draft, vault) for draft in proposal.drafts)
    again, slot = proposal.idempotency, None
    touches: set[str | bytes] = {*proposal.touches, *(draft.thing for draft in proposal.drafts)}
    if again is not None:
        slot = vault.idempotency_slot(again.client, again.endpoint, again.key)
        touches.add(slot)
    if any(draft.kind in CATALOGUE_KINDS for draft in proposal.drafts):
        touches.add(CATALOGUE)
    return SealedProposal(
        proposal=proposal,
        drafts=drafts,
        slot=slot,
        answer=None if again is None or proposal.answer is None else vault.seal_answer(proposal.answer),
        touches=frozenset(touches),
        reads=proposal.reads if proposal.authorise is None else proposal.reads | {CATALOGUE},
        weight=sum(len(blob) for draft in drafts for blob in draft.blobs),
    )


def _seal_draft(draft: Draft, vault: Vault) -> SealedDraft:
    blobs, keys = [vault.seal_facts(draft.statement, draft.segments)], []
    for part in draft.subjects:
        blob, key = vault.seal_subject(canonical.encode(part.body))
        blobs.append(blob)
        keys.append(key)
    hdoc = commitment.doc_hash(draft.salt_d, draft.jws_digest, draft.code_digest)
    hrec = commitment.record_hash([digest_of(blob) for blob in blobs])
    return SealedDraft(draft, commitment.commit(hdoc, hrec), tuple(blobs), tuple(keys))
