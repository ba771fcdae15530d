"""The verdict: three outcomes, the reasons for it, and for every step what was looked at and how old it was.

`valid` means that every step passed; `undetermined` that nothing is proven wrong but something is missing or too old;
`invalid` that something is wrong. Of several findings the worst wins. See docs/formats/verdict.md.
"""

import datetime as dt
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from operator import attrgetter
from typing import Any, Self

from verifiers.errors import Reason
from verifiers.legal_dates import format_time
from verifiers.policy import Seen
from verifiers.reasons import UNDETERMINED, Note, title


class Outcome(StrEnum):
    """The three outcomes."""

    VALID = "valid"
    INVALID = "invalid"
    UNDETERMINED = "undetermined"


class Step(StrEnum):
    """The steps of `verify` in their order, and `ledger` for what the issuing region's own service adds."""

    SHAPE = "shape"
    ROOT = "root"
    TRUST_LIST = "trust_list"
    PEER = "peer"
    KEY = "key"
    ISSUER = "issuer"
    SIGNATURE = "signature"
    DISCLOSURES = "disclosures"
    VALIDITY = "validity"
    RECEIPT = "receipt"
    POSITION = "position"
    STATUS = "status"
    RECOGNITION = "recognition"
    CLOCK = "clock"
    LEDGER = "ledger"

    number: int
    """Its place in the order of the steps."""
    word: str
    """Its value, which `value` takes a call to find; a verdict says it a dozen times."""


for _number, _step in enumerate(Step):
    _step.number = _number
    _step.word = _step.value


class Mark(StrEnum):
    """How a step went."""

    PASSED = "passed"
    FAILED = "failed"
    UNDETERMINED = "undetermined"
    SKIPPED = "skipped"

    word: str
    """Its value, as of a step."""


for _mark in Mark:
    _mark.word = _mark.value


@dataclass(frozen=True, slots=True)
class Check:
    """How one step went, on what (`source`) and how old that was at the time of judging, in seconds."""

    step: Step
    mark: Mark
    age_s: int | None = None
    source: str | None = None

    def to_json(self) -> dict[str, Any]:
        """The JSON form."""
        return {"age_s": self.age_s, "outcome": self.mark.word, "source": self.source, "step": self.step.word}


in_order = attrgetter("step.number")
"""What checks are sorted by."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One reason why a verdict is not `valid`; `detail` is English, for people who look closer."""

    reason: Reason
    detail: str
    outcome: Outcome

    @classmethod
    def of(cls, reason: Reason, detail: str = "", outcome: Outcome | None = None) -> "Finding":
        """The finding `reason`, with the outcome protocol 24 gives it unless another is named."""
        return cls(reason, detail, outcome or (Outcome.UNDETERMINED if reason in UNDETERMINED else Outcome.INVALID))


@dataclass(frozen=True, slots=True)
class Recognition:
    """As what a licence of the region `peer` counts in the region `by`, and by which versions of what that said.

    `equivalence` and `rule` are (id, version), `type` is (code, major) of ours; `fields` are our names for what the
    presentation discloses.
    """

    by: str
    peer: str
    equivalence: tuple[str, int]
    rule: tuple[str, int] | None
    type: tuple[str, int]
    fields: Mapping[str, Any]

    def to_json(self) -> dict[str, Any]:
        """The JSON form."""
        return {
            "by": self.by,
            "equivalence": _named(self.equivalence),
            "fields": dict(self.fields),
            "peer": self.peer,
            "rule": None if self.rule is None else _named(self.rule),
            "type": {"code": self.type[0], "major": self.type[1]},
        }


def _named(version: tuple[str, int]) -> dict[str, Any]:
    return {"id": version[0], "version": version[1]}


@dataclass(frozen=True, slots=True)
class Verdict:
    """The answer to "is this licence good at `at`?".

    `licence` holds what the presentation discloses, once its signature held (else `None`). `bound_s` is how many
    seconds a withdrawal may already be in force without this verdict showing it; `None` unless the status was checked.
    `region` is the one that issued it, where a trust list knows its key; `recognition` what it counts as here, if that
    is another region.
    """

    outcome: Outcome
    at: dt.datetime
    findings: tuple[Finding, ...] = ()
    checks: tuple[Check, ...] = ()
    notes: tuple[Note, ...] = ()
    bound_s: int | None = None
    licence: dict[str, Any] | None = None
    region: str | None = None
    recognition: Recognition | None = None

    @property
    def reasons(self) -> tuple[Reason, ...]:
        """The reason codes, the worst first."""
        return tuple(finding.reason for finding in self.findings)

    def adding(self, findings: Iterable[Finding], *, check: Check | None = None, bound_s: int | None = None) -> Self:
        """This verdict with further findings, such as those of the issuing region's own ledger; the worst wins."""
        found = ranked((*self.findings, *findings))
        checks = self.checks if check is None else (*self.checks, check)
        bound = self.bound_s if bound_s is None else bound_s
        return replace(self, outcome=worst(found), findings=found, checks=checks, bound_s=bound)

    def to_json(self, language: str = "zh") -> dict[str, Any]:
        """The JSON form that the service and `elicence-verify --json` give, titles in `zh` or `en`."""
        document: dict[str, Any] = {
            "at": format_time(self.at),
            "bound_s": self.bound_s,
            "checks": [check.to_json() for check in self.checks],
            "licence": self.licence,
            "notes": [{"code": note.value, "title": title(note, language)} for note in self.notes],
            "outcome": self.outcome.value,
            "reasons": [
                {"code": one.reason.value, "detail": one.detail, "title": title(one.reason, language)}
                for one in self.findings
            ],
            "region": self.region,
        }
        if self.recognition is not None:
            document["recognition"] = self.recognition.to_json()
        return document


def worst(findings: Collection[Finding]) -> Outcome:
    """invalid > undetermined > valid (protocol 24)."""
    if not findings:
        return Outcome.VALID
    outcomes = {finding.outcome for finding in findings}
    if Outcome.INVALID in outcomes:
        return Outcome.INVALID
    return Outcome.UNDETERMINED if outcomes else Outcome.VALID


def ranked(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """The findings, those that make it invalid first, otherwise in the order of the steps."""
    return tuple(sorted(findings, key=_is_doubt))


def _is_doubt(finding: Finding) -> bool:
    return finding.outcome is not Outcome.INVALID


@dataclass(frozen=True, slots=True)
class Verified:
    """A licence or code that passed every step; `seen` is to be given to the next `verify`."""

    verdict: Verdict
    seen: Seen = field(default_factory=Seen)


class NotVerified(Exception):
    """What was presented did not pass: `verdict` says why, `seen` is to be given to the next `verify`."""

    def __init__(self, verdict: Verdict, seen: Seen) -> None:
        super().__init__()
        self.verdict = verdict
        self.seen = seen

    def __str__(self) -> str:
        """Outcome and reasons; put together when somebody reads them, because the online verifier never does."""
        return f"{self.verdict.outcome}: {', '.join(self.verdict.reasons)}"
