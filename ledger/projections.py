"""Every module with a projector, imported so that none is missing when the writer projects what it commits.

An event whose projector was not imported could not be logged at all (`events.project` raises), so the list is in one
place and a test compares it with the modules that register one.
"""

from ledger import (
    access,
    case_projection,
    credit_checks,
    departments,
    equivalences,
    erasing,
    grants,
    keys_registry,
    licence_events,
    matters,
    peers,
    rules,
    seals,
    subject_index,
    submissions,
    trust_publishing,
    types,
    witness_policies,
)

__all__ = [
    "access", "case_projection", "credit_checks", "departments", "equivalences", "erasing", "grants", "keys_registry",
    "licence_events", "matters", "peers", "rules", "seals", "subject_index", "submissions", "trust_publishing", "types",
    "witness_policies",
]  # fmt: skip
