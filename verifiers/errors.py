"""Every way in which something shown to us can fail to hold up.

::

    VerificationError            whatever was presented is not accepted; has `reason`, `detail`, `step`
    ├── Malformed                bytes or text that are not in the one form we accept
    ├── ProofFailed              a Merkle proof does not lead to the root it should lead to
    ├── SignatureFailed          a required signature is missing, or one that is there is wrong
    └── OpeningFailed            an opening, statement or record does not belong to its log entry

A caller's own mistake (a negative index, a hash of the wrong length it made itself) is a `ValueError`; bad input from
outside never is.
"""

from enum import StrEnum


class Reason(StrEnum):
    """The closed table of reasons, stable codes that programs may compare."""

    # encodings
    ENCODING = "encoding.malformed"
    CANONICAL = "canonical.malformed"
    # the log
    ENTRY = "entry.malformed"
    STATEMENT = "statement.malformed"
    STATEMENT_MISMATCH = "statement.mismatch"
    STATEMENT_KEY = "statement.key_unknown"
    STATEMENT_SIGNATURE = "statement.signature"
    RECORD = "record.malformed"
    TILE = "tile.malformed"
    PROOF_INCLUSION = "proof.inclusion"
    PROOF_CONSISTENCY = "proof.consistency"
    VKEY = "vkey.malformed"
    NOTE = "note.malformed"
    NOTE_SIGNATURE = "note.signature"
    NOTE_UNSIGNED = "note.unsigned"
    CHECKPOINT = "checkpoint.malformed"
    CHECKPOINT_ORIGIN = "checkpoint.origin"
    CHECKPOINT_SIGNATURE = "checkpoint.signature"
    CHECKPOINT_UNSIGNED = "checkpoint.unsigned"
    RECEIPT = "receipt.malformed"
    RECEIPT_INCLUSION = "receipt.inclusion"
    RECEIPT_OPENING = "receipt.opening"
    # what was presented
    PRESENTED = "presented.malformed"
    TOKEN_TYPE = "token.type"
    LICENCE = "licence.malformed"
    LICENCE_SIGNATURE = "licence.signature"
    DISCLOSURE = "disclosure.malformed"
    DISCLOSURE_DUPLICATE = "disclosure.duplicate"
    DISCLOSURE_UNREFERENCED = "disclosure.unreferenced"
    CODE = "code.malformed"
    CODE_SIGNATURE = "code.signature"
    DYNAMIC = "dynamic.malformed"
    DYNAMIC_MAC = "dynamic.mac"
    DYNAMIC_SKEW = "dynamic.clock_skew"
    DYNAMIC_OFFLINE = "dynamic.offline"
    BUNDLE = "bundle.malformed"
    BUNDLE_MISMATCH = "bundle.mismatch"
    BUNDLE_EVENTS = "bundle.events"
    # whom to trust for what
    ROOT_UNPINNED = "root.unpinned"
    ROOT_MISMATCH = "root.mismatch"
    TRUST = "trust.malformed"
    TRUST_MISSING = "trust.missing"
    TRUST_CERTIFICATE = "trust.certificate"
    TRUST_SIGNATURE = "trust.signature"
    TRUST_EXPIRED = "trust.expired"
    TRUST_ROLLBACK = "trust.rollback"
    TRUST_CONTRADICTED = "trust.contradicted"
    KEY_UNKNOWN = "key.unknown"
    KEY_PURPOSE = "key.purpose"
    KEY_CERTIFICATE = "key.certificate"
    KEY_TERM = "key.term"
    KEY_COMPROMISED = "key.compromised"
    ISSUER_MISMATCH = "issuer.mismatch"
    GRANT_MISSING = "grant.missing"
    GRANT_AREA = "grant.area"
    GRANT_TERM = "grant.term"
    TYPE_UNKNOWN = "type.unknown"
    TYPE_INTEGRITY = "type.integrity"
    HOLDER_BINDING = "holder.binding"
    # other regions
    PEER_UNKNOWN = "peer.unknown"
    PEER_SUSPENDED = "peer.suspended"
    PEER_WITHDRAWN = "peer.withdrawn"
    PEER_LIST_MISSING = "peer.list_missing"
    PEER_LIST_EXPIRED = "peer.list_expired"
    PEER_LIST_ROLLBACK = "peer.list_rollback"
    PEER_LIST_UNLOGGED = "peer.list_unlogged"
    PEER_FORKED = "peer.forked"
    PEER_ROLLED_BACK = "peer.rolled_back"
    PEER_INCONSISTENT = "peer.inconsistent"
    PEER_UNREACHABLE = "peer.unreachable"
    EQUIVALENCE_MISSING = "equivalence.missing"
    EQUIVALENCE_NOT_IN_FORCE = "equivalence.not_in_force"
    RULE = "rule.malformed"
    RULE_FIELD = "rule.field_missing"
    RULE_REFUSED = "rule.refused"
    APPROVAL = "approval.malformed"
    APPROVAL_SIGNATURE = "approval.signature"
    NOTICE = "notice.malformed"
    NOTICE_SIGNATURE = "notice.signature"
    REGION_LIST = "region_list.malformed"
    REGION_LIST_SIGNATURE = "region_list.signature"
    REGION_LIST_ROLLBACK = "region_list.rollback"
    KIT = "kit.malformed"
    KIT_MISMATCH = "kit.mismatch"
    KIT_SIGNATURE = "kit.signature"
    KIT_ROLLBACK = "kit.rollback"
    WITNESS_REQUEST = "witness.request"
    WITNESS_POLICY = "witness.policy"
    # what the licence, its receipt and its status say
    NOT_YET_VALID = "validity.not_yet_valid"
    EXPIRED = "validity.expired"
    LOG_UNKNOWN = "log.unknown"
    RECEIPT_MISSING = "receipt.missing"
    RECEIPT_MISMATCH = "receipt.mismatch"
    RECEIPT_REFRESH = "receipt.refresh"
    RECEIPT_GRADE = "receipt.grade"
    STATUS = "status.malformed"
    STATUS_MISSING = "status.missing"
    STATUS_KEY = "status.key"
    STATUS_SIGNATURE = "status.signature"
    STATUS_STALE = "status.stale"
    STATUS_TIME = "status.time"
    STATUS_ROLLBACK = "status.rollback"
    STATUS_INDEX = "status.index"
    REVOKED = "status.revoked"
    SUSPENDED = "status.suspended"
    REFUSED = "status.refused"
    CLOCK_BEHIND = "clock.behind"
    # what only the issuing region's own ledger can add
    LEDGER_UNKNOWN = "ledger.unknown"
    STATE_SUSPENDED = "state.suspended"
    STATE_ANNULLED = "state.annulled"
    STATE_PENALTY_REVOKED = "state.penalty_revoked"
    STATE_WITHDRAWN = "state.withdrawn"
    STATE_CANCELLED = "state.cancelled"
    STATE_EXPIRED = "state.expired"
    STATE_TRANSFERRED = "state.transferred_out"
    STATE_SUPERSEDED = "state.superseded"
    STATE_APPEALABLE = "state.revoked_appealable"


class VerificationError(Exception):
    """What was presented is not accepted, for `reason`; `detail` says it in English, `step` names the check.

    Nothing but this family leaves `verifiers` because of what was presented.
    """

    def __init__(self, reason: Reason, detail: str = "", step: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else str(reason))
        self.reason = reason
        self.detail = detail
        self.step = step


class Malformed(VerificationError):
    """Bytes or text that are not in the one form we accept."""


class ProofFailed(VerificationError):
    """A Merkle proof does not lead to the root it should lead to."""


class SignatureFailed(VerificationError):
    """A required signature is missing, or one that is there is wrong."""


class OpeningFailed(VerificationError):
    """An opening, a statement or a record does not belong to its log entry."""
