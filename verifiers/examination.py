"""One verification under way: what it was given, and what its steps have found so far.

Not part of the public face: `verify` makes one, the steps in `authority` and `evidence` write into it, and it ends as a
`Verdict`.
"""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from functools import lru_cache
from typing import Any

from verifiers.errors import Reason, VerificationError
from verifiers.peer_view import PeerView
from verifiers.policy import Policy, Seen
from verifiers.reasons import Note
from verifiers.status_list import StatusList
from verifiers.trust_document import TrustedType
from verifiers.trust_list import TrustList
from verifiers.trusted_peers import TrustedPeer, WitnessRule
from verifiers.verdict import Check, Finding, Mark, Outcome, Recognition, Step, Verdict, in_order, ranked, worst


@dataclass(frozen=True, slots=True)
class Ground:
    """What a document is judged by: the trust list of its region and, for another region than ours, how we know it.

    `row` is what our own list says of that region, `view` what whoever follows it found; both or neither are there.
    """

    trust: TrustList
    row: TrustedPeer | None = None
    view: PeerView | None = None

    @property
    def demanded(self) -> WitnessRule | None:
        """The witnesses that we ask for ourselves."""
        return None if self.row is None else self.row.witnesses

    def witnesses(self, origin: str) -> tuple[int, int]:
        """How many of how many witnesses a checkpoint of the log needs; (0, 0) where nobody watches it."""
        if self.demanded is not None:
            return self.demanded.quorum, len({one.name for one in self.demanded.witnesses})
        log = self.trust.log(origin)
        return (0, 0) if log is None else (log.quorum, len({one.name for one in log.witnesses}))

    def list_name(self, uri: str) -> str:
        """The name under which the state of a status list is remembered: another region could claim any URI."""
        return uri if self.row is None else f"{self.trust.root_fingerprint} {uri}"


@dataclass(slots=True)
class Examination:
    """The inputs of one verification and its findings, checks and notes so far.

    `trust` is the list of the verifier's own region, `ground` what the document is judged by once that is known, and
    `counts_as` our type for it. `vouched` is the newest time that our region stands for, `told` that another region
    does (which is believed for its own documents only), `claimed` what the signer alone says.
    """

    at: dt.datetime
    policy: Policy
    seen: Seen
    trust: TrustList | None
    status: Sequence[StatusList] = ()
    peers: Sequence[PeerView] = ()
    ground: Ground | None = None
    counts_as: TrustedType | None = None
    recognition: Recognition | None = None
    findings: list[Finding] = field(default_factory=list)
    checks: list[Check] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)
    bound_s: int | None = None
    content: dict[str, Any] | None = None
    vouched: dt.datetime | None = None
    told: dt.datetime | None = None
    claimed: dt.datetime | None = None

    def passed(self, step: Step, since: dt.datetime | None = None, source: str | None = "presented") -> None:
        """Record that `step` passed on an input that is of the time `since`."""
        self.checks.append(_check(step, Mark.PASSED, None if since is None else self.age(since), source))

    def skipped(self, step: Step, source: str | None = None) -> None:
        """Record that `step` could not run because of what was found before, or does not apply."""
        self.checks.append(_check(step, Mark.SKIPPED, None, source))

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
        """Take note of a time that the region stands for whose document is being judged."""
        if at is None:
            return
        if self.ground is None or self.ground.row is None:
            self.vouched = at if self.vouched is None else max(at, self.vouched)
        else:
            self.told = at if self.told is None else max(at, self.told)

    def branch(self) -> "Examination":
        """A copy in which one possible ground can be tried."""
        return replace(self, findings=list(self.findings), checks=list(self.checks), notes=list(self.notes))

    def become(self, other: "Examination") -> None:
        """Take over everything that was found in a branch."""
        for each in fields(self):
            setattr(self, each.name, getattr(other, each.name))

    def age(self, since: dt.datetime | None) -> int | None:
        """Whole seconds from `since` to the time of judging, never less than 0."""
        if since is None:
            return None
        past = self.at - since
        return past.days * 86_400 + past.seconds if past.days >= 0 else 0

    def verdict(self) -> Verdict:
        """All of it as a verdict: the worst finding wins."""
        return Verdict(
            outcome=worst(self.findings),
            at=self.at,
            findings=ranked(self.findings),
            checks=tuple(sorted(self.checks, key=in_order)),
            notes=tuple(self.notes),
            bound_s=self.bound_s,
            licence=self.content,
            region=self._region(),
            recognition=self.recognition,
        )

    def _region(self) -> str | None:
        if self.ground is not None:
            return self.ground.trust.region
        return None if self.trust is None else self.trust.region


# Most checks of a verdict are those of the verdict before it; a check cannot change, so verdicts may share one.
_check = lru_cache(maxsize=1024)(Check)
