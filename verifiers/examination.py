"""One verification under way: what it was given, and what its steps have found so far.

Not part of the public face: `verify` makes one, the steps in `authority` and `evidence` write into it, and it ends as a
`Verdict`.
"""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from verifiers.errors import Reason, VerificationError
from verifiers.policy import Policy, Seen
from verifiers.reasons import Note
from verifiers.status_list import StatusList
from verifiers.trust_list import TrustList
from verifiers.verdict import Check, Finding, Mark, Outcome, Step, Verdict, ranked, worst


@dataclass(frozen=True, slots=True)
class Claim:
    """What a licence and a static code have in common once parsed; still unverified.

    `digest` is the SHA-256 of `signed` as the log commits to it, `content` what is shown of it if its signature holds.
    """

    is_code: bool
    signed: bytes = field(repr=False)
    signature: bytes = field(repr=False)
    digest: bytes
    valid_from: dt.date
    valid_until: dt.date | None
    status_idx: int
    issued_at: dt.datetime | None
    imported: bool
    content: dict[str, Any]


@dataclass(slots=True)
class Examination:
    """The inputs of one verification and its findings, checks and notes so far.

    `vouched` is the newest time that a region stands for, `claimed` what the signer alone says.
    """

    at: dt.datetime
    policy: Policy
    seen: Seen
    trust: TrustList | None
    status: Sequence[StatusList] = ()
    findings: list[Finding] = field(default_factory=list)
    checks: list[Check] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)
    bound_s: int | None = None
    content: dict[str, Any] | None = None
    vouched: dt.datetime | None = None
    claimed: dt.datetime | None = None

    def passed(self, step: Step, since: dt.datetime | None = None, source: str | None = "presented") -> None:
        """Record that `step` passed on an input that is of the time `since`."""
        self.checks.append(Check(step, Mark.PASSED, None if since is None else self.age(since), source))

    def skipped(self, step: Step, source: str | None = None) -> None:
        """Record that `step` could not run because of what was found before, or does not apply."""
        self.checks.append(Check(step, Mark.SKIPPED, None, source))

    def found(
        self,
        step: Step,
        reason: Reason,
        detail: str = "",
        *,
        outcome: Outcome | None = None,
        since: dt.datetime | None = None,
        source: str | None = "presented",
    ) -> None:
        """Record that `step` found `reason`; its outcome is that of protocol 24 unless another is named."""
        finding = Finding.of(reason, detail, outcome)
        mark = Mark.FAILED if finding.outcome is Outcome.INVALID else Mark.UNDETERMINED
        self.findings.append(finding)
        self.checks.append(Check(step, mark, self.age(since), source))

    def refused(self, step: Step, error: VerificationError, source: str | None = "presented") -> None:
        """Record that an input of `step` was not accepted."""
        self.found(step, error.reason, error.detail, source=source)

    def note(self, note: Note) -> None:
        """Say something that decides nothing."""
        if note not in self.notes:
            self.notes.append(note)

    def vouch(self, at: dt.datetime | None) -> None:
        """Take note of a time that a region stands for."""
        if at is not None and (self.vouched is None or at > self.vouched):
            self.vouched = at

    def age(self, since: dt.datetime | None) -> int | None:
        """Whole seconds from `since` to the time of judging, never less than 0."""
        return None if since is None else max(0, int((self.at - since).total_seconds()))

    def verdict(self) -> Verdict:
        """All of it as a verdict: the worst finding wins."""
        outcome = worst(self.findings)
        return Verdict(
            outcome=outcome,
            at=self.at,
            findings=ranked(self.findings),
            checks=tuple(sorted(self.checks, key=_step_number)),
            notes=tuple(self.notes),
            bound_s=self.bound_s,
            licence=self.content,
            region=None if self.trust is None else self.trust.region,
        )


_STEP_NUMBERS = {step: number for number, step in enumerate(Step)}


def _step_number(check: Check) -> int:
    return _STEP_NUMBERS[check.step]
