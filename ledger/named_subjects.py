"""Subjects that a request names, by our id or by name and number; those nobody introduced yet are introduced.

A forger or an applicant need not hold any licence here, and somebody of whom nothing is known can still be asked about.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from sqlalchemy import select

from ledger import subjects
from ledger.composing import holder_values, subject_conditions
from ledger.database import Reading
from ledger.errors import Code, Refusal
from ledger.events import SubjectPart
from ledger.ids import is_id
from ledger.issue_requests import HolderRequest
from ledger.proposals import Condition
from ledger.request_members import RequestMembers
from ledger.tables.subjects import subjects as subject_rows
from ledger.type_definition import HOLDER_KINDS
from ledger.vault import Vault

_OF_ORGANISATIONS: Final = frozenset({"001", "099"})
"""Kinds of numbers (GB/T 36903 annex A) that only organisations have."""

SubjectName = str | HolderRequest
"""A subject as a request names it: its id, or kind, name and number."""


@dataclass(frozen=True, slots=True)
class Named:
    """The subjects behind names: their `ids`, the personal `parts` that introduce or name them, and what must hold."""

    ids: dict[SubjectName, str]
    parts: dict[SubjectName, SubjectPart]
    conditions: tuple[Condition, ...] = ()
    touches: tuple[str, ...] = ()


def read_subject(members: RequestMembers, name: str = "subject") -> SubjectName:
    """Read a subject's id or `{"id_type", "id", "kind"?, "name"?}`. Raises `Refusal` request.member_….

    Whoever is asked about by number alone is an organisation where the number is one of an organisation.
    """
    value = members.take(name)
    if type(value) is str and is_id(value):
        return value
    person = RequestMembers(value, members.at(name))
    id_type = person.text("id_type", 3)
    usual = "organisation" if id_type in _OF_ORGANISATIONS else "person"
    read = HolderRequest(
        kind=person.maybe("kind", lambda kind: person.one_of(kind, HOLDER_KINDS)) or usual,
        name=person.maybe("name", lambda text: person.text(text, 200)) or "",
        id_type=id_type,
        id=person.text("id", 64),
    )
    person.done()
    return read


def resolve_subjects(tx: Reading, vault: Vault, names: Iterable[SubjectName], pointer: str = "/subject") -> Named:
    """Find the subjects behind `names`, or give new ones an id. Raises `Refusal` subject.unknown for an unknown id."""
    wanted = list(dict.fromkeys(names))
    given = [each for each in wanted if isinstance(each, str)]
    known_ids = set(tx.execute(select(subject_rows.c.id).where(subject_rows.c.id.in_(given))).scalars())
    if not known_ids.issuperset(given):
        raise Refusal(Code.SUBJECT_UNKNOWN, pointer)
    people = [each for each in wanted if isinstance(each, HolderRequest)]
    known = subjects.resolve(tx, vault, [(each.id_type, each.id) for each in people])
    values = holder_values(people, known, set())
    conditions, touches = subject_conditions(values, known)
    ids: dict[SubjectName, str] = {each: each for each in given}
    parts: dict[SubjectName, SubjectPart] = {}
    for person, value in zip(people, values, strict=True):
        ids[person] = value.subject
        named = {"name": value.name, "id_type": value.id_type, "id": value.id}
        parts[person] = SubjectPart(value.subject, {"named": named, **value.introduction})
    return Named(ids, parts, tuple(conditions), tuple(touches))
