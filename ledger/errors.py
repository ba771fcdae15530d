"""What the ledger says when it says no.

    Exception
    └── Refusal      an expected no; its `code` is stable and the caller can act on it

There is one class on purpose: callers never choose by class, they pass the refusal on. `api.problems` has one row a
code (status, title and next step in two languages) and a test demands that no code lacks its row. No HTTP here.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any


class Code(StrEnum):
    """Every reason for which the ledger refuses, grouped by noun. Names are stable: programs match on them."""

    # what came in
    BODY_TOO_LARGE = "body.too_large"
    BODY_NOT_UTF8 = "body.not_utf8"
    BODY_NOT_JSON = "body.not_json"
    BODY_DUPLICATE_NAME = "body.duplicate_name"
    BODY_NUL = "body.nul"
    BODY_SURROGATE = "body.surrogate"
    BODY_NUMBER = "body.number"
    BODY_TOO_DEEP = "body.too_deep"
    BODY_INVALID = "body.invalid"
    BODY_MEDIA_TYPE = "body.media_type"
    BODY_TOO_SLOW = "body.too_slow"
    PARAMETER_INVALID = "parameter.invalid"
    ROW_TOO_LONG = "row.too_long"
    BATCH_TOO_LONG = "batch.too_long"
    BATCH_UNKNOWN = "batch.unknown"
    BATCH_EMPTY = "batch.empty"
    CURSOR_INVALID = "cursor.invalid"
    PICTURE_UNREADABLE = "picture.unreadable"
    PICTURE_TOO_LARGE = "picture.too_large"
    PATH_UNKNOWN = "path.unknown"
    METHOD_NOT_ALLOWED = "method.not_allowed"
    IDEMPOTENCY_MISSING = "idempotency.missing"
    OPERATOR_MISSING = "operator.missing"
    SERVICE_BUSY = "service.busy"
    INTERNAL = "internal"

    # settings
    KEYSTORE_PASSWORD_MISSING = "keystore.password_missing"  # noqa: S105 - a reason, not a password
    WORKERS_ON_SQLITE = "workers.on_sqlite"
    EXAMPLES_MISSING = "examples.missing"

    # callers
    ASSERTION_MALFORMED = "assertion.malformed"
    ASSERTION_SIGNATURE = "assertion.signature"
    ASSERTION_AUDIENCE = "assertion.audience"
    ASSERTION_EXPIRED = "assertion.expired"
    ASSERTION_LIFETIME = "assertion.lifetime"
    ASSERTION_CLOCK = "assertion.clock"
    ASSERTION_REPLAYED = "assertion.replayed"
    TOKEN_MISSING = "token.missing"  # noqa: S105 - a reason, not a password
    TOKEN_MALFORMED = "token.malformed"  # noqa: S105 - a reason, not a password
    TOKEN_EXPIRED = "token.expired"  # noqa: S105 - a reason, not a password
    TOKEN_OTHER_REGION = "token.other_region"  # noqa: S105 - a reason, not a password
    GRANT_TYPE_UNSUPPORTED = "grant_type.unsupported"
    CLIENT_UNKNOWN = "client.unknown"
    CLIENT_DISABLED = "client.disabled"
    SCOPE_UNKNOWN = "scope.unknown"
    SCOPE_EXCEEDED = "scope.exceeded"
    SUBJECT_UNKNOWN = "subject.unknown"

    # the writer and its storage
    WRITER_BUSY = "writer.busy"
    WRITER_STOPPED = "writer.stopped"
    DATABASE_UNAVAILABLE = "database.unavailable"
    STORAGE_FULL = "storage.full"
    COMMIT_UNKNOWN = "commit.unknown"
    CLOCK_BEHIND = "clock.behind"
    CLOCK_AHEAD = "clock.ahead"
    STALE = "stale"
    CONFLICT = "conflict"
    ENTRY_TOO_LARGE = "entry.too_large"
    LOG_EXISTS = "log.exists"
    LOG_MISSING = "log.missing"
    LOG_OTHER = "log.other"
    LOG_ROLLED_BACK = "log.rolled_back"
    LOG_UNCONFIRMED = "log.unconfirmed"
    SCHEMA_OUTDATED = "schema.outdated"

    # backups
    BACKUP_INCOMPLETE = "backup.incomplete"
    BACKUP_DAMAGED = "backup.damaged"
    BACKUP_OTHER = "backup.other"
    BACKUP_UNSAFE = "backup.unsafe"
    DATABASE_NOT_EMPTY = "database.not_empty"

    # idempotency
    IDEMPOTENCY_CONFLICT = "idempotency.conflict"
    ANSWER_ERASED = "answer.erased"

    # lineage
    BASIS_CAUSE_OPEN = "basis.cause_open"

    # fraud cases
    FLAG_UNKNOWN = "flag.unknown"
    FLAG_TARGET_UNKNOWN = "flag.target_unknown"
    FLAG_TOO_MANY_TARGETS = "flag.too_many_targets"
    FLAG_DECIDED = "flag.decided"
    FLAG_UNDECIDED = "flag.undecided"
    FLAG_REVERSED = "flag.reversed"
    FLAG_NOT_UPHELD = "flag.not_upheld"
    FLAG_NOT_NOTIFIED = "flag.not_notified"
    FLAG_RESPONSE_OPEN = "flag.response_open"
    FREEZE_PERIOD = "freeze.period"
    FREEZE_TARGET = "freeze.target"
    NOTICE_PERIOD = "notice.period"
    DECISION_SAME_OFFICER = "decision.same_officer"
    DECISION_DATES = "decision.dates"
    PREVIEW_CHANGED = "preview.changed"
    SPARED_UNKNOWN = "spared.unknown"
    REVIEW_UNKNOWN = "review.unknown"
    REVIEW_CLOSED = "review.closed"

    # credit
    CREDIT_RULE_UNKNOWN = "credit.rule_unknown"
    CREDIT_POLICY_UNKNOWN = "credit.policy_unknown"
    CREDIT_LIST_ENTRY_MISSING = "credit.list_entry_missing"
    SUBJECT_BANNED = "subject.banned"

    # codes and scans
    CODE_MALFORMED = "code.malformed"
    CODE_UNKNOWN = "code.unknown"
    CODE_ENDED = "code.ended"
    CODE_WITHDRAWN = "code.withdrawn"
    CODE_CLOCK = "code.clock"
    CODE_REPLAYED = "code.replayed"
    CODE_LIFETIME = "code.lifetime"
    CODE_NOTHING_CHOSEN = "code.nothing_chosen"
    SCAN_OUT_OF_SCOPE = "scan.out_of_scope"

    # keys
    KEY_UNKNOWN = "key.unknown"

    # departments, keys, grants
    DEPARTMENT_UNKNOWN = "department.unknown"
    DEPARTMENT_EXISTS = "department.exists"
    DEPARTMENT_CLOSED = "department.closed"
    DEPARTMENT_INVALID = "department.invalid"
    KEY_RETIRED = "key.retired"
    KEY_CERTIFICATE = "key.certificate"
    GRANT_UNKNOWN = "grant.unknown"
    GRANT_INVALID = "grant.invalid"
    GRANT_EXCEEDED = "grant.exceeded"

    # licence types and matters
    TYPE_UNKNOWN = "type.unknown"
    TYPE_MALFORMED = "type.malformed"
    TYPE_EXISTS = "type.exists"
    TYPE_INCOMPATIBLE = "type.incompatible"
    MATTER_UNKNOWN = "matter.unknown"
    MATTER_INVALID = "matter.invalid"
    MATTER_EXISTS = "matter.exists"
    CLIENT_INVALID = "client.invalid"
    CLIENT_EXISTS = "client.exists"

    # licences
    REQUEST_MEMBER_MISSING = "request.member_missing"
    REQUEST_MEMBER_UNKNOWN = "request.member_unknown"
    REQUEST_MEMBER_INVALID = "request.member_invalid"
    LICENCE_UNKNOWN = "licence.unknown"
    LICENCE_OTHER_DEPARTMENT = "licence.other_department"
    LICENCE_STATE = "licence.state"
    LICENCE_ERASED = "licence.erased"
    FIELD_MISSING = "field.missing"
    FIELD_UNKNOWN = "field.unknown"
    FIELD_INVALID = "field.invalid"
    HOLDER_COUNT = "holder.count"
    HOLDER_KIND = "holder.kind"
    HOLDER_ID_TYPE = "holder.id_type"
    HOLDER_NUMBER = "holder.number"
    HOLDER_REPEATED = "holder.repeated"
    OBJECT_INVALID = "object.invalid"
    NUMBER_INVALID = "number.invalid"
    NUMBER_TAKEN = "number.taken"
    VALIDITY_REVERSED = "validity.reversed"
    VALIDITY_RULE = "validity.rule"
    AREA_INVALID = "area.invalid"
    BASIS_UNKNOWN = "basis.unknown"
    BASIS_CYCLE = "basis.cycle"
    BASIS_STATE = "basis.state"

    # acts and versions
    ACT_INVALID = "act.invalid"
    ACT_DATES = "act.dates"
    ACT_NOTHING_OPEN = "act.nothing_open"
    VERSION_LIMIT = "version.limit"

    # import
    IMPORT_INVALID = "import.invalid"
    IMPORT_DUPLICATE = "import.duplicate"
    IMPORT_NUMBER = "import.number"

    # submissions and seals
    SUBMISSION_UNKNOWN = "submission.unknown"
    SUBMISSION_INVALID = "submission.invalid"
    SUBMISSION_DECIDED = "submission.decided"
    SUBMISSION_OTHER_DEPARTMENT = "submission.other_department"
    SUBMISSION_RESULT = "submission.result"
    MATERIAL_UNKNOWN = "material.unknown"
    SEAL_UNKNOWN = "seal.unknown"
    SEAL_INVALID = "seal.invalid"
    SEAL_EXISTS = "seal.exists"
    SEAL_STATE = "seal.state"
    PURPOSE_MISSING = "purpose.missing"

    # records
    RECORD_UNKNOWN = "record.unknown"
    RECORD_ERASED = "record.erased"
    RECORD_DAMAGED = "record.damaged"
    ERASURE_SAME_OFFICER = "erasure.same_officer"

    # what is published
    RECEIPT_PENDING = "receipt.pending"
    CHECKPOINT_UNKNOWN = "checkpoint.unknown"
    STATUS_LIST_UNKNOWN = "status_list.unknown"
    TRUST_LIST_UNKNOWN = "trust_list.unknown"

    # other regions
    PEER_UNKNOWN = "peer.unknown"
    WITNESS_POLICY_INVALID = "witness_policy.invalid"
    PEER_NOT_ADMITTED = "peer.not_admitted"
    PEER_SIGNATURE_MISSING = "peer.signature_missing"
    PEER_SIGNATURE_INVALID = "peer.signature_invalid"
    PEER_SIGNATURE_STALE = "peer.signature_stale"
    PEER_SIGNATURE_REPLAYED = "peer.signature_replayed"
    PEER_KEY_UNKNOWN = "peer.key_unknown"
    PEER_TOO_MANY_CALLS = "peer.too_many_calls"
    PEER_EXISTS = "peer.exists"
    PEER_SELF = "peer.self"
    PEER_ADDRESS = "peer.address"
    PEER_ROOT_MALFORMED = "peer.root_malformed"
    PEER_ROOT_MISMATCH = "peer.root_mismatch"
    PEER_UNREACHABLE = "peer.unreachable"
    PEER_LIST_INVALID = "peer.list_invalid"
    PEER_WITNESSES_INVALID = "peer.witnesses_invalid"
    PEER_PROPOSAL_INVALID = "peer.proposal_invalid"
    PEER_PROPOSAL_EXPIRED = "peer.proposal_expired"
    PEER_PROPOSAL_OUTDATED = "peer.proposal_outdated"
    PEER_APPROVALS_MISSING = "peer.approvals_missing"
    PEER_APPROVAL_INVALID = "peer.approval_invalid"
    PEER_SAME_APPROVER = "peer.same_approver"
    PEER_WITHDRAWN = "peer.withdrawn"
    PEER_STATE = "peer.state"
    EQUIVALENCE_UNKNOWN = "equivalence.unknown"
    EQUIVALENCE_EXISTS = "equivalence.exists"
    EQUIVALENCE_TYPE_UNKNOWN = "equivalence.type_unknown"
    EQUIVALENCE_NOTICE_TOO_SHORT = "equivalence.notice_too_short"
    EQUIVALENCE_WINDOW_INVALID = "equivalence.window_invalid"
    RULE_UNKNOWN = "rule.unknown"
    RULE_MALFORMED = "rule.malformed"
    RULE_TESTS_MISSING = "rule.tests_missing"
    RULE_TEST_FAILED = "rule.test_failed"
    RULE_WITHHOLDING = "rule.withholding"
    HUB_LIST_INVALID = "hub.list_invalid"
    HUB_REGION_UNKNOWN = "hub.region_unknown"

    # our witness
    WITNESS_STATE_MISSING = "witness.state_missing"
    WITNESS_CLOCK = "witness.clock"
    WITNESS_LOG_INVALID = "witness.log_invalid"
    WITNESS_LOG_UNKNOWN = "witness.log_unknown"


class Refusal(Exception):
    """An expected no, with a stable `code`, the JSON `pointer` of what it is about, and `facts` for its text.

    Facts are plain values (strings, integers, lists of them); they may be shown to the caller, so they never hold
    personal data that the caller did not send. `retry_after` (seconds) is a fact like any other.
    """

    def __init__(self, code: Code, pointer: str | None = None, **facts: Any) -> None:
        self.code = code
        self.pointer = pointer
        self.facts = facts
        super().__init__(code, pointer, facts)

    def __str__(self) -> str:
        where = f" at {self.pointer}" if self.pointer else ""
        what = ", ".join(f"{name}={value!r}" for name, value in self.facts.items())
        return f"{self.code}{where}" + (f" ({what})" if what else "")
