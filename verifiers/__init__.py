"""Everything a third party needs to check what this ledger says, off line: pure functions over bytes, keys and a time.

The front door takes whatever was presented (a licence, the text of a code, a receipt, a bundle) and either returns what
it shows or raises `NotVerified`, which carries the same verdict with numbered steps and reasons::

    trust = open_trust_list(jwt, root_fingerprint=pinned, at=now)
    status = [open_status_list(token, trust)]
    verified = verify(presented, trust=trust, status=status, receipt=text, at=now, policy=Policy(root=pinned))
    print(verified.verdict.outcome)                     # valid; invalid and undetermined are raised

Below it lies the log, which needs none of that. A receipt alone shows that an entry is in a log, for ever::

    policy = LogPolicy("licence.example/log/1", tuple(NoteKey.from_text(vkey) for vkey in vkeys))
    opened = check_receipt(text, policy)
    print(opened.index, opened.leaf.kind, opened.checkpoint.grade)

and the tree is RFC 6962's, kept as a frontier of a few hashes:

>>> from verifiers import Frontier, check_inclusion, leaf_hash
>>> frontier = Frontier()
>>> for entry in (b"first", b"second"):
...     frontier.append(leaf_hash(entry))
>>> check_inclusion(leaf_hash(b"first"), 0, 2, [leaf_hash(b"second")], frontier.root())

Pairs stand side by side: `encode`/`decode`, `format`/`parse`, `prove`/`check`; a parsed value is unverified until it
comes out of an `open_…` or `check_…`. What was presented can only ever raise `VerificationError` or `NotVerified`; a
`ValueError` is the caller's own mistake. Formats are described under `docs/formats/`, one page each.
"""

from verifiers.audit import Fault, Part, Replay, open_record, replay
from verifiers.checkpoint import (
    Checkpoint,
    Grade,
    LogPolicy,
    SignedCheckpoint,
    open_checkpoint,
    parse_checkpoint,
    sign_checkpoint,
)
from verifiers.commitment import Opening, open_leaf
from verifiers.entry import Leaf
from verifiers.errors import (
    Malformed,
    OpeningFailed,
    ProofFailed,
    Reason,
    SignatureFailed,
    VerificationError,
)
from verifiers.merkle import (
    Frontier,
    check_consistency,
    check_inclusion,
    leaf_hash,
    node_hash,
    prove_consistency,
    prove_inclusion,
)
from verifiers.note import Note, NoteKey, format_note, open_note, parse_note
from verifiers.policy import Policy, Seen
from verifiers.receipt import OpenedReceipt, Receipt, check_receipt, open_receipt, parse_receipt
from verifiers.statement import Statement, open_statement
from verifiers.status_list import StatusList, open_status_list
from verifiers.tiles import HashReader, Tile
from verifiers.trust_list import TrustList, open_trust_list
from verifiers.verdict import NotVerified, Outcome, Verdict, Verified
from verifiers.verification import verify

__all__ = [
    "Checkpoint",
    "Fault",
    "Frontier",
    "Grade",
    "HashReader",
    "Leaf",
    "LogPolicy",
    "Malformed",
    "NotVerified",
    "Note",
    "NoteKey",
    "OpenedReceipt",
    "Opening",
    "OpeningFailed",
    "Outcome",
    "Part",
    "Policy",
    "ProofFailed",
    "Reason",
    "Receipt",
    "Replay",
    "Seen",
    "SignatureFailed",
    "SignedCheckpoint",
    "Statement",
    "StatusList",
    "Tile",
    "TrustList",
    "Verdict",
    "VerificationError",
    "Verified",
    "check_consistency",
    "check_inclusion",
    "check_receipt",
    "format_note",
    "leaf_hash",
    "node_hash",
    "open_checkpoint",
    "open_leaf",
    "open_note",
    "open_receipt",
    "open_record",
    "open_statement",
    "open_status_list",
    "open_trust_list",
    "parse_checkpoint",
    "parse_note",
    "parse_receipt",
    "prove_consistency",
    "prove_inclusion",
    "replay",
    "sign_checkpoint",
    "verify",
]
